"""Reads natural language as far as rules go: sentences with what they are about, names, dates, numbers."""

import re
from collections.abc import Iterator
from typing import Literal

Kind = Literal["name", "date", "number", "phrase"]

_LONGEST_SENTENCE = 1000
_SHORTEST_PLURAL = 4
_SENTENCE_END = re.compile(r"(?<=[.!?])(?<!\b[A-Z]\.)(?<!\b(?:Mr|Dr|St|Jr|Sr|vs)\.)(?<!\bMrs\.)\s+(?=[\"'(]?[A-Z0-9])")
_ABOUT = re.compile(r"^(?P<title>[^:]{1,80}): +")
_WORD = re.compile(r"[^\W_]+")
_MONTH = r"(?:January|February|March|April|May|June|July|August|September|October|November|December)"
_DATE = re.compile(
    rf"\b(?:\d{{1,2}} {_MONTH} \d{{4}}|{_MONTH} \d{{1,2}}, \d{{4}}|{_MONTH} \d{{4}}|1\d{{3}}|20\d{{2}})\b"
)
_NUMBER = re.compile(r"\b\d[\d,]*(?:\.\d+)?\b(?: (?:million|billion|thousand))?")
_CAPITAL = r"[^\W\d_a-z\u00df-\u00ff][\w'\u2019.&-]*"
_NAME = re.compile(rf"{_CAPITAL}(?: (?:(?:of|the|and|de|la|von|van|for|in) ){{0,2}}{_CAPITAL}| \d{{1,3}}\b)*")
_QUOTED = re.compile(r"\"([^\"]{2,60})\"")
_IS_A = re.compile(
    r"\b(?:is|was|are|were) (?:an?|the) ([^,.;()]{3,80}?)(?= (?:who|which|that|by|from|in|of|for|with|and)\b|[,.;(]|$)"
)
_STOPWORDS = frozenset(
    _WORD.findall(
        "a an and are as at be been both by can did do does for from had has have her him his how in is it its many "
        "more most much name of on or same she the their them then they this to was were what when where which who "
        "whom whose why with would that there used known"
    )
)


def content_words(text: str) -> frozenset[str]:
    """The words that carry meaning, in lower case, without their plural s."""
    words = (word.lower() for word in _WORD.findall(text))
    stems = (word[:-1] if word.endswith("s") and len(word) >= _SHORTEST_PLURAL else word for word in words)
    return frozenset(stems) - _STOPWORDS


def sentences_of(title: str, text: str) -> Iterator[tuple[str, str]]:
    """Yield (what it is about, sentence); a line that begins with a name and a colon is about that name."""
    for line in text.splitlines():
        about = _ABOUT.match(line)
        subject, body = (about["title"], line[about.end() :]) if about else (title, line)
        for sentence in _SENTENCE_END.split(body.strip()):
            if sentence:
                yield subject, sentence[:_LONGEST_SENTENCE]


def names_in(sentence: str) -> list[str]:
    """Names in the order of the text; a single capitalised word that opens a sentence need not be one."""
    names = []
    for match in _NAME.finditer(sentence):
        name = match.group().removesuffix("'s").rstrip(".,'\u2019")
        if content_words(name) and (match.start() or " " in name):
            names.append(name)
    return names


def spans_of(sentence: str) -> list[tuple[Kind, str]]:
    """What a sentence might be asked for: dates, numbers, names, titles in quotes, and what something is."""
    spans: list[tuple[Kind, str]] = [("date", match.group()) for match in _DATE.finditer(sentence)]
    rest = _DATE.sub(";", sentence)
    spans += [("number", match.group()) for match in _NUMBER.finditer(rest)]
    spans += [("name", match.group(1)) for match in _QUOTED.finditer(sentence)]
    spans += [("name", name) for name in names_in(rest)]
    spans += [("phrase", match.group(1)) for match in _IS_A.finditer(sentence)]
    return list(dict.fromkeys(spans))


def kind_of(span: str) -> Kind:
    """What a span is, by its looks."""
    if _DATE.fullmatch(span):
        return "date"
    if _NUMBER.fullmatch(span):
        return "number"
    return "name" if span[:1].isupper() else "phrase"


def year_of(span: str) -> int | None:
    """The year in a date."""
    found = re.search(r"\b(?:1\d{3}|20\d{2})\b", span)
    return int(found.group()) if found else None
