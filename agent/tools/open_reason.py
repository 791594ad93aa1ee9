"""Weighs triples from natural language against a question: by what is asked for, by shared words, by comparison."""

import re
from collections.abc import Sequence

from agent.tools.contract import Triple
from agent.tools.open_text import Kind, content_words, kind_of, names_in, year_of

_YES_OR_NO = re.compile(r"^(?:Are|Is|Was|Were|Did|Do|Does|Has|Have|Had|Can|Could)\b", re.IGNORECASE)
_EITHER = re.compile(r"(?P<first>[^,?]+?),? or (?P<second>[^,?]+)")
_OLDER = re.compile(r"\b(?:older|oldest|elder|first|earlier|earliest|before)\b")
_YOUNGER = re.compile(r"\b(?:younger|youngest|later|latest|last|more recent|more recently|after|newer)\b")
_MORE = re.compile(r"\b(?:more|most|larger|largest|higher|highest|taller|tallest|longer|longest|bigger|greater)\b")
_NAMED = "(?:actor|actress|author|band|city|company|country|county|director|film|singer|state|team|town|university)"
_ASKED_KINDS: tuple[tuple[re.Pattern[str], tuple[Kind, ...]], ...] = (
    (
        re.compile(r"\b(?:when|what year|which year|what date|in which year|birthdate|born on)\b", re.IGNORECASE),
        ("date",),
    ),
    (
        re.compile(r"\b(?:how many|how much|how long|how old|what number|population|capacity)\b", re.IGNORECASE),
        ("number",),
    ),
    (re.compile(rf"\b(?:who|whom|whose|where|(?:what|which) {_NAMED})\b", re.IGNORECASE), ("name",)),
    (
        re.compile(r"\b(?:profession|occupation|type of|kind of|what kind|position|genre)\b", re.IGNORECASE),
        ("phrase", "name"),
    ),
)
_FOCUS = re.compile(r"\b(?:what|which)(?: \w+)? (?P<noun>\w+)", re.IGNORECASE)
_KIND_BONUS = 2.0
_FOCUS_BONUS = 1.0
_TITLE_BONUS = 0.5

Weighed = tuple[str | None, list[Triple]]


def weigh(question: str, triples: Sequence[Triple]) -> Weighed:
    """The answer, and the triples that it rests on: its own first, then the best of each other fragment."""
    if not triples:
        return None, []
    asked = content_words(question)
    scores = [_relevance(triple, asked) for triple in triples]
    ranked = [triples[number] for number in sorted(range(len(triples)), key=lambda number: -scores[number])]
    if _YES_OR_NO.match(question.strip()):
        return _compare_yes_no(question, ranked)
    either = _either(question, ranked)
    if either is not None:
        return either
    best = _pick(question, asked, triples)
    return best.object, _chain(best, ranked)


def _relevance(triple: Triple, asked: frozenset[str]) -> float:
    return len(asked & content_words(f"{triple.subject} {triple.relation}"))


def _chain(first: Triple, ranked: Sequence[Triple]) -> list[Triple]:
    chain = {first.fragment_id: first}
    for triple in ranked:
        chain.setdefault(triple.fragment_id, triple)
    return list(chain.values())


def _pick(question: str, asked: frozenset[str], triples: Sequence[Triple]) -> Triple:
    kinds = next((kinds for pattern, kinds in _ASKED_KINDS if pattern.search(question)), None)
    focus = _FOCUS.search(question)
    focus_words = content_words(focus["noun"]) if focus else frozenset[str]()

    def score(triple: Triple) -> float:
        if content_words(triple.object) <= asked:
            return -1.0  # what is asked about is not what is asked for
        value = _relevance(triple, asked)
        if kinds is not None and kind_of(triple.object) in kinds:
            value += _KIND_BONUS
        near = content_words(" ".join(_near(triple.relation)))
        value += _FOCUS_BONUS * bool(focus_words & near) + 0.5 * len(near & asked)
        return value + _TITLE_BONUS * (triple.subject not in question)

    return max(triples, key=score)


def _near(relation: str) -> list[str]:
    """The words next to the object."""
    before, _, after = relation.partition("_")
    return [*before.split()[-5:], *after.split()[:5]]


def _subjects_named(question: str, ranked: Sequence[Triple]) -> list[str]:
    """What the triples are about and the question names, in the order of the question."""
    subjects = dict.fromkeys(triple.subject for triple in ranked)
    plain = {subject: re.sub(r"\s*\(.*\)$", "", subject) for subject in subjects}
    named = [subject for subject in subjects if plain[subject] in question]
    return sorted(named, key=lambda subject: question.index(plain[subject]))


def _compare_yes_no(question: str, ranked: Sequence[Triple]) -> Weighed:
    """Yes if the two that are named have something in common that the question is about, no if nothing is."""
    named = _subjects_named(question, ranked)[:2]
    if len(named) == 0:
        return "no", _chain(ranked[0], ranked)
    objects = [
        frozenset(word for triple in ranked if triple.subject == subject for word in content_words(triple.object))
        for subject in named
    ]
    own = content_words(" ".join(named))
    common = frozenset.intersection(*objects) - own
    asked = content_words(question) - own
    first = next(triple for triple in ranked if triple.subject == named[0])
    agree = bool(common) if len(named) > 1 else bool(asked & objects[0])
    return "yes" if agree else "no", _chain(first, ranked)


def _either(question: str, ranked: Sequence[Triple]) -> Weighed | None:
    """Choose between the two names around an ``or``; None if the question does not ask for that."""
    match = _EITHER.search(question)
    if match is None:
        return None
    first = (names_in(match["first"]) or [match["first"].strip()])[-1]
    second = (names_in(match["second"]) or [match["second"].strip()])[0]
    about = {name: [one for one in ranked if _is_about(one, name)] for name in (first, second)}
    if not all(about.values()):
        chosen = first if about[first] else second
        return (chosen, _chain(about[chosen][0], ranked)) if about[chosen] else None
    years = {name: min(filter(None, map(year_of, (one.object for one in about[name]))), default=None) for name in about}
    early, late = years[first], years[second]
    if early is not None and late is not None and (_OLDER.search(question) or _YOUNGER.search(question)):
        older, younger = (first, second) if early <= late else (second, first)
        chosen = older if _OLDER.search(question) else younger
    elif _MORE.search(question):
        chosen = max((first, second), key=lambda name: max((_number(one.object) for one in about[name]), default=0.0))
    else:
        asked = content_words(question)
        chosen = max((first, second), key=lambda name: max(_relevance(one, asked) for one in about[name]))
    return chosen, _chain(about[chosen][0], ranked)


def _is_about(triple: Triple, name: str) -> bool:
    return name in triple.subject or triple.subject in name


def _number(span: str) -> float:
    digits = re.sub(r"[^\d.]", "", span).strip(".")
    return float(digits) if kind_of(span) == "number" and digits.count(".") <= 1 and digits else 0.0
