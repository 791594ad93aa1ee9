"""Grading follows the published evaluations: HotpotQA's exact match and F1, GAIA's quasi-exact match."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.workload.grade import evidence_recall, is_correct, is_gaia_correct, normalise, token_f1

TEXT = st.text(st.sampled_from("aAnthe .,;$%-0123xyzÅ \t"), max_size=20)


@pytest.mark.parametrize(
    ("answer", "key", "f1"),
    [
        # One word of two: precision 1, recall 1/2. Articles, case and punctuation do not count.
        ("Greenwich", "Greenwich Village", 2 / 3),
        ("the Greenwich Village!", "greenwich village", 1.0),
        ("Chief of Protocol of the United States", "Chief of Protocol", 2 * (3 / 6) * 1 / (3 / 6 + 1)),
        ("Paris", "London", 0.0),
        # A word counts as often as it stands on both sides.
        ("New York New York", "New York", 2 / 3),
        ("York York", "New York", 1 / 2),
        # yes, no and noanswer: all or nothing, on either side.
        ("yes", "yes", 1.0),
        ("yes it is", "yes", 0.0),
        ("no", "no way", 0.0),
        ("noanswer", "noanswer", 1.0),
        (None, "noanswer", 1.0),
        (None, "no", 0.0),
        ("yes", "no", 0.0),
        # Nothing has nothing in common with anything.
        ("", "London", 0.0),
        ("the", "London", 0.0),
        ("", "", 0.0),
    ],
)
def test_f1_as_in_the_hotpotqa_evaluation(answer: str | None, key: str, f1: float) -> None:
    """Words in common over words given and words wanted, harmonic mean."""
    assert token_f1(answer, key) == pytest.approx(f1)


@pytest.mark.parametrize(
    ("answer", "key", "correct"),
    [
        # A number: dollar, percent and thousands do not count; what is no number is wrong.
        ("17", "17", True),
        ("$1,234.50", "1234.5", True),
        ("89%", "89", True),
        ("17.0", "17", True),
        ("1e3", "1000", True),
        ("seventeen", "17", False),
        ("17 eggs", "17", False),
        (None, "17", False),
        # A list: as many elements, in their order, numbers as numbers; commas and semicolons part alike.
        ("green, white", "green, white", True),
        ("green; white", "green, white", True),
        ("white, green", "green, white", False),
        ("green", "green, white", False),
        ("GREEN,white", "green, white", True),
        ("132, 133, 134", "132,133,134", True),
        ("$132, 133%", "132, 133", True),
        ("St. Paul, x", "St Paul, x", False),
        # 1,234 as a key is a list of 1 and 234, so the plain number does not match it.
        ("1,234", "1,234", True),
        ("1234", "1,234", False),
        # A text: blanks, case and punctuation do not count.
        ("sea gull", "Seagull", True),
        ("St. Petersburg!", "Saint Petersburg", False),
        ("St. Petersburg", "st petersburg", True),
        ("the egg", "egg", False),
        (None, "none", True),
    ],
)
def test_quasi_exact_match_as_in_gaia(answer: str | None, key: str, *, correct: bool) -> None:
    """The key's type decides: number, list or text."""
    assert is_gaia_correct(answer, key) is correct


@given(one=TEXT, other=TEXT)
def test_f1_is_symmetric_and_a_share(one: str, other: str) -> None:
    """Swapping answer and key changes nothing; the value is between 0 and 1, and 1 for what matches exactly."""
    value = token_f1(one, other)
    assert value == pytest.approx(token_f1(other, one))
    assert 0 <= value <= 1
    if is_correct(one, other) and normalise(one):
        assert value == pytest.approx(1.0)


@given(
    words=st.lists(st.sampled_from(("nive", "river", "bridge", "tower")), max_size=6), order=st.permutations(range(6))
)
def test_f1_does_not_look_at_the_order_of_words(words: list[str], order: list[int]) -> None:
    """A shuffled answer earns what the answer itself earns."""
    shuffled = [words[place] for place in order if place < len(words)]
    for key in ("Nive River", "the tower bridge", " ".join(words)):
        assert token_f1(" ".join(shuffled), key) == pytest.approx(token_f1(" ".join(words), key))


@given(text=st.text())
def test_normalising_twice_changes_nothing(text: str) -> None:
    """Normalisation is idempotent."""
    assert normalise(normalise(text)) == normalise(text)


@given(number=st.integers(-(10**6), 10**6))
def test_a_number_is_itself_however_it_is_dressed(number: int) -> None:
    """Thousands separators, currency and percent signs make no difference to GAIA's match."""
    for dressed in (f"{number:,}", f"${number}", f"{number}%", f"{number}.0"):
        assert is_gaia_correct(dressed, str(number))
    assert not is_gaia_correct(str(number + 1), str(number))


@pytest.mark.parametrize(
    ("returned", "needed", "recall"),
    [
        (["f-1", "f-2"], ["f-1", "f-2"], 1.0),
        (["f-9", "f-1"], ["f-1", "f-2"], 0.5),
        ([], ["f-1"], 0.0),
        (["f-1"], [], None),
    ],
)
def test_evidence_recall_is_the_share_of_what_is_needed(
    returned: list[str], needed: list[str], recall: float | None
) -> None:
    """Too much evidence costs nothing here; where nobody knows what is needed there is no recall."""
    assert evidence_recall(returned, needed) == recall
