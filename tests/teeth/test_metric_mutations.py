"""The golden journals tell every wrong version of a metric from the right one, but for those that cannot be told."""

from collections import Counter
from pathlib import Path

import pytest

from tests.teeth.mutants import Mutant, caught_by, mutants, mutants_of

EQUIVALENT = {
    ("agreement.agreement_ms", "begin <= reached < end → begin <= reached <= end"):
        "a disagreement that has just ended moves the instant to its end, where it is",
    ("connectivity._changes", "(outage.begin, 0, node) → (outage.begin, 1, node)"):
        "outages come first in the list, and the sort leaves what is alike in its order",
    ("connectivity._changes", "(row.t, 2, (row.node, row.peer)) → (row.t, 3, (row.node, row.peer))"):
        "either is more than 1, and whatever is neither an outage nor 1 is a link that comes",
    ("definition.declare", "declared is None or not doc → declared is None and (not doc)"):
        "no number: what a metric must have to be one; tests/orchestrator/test_metrics.py asks for it",
    ("detection._mistake", "outage.begin > begin → outage.begin >= begin"):
        "a peer whose outage begins as the suspicion does is not up, and was sorted out before",
    ("goodput.arrivals", "[0, *(task.success for task in tasks)] → [1, *(task.success for task in tasks)]"):
        "only differences of this running sum are used",
    ("spans.merged", "union and begin <= union[-1][1] → union and begin < union[-1][1]"):
        "spans that touch stay two: their lengths, their ends and what lies in them are the same",
    ("spans.minus", "piece[0] < piece[1] → piece[0] <= piece[1]"):
        "an empty piece has no length, and is dropped by the next union",
    ("steady.module", "9 → 10"):
        "either is far coarser than binary fractions, and far finer than one task of a window",
    ("steady.steady_from", "-1 → -2"):
        "to NumPy every negative length means: as many as there are",
    ("steady._passing", "np.maximum(n, 1) → np.maximum(n, 2)"):
        "of one task, one or two more failures than it has may fail",
    ("steady.retry_amplification",
     "[0, *(attempts[task.task] for task in seen.tasks)] → [1, *(attempts[task.task] for task in seen.tasks)]"):
        "only differences of this running sum are used",
}  # fmt: skip
"""(where, what) → why no journal can tell the wrong version from the right one."""

NOT_TOLD_YET = {
    (where, what)
    for where, _, what in (
        line.partition(": ") for line in Path(__file__).with_name("not_told_yet.txt").read_text("utf-8").splitlines()
    )
}
"""Wrong versions that no golden journal tells from the right one yet: a debt, to be paid by a journal."""


def _key(mutant: Mutant) -> tuple[str, str]:
    return f"{mutant.module}.{mutant.function}", mutant.change


@pytest.mark.timeout(300)
def test_every_wrong_version_of_a_metric_turns_a_golden_journal_red() -> None:
    """Windows, edges, denominators, signs, numbers, conditions, aggregates, populations: one wrong at a time."""
    made = list(mutants())
    missed = Counter(_key(mutant) for mutant in made if caught_by(mutant) is None)
    assert sorted(set(missed) - set(EQUIVALENT) - NOT_TOLD_YET) == []
    assert sorted({*EQUIVALENT, *NOT_TOLD_YET} - set(missed)) == [], "these are told after all: take them off the list"
    assert all(count == 1 for count in missed.values()), missed
    assert len(made) > 500
    kinds = {mutant.kind for mutant in made}
    assert kinds >= {"window", "edge", "denominator", "off by one", "sign", "condition", "aggregate", "population"}


def test_each_kind_of_mistake_is_made() -> None:
    """From a few lines of source come the wrong versions that a slip of the pen would make."""
    source = "def f(e):\n    if 0 <= t < e.rate_window_s:\n        return e.decided('pre') / len(x)"
    made = [(mutant.kind, mutant.change.rpartition(" \u2192 ")[2]) for mutant in mutants_of("m", source)]
    assert made == [
        ("edge", "0 < t < e.rate_window_s"),
        ("edge", "0 <= t <= e.rate_window_s"),
        ("off by one", "1 <= t < e.rate_window_s"),
        ("window", "0 <= t < e.byte_window_s"),
        ("denominator", "e.decided('pre') / (len(x) + 1)"),
        ("denominator", "e.decided('pre') * len(x)"),
        ("window", "e.decided('inflight')"),
    ]


def test_the_source_is_as_it_was_after_each_mistake() -> None:
    """A mutant is made in place and undone: no two are wrong at once."""
    made = list(mutants_of("example", "def f(a, b):\n    return a - b < 1"))
    assert [mutant.change for mutant in made] == [
        "a - b < 1 → a - b <= 1", "a - b < 1 → a + b < 1", "a - b < 1 → a - b < 2",
    ]  # fmt: skip
