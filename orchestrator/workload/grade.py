"""The grader: the only place where an answer meets its key."""

import re
import string

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise(text: str) -> str:
    """Lower case, without ASCII punctuation and English articles, blanks collapsed.

    The order of the steps is that of the SQuAD evaluation (Rajpurkar et al., EMNLP 2016), which HotpotQA (Yang et al.,
    EMNLP 2018) uses as well.
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def is_correct(answer: str | None, key: str) -> bool:
    """Whether an answer matches its key exactly after normalisation; no answer is never correct."""
    return answer is not None and normalise(answer) == normalise(key)
