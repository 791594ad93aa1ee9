"""The grader: the only place where an answer meets its key, and evidence the fragments that were needed."""

import math
import re
import string
from collections import Counter
from collections.abc import Collection, Sequence

from orchestrator.workload.document import NO_ANSWER, Grader

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
CLOSED = ("yes", "no", NO_ANSWER)
"""Answers of which nothing but all is right."""
_UNITS = str.maketrans("", "", "$%,")
_SEPARATOR = re.compile(r"[,;]")
_BLANKS = re.compile(r"\s")


def grade(grader: Grader, answer: str | None, key: str) -> bool:
    """Whether the grader of that name finds the answer right."""
    return is_gaia_correct(answer, key) if grader == "gaia" else is_correct(answer, key)


def normalise(text: str) -> str:
    """Lower case, without ASCII punctuation and English articles, blanks collapsed.

    The order of the steps is that of the SQuAD evaluation (Rajpurkar et al., EMNLP 2016), which HotpotQA (Yang et al.,
    EMNLP 2018) uses as well.
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def is_correct(answer: str | None, key: str) -> bool:
    """Whether an answer matches its key exactly after normalisation (HotpotQA's exact match).

    No answer is right where the document has none, and nowhere else.
    """
    return normalise(NO_ANSWER if answer is None else answer) == normalise(key)


def token_f1(answer: str | None, key: str) -> float:
    """Harmonic mean of the answer's precision and recall in words, 0 to 1, as in the HotpotQA evaluation.

    Yes, no and noanswer earn all or nothing; an answer or key without a word has nothing in common with anything.
    """
    given, wanted = normalise(NO_ANSWER if answer is None else answer), normalise(key)
    if given != wanted and (given in CLOSED or wanted in CLOSED):
        return 0.0
    given_words, wanted_words = given.split(), wanted.split()
    common = (Counter(given_words) & Counter(wanted_words)).total()
    if not common:
        return 0.0
    precision, recall = common / len(given_words), common / len(wanted_words)
    return 2 * precision * recall / (precision + recall)


def evidence_recall(returned: Collection[str], needed: Sequence[str]) -> float | None:
    """Share of the needed fragments among those returned, 0 to 1; None where nobody says what is needed."""
    return sum(one in returned for one in needed) / len(needed) if needed else None


def is_gaia_correct(answer: str | None, key: str) -> bool:
    """GAIA's quasi-exact match (Mialon et al., ICLR 2024), by the type of the key.

    A number is compared as a number, without ``$``, ``%`` and commas. A key with a comma or semicolon is a list:
    as many elements, each number or text alike in its place. A text is compared without blanks and case, and without
    punctuation unless it is an element of a list. A list that cannot be told from a number with commas is a list.
    """
    given = "None" if answer is None else answer
    if _is_number(key):
        return _number(given) == float(key)
    if not _SEPARATOR.search(key):
        return _squeeze(given, keep_punctuation=False) == _squeeze(key, keep_punctuation=False)
    elements, wanted = _SEPARATOR.split(given), _SEPARATOR.split(key)
    return len(elements) == len(wanted) and all(map(_is_same_element, elements, wanted))


def _is_same_element(element: str, wanted: str) -> bool:
    if _is_number(wanted):
        return _number(element) == float(wanted)
    return _squeeze(element, keep_punctuation=True) == _squeeze(wanted, keep_punctuation=True)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _number(text: str) -> float:
    try:
        return float(text.translate(_UNITS))
    except ValueError:
        return math.inf


def _squeeze(text: str, *, keep_punctuation: bool) -> str:
    squeezed = _BLANKS.sub("", text).lower()
    return squeezed if keep_punctuation else squeezed.translate(_PUNCTUATION)
