"""Reads the English of the lexicon: questions into relation chains, sentences into facts."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from agent.tools.lexicon import KINDS, OTHER_FRAMES, PERSON_FRAMES
from agent.tools.relations import RELATIONS

_LONGEST_TEXT = 1000
"""Longer sentences and questions, in characters, are not of the generator's making and are not read."""

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_ARTICLE = re.compile(r"^the\s+", re.IGNORECASE)


@dataclass(frozen=True)
class Inquiry:
    """A question understood: start at ``anchor`` and follow the relations of ``chain`` in this order."""

    anchor: str
    chain: tuple[str, ...]


@dataclass(frozen=True)
class Fact:
    """What one sentence states; the subject is resolved to a title where the sentence only refers to it."""

    subject: str
    relation: str
    object: str


@dataclass(frozen=True)
class _Asking:
    relation: str
    before: str
    after: str

    def argument(self, text: str) -> str | None:
        if len(text) <= len(self.before) + len(self.after):
            return None
        if not (text.startswith(self.before) and text.endswith(self.after)):
            return None
        return text[len(self.before) : len(text) - len(self.after)]


@dataclass(frozen=True)
class _Stating:
    relation: str
    cue: str
    pattern: re.Pattern[str]


def _asking(relation: str, template: str) -> _Asking:
    before, after = template.split("{x}")
    return _Asking(relation, before, after)


def _stating(relation: str, template: str) -> _Stating:
    pieces = re.split(r"\{[so]\}", template)
    # A comma or a point ends a name, but not a number: 12,450 inhabitants, 2.4 metres.
    target = r"(?P<o>(?:[^,;.]|(?<=\d)[,.](?=\d))+?)"
    body = re.escape(template).replace(r"\{s\}", r"(?P<s>[^,;.]+?)").replace(r"\{o\}", target)
    return _Stating(relation, max(pieces, key=len), re.compile(rf"{body}(?:,\s.*)?[.!?]*", re.DOTALL))


_QUESTIONS = tuple(_asking(relation.name, question) for relation in RELATIONS for question in relation.questions)
_PHRASES = tuple(_asking(relation.name, phrase) for relation in RELATIONS for phrase in relation.phrases)
_FRAMES = tuple(_asking("", frame) for frame in (*PERSON_FRAMES, *OTHER_FRAMES))
_STATEMENTS = tuple(_stating(relation.name, statement) for relation in RELATIONS for statement in relation.statements)
_SELF_REFERENCES = frozenset(
    word.removeprefix("the ") for kind in KINDS.values() for word in (*kind.pronouns, kind.common_noun) if word
)


def title_of(mention: str) -> str:
    """Return the title behind a mention: ``the Aurora Bridge`` → ``Aurora Bridge``."""
    return _ARTICLE.sub("", mention.strip())


def parse_question(question: str) -> Inquiry | None:
    """Understand a question; None if it is not in the language of the lexicon."""
    text = question.strip()
    if len(text) > _LONGEST_TEXT:
        return None
    for asking in _QUESTIONS:
        inner = _unfold(asking.argument(text))
        if inner is not None:
            return Inquiry(inner.anchor, (*inner.chain, asking.relation))
    for frame in _FRAMES:
        inner = _unfold(frame.argument(text))
        if inner is not None and inner.chain:
            return inner
    return None


def _unfold(phrase: str | None) -> Inquiry | None:
    if phrase is None:
        return None
    for asking in _PHRASES:
        inner = _unfold(asking.argument(phrase))
        if inner is not None:
            return Inquiry(inner.anchor, (*inner.chain, asking.relation))
    title = title_of(phrase)
    return Inquiry(title, ()) if _is_name(title) else None


def _is_name(text: str) -> bool:
    return text[:1].isupper() or text[:1].isdigit()


def split_sentences(text: str) -> list[str]:
    """Cut a text at its full stops, question and exclamation marks; a last sentence without one counts too."""
    return [sentence for sentence in _SENTENCE_END.split(text.strip()) if sentence]


def touches(sentence: str, relations: Collection[str]) -> bool:
    """Whether a sentence has the wording of one of these relations, about whomever; cheaper than reading it."""
    return any(stating.relation in relations and stating.cue in sentence for stating in _STATEMENTS)


def read_sentence(sentence: str, title: str) -> Iterator[Fact]:
    """Yield the facts that a sentence states; ``title`` is what its pronouns refer to."""
    if len(sentence) > _LONGEST_TEXT:
        return
    for stating in _STATEMENTS:
        match = stating.pattern.fullmatch(sentence) if stating.cue in sentence else None
        if match is None:
            continue
        target = title_of(match["o"])
        if _is_name(target):
            yield Fact(_resolve(match["s"], title), stating.relation, target)


def speaks_the_lexicon(title: str, text: str) -> bool:
    """Whether a text states a fact about its own title in the words of the lexicon, as generated ones do."""
    facts = (fact for sentence in split_sentences(text) for fact in read_sentence(sentence, title))
    return any(fact.subject == title for fact in facts)


def _resolve(subject: str, title: str) -> str:
    name = title_of(subject)
    # A surname alone stands for the person that the fragment is about.
    refers_back = name.lower() in _SELF_REFERENCES or title.endswith(f" {name}")
    return title if refers_back else name
