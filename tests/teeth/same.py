"""A/A: a protocol compared with itself, as often as it takes to see how often a difference is found that is none.

The comparisons are drawn from a pool: of every seed there are several runs of the same protocol, and a comparison takes
two different ones of each seed, by chance, as its two arms. Each drawn comparison is what ``make compare`` with one
protocol named twice would have computed (same pairs by seed, same test, same Holm family), since runs of one seed
differ by nothing but their place in time. So the expected share of significant ones is that of fresh comparisons. They
are not independent, because they share runs: their number scatters more than a binomial one would.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from orchestrator.compare import statistics
from orchestrator.compare.plan import Slot
from orchestrator.compare.sample import MEASURES, observe
from orchestrator.compare.state import Finished
from orchestrator.compare.statistics import ALPHA, Paired, Time
from orchestrator.report_content import SPECIFIED
from tests.teeth.document import circumstances, grid
from tests.teeth.real_storm import Run

Results = Mapping[str, Any]
MOST_SIGNIFICANT = 0.1
"""Of the comparisons, as docs/metrics.md asks: 2 of 20."""
_HEADLINES = tuple(measure for measure in MEASURES if measure.name in SPECIFIED)


@dataclass(frozen=True)
class Outcome:
    """What the comparisons found."""

    comparisons: tuple[Mapping[str, Paired], ...]
    """Of each comparison, the test of each headline metric."""

    @property
    def significant(self) -> tuple[int, ...]:
        """The numbers of those in which any metric differs after Holm's method."""
        return tuple(at for at, tests in enumerate(self.comparisons) if _least_holm(tests) < ALPHA)

    @property
    def able(self) -> int:
        """How many had enough pairs in some metric to find a difference at all."""
        family = len(_HEADLINES)
        return sum(any(family * test.least_p < ALPHA for test in tests.values()) for tests in self.comparisons)


def run(seed: int, repeat: int, duration_s: float) -> Run:
    """One run of the pool."""
    return Run(f"same-{duration_s:g}s-seed{seed}-{repeat}", seed, "json", {"scenario.duration": duration_s})


def compare_all(pool: Mapping[int, Sequence[Results]], count: int) -> Outcome:
    """Draw so many comparisons from the pool (seed → runs) and test each; the same pool gives the same ones.

    Raises ValueError when a seed has fewer than two runs.
    """
    if any(len(runs) < 2 for runs in pool.values()):
        raise ValueError("expected two runs of each seed or more, got fewer; raise --repeats")
    rng = Random("same")
    return Outcome(
        tuple(_compare({seed: rng.sample(list(runs), 2) for seed, runs in pool.items()}) for _ in range(count))
    )


def _compare(arms: Mapping[int, Sequence[Results]]) -> dict[str, Paired]:
    def times(arm: int, at: int) -> dict[int, Time]:
        found = {}
        for seed, pair in arms.items():
            slot = Slot(block=1, arm="json", protocol="json", mode="common", seed=seed)
            seen = observe(_HEADLINES[at], slot, Finished(Path(), pair[arm]))
            if seen.counts and seen.value is not None:
                found[seed] = Time(seen.value, censored=seen.status == "censored")
        return found

    return {measure.name: statistics.compare(times(1, at), times(0, at)) for at, measure in enumerate(_HEADLINES)}


def _least_holm(tests: Mapping[str, Paired]) -> float:
    return min(statistics.holm(_p_values(tests)).values(), default=1.0)


def _p_values(tests: Mapping[str, Paired]) -> dict[str, float]:
    return {name: test.p for name, test in tests.items() if test.p is not None}


def failures(outcome: Outcome) -> list[str]:
    """One line for each bound that is broken."""
    total, found = len(outcome.comparisons), len(outcome.significant)
    lines = []
    if found > MOST_SIGNIFICANT * total:
        lines.append(f"same: expected at most {MOST_SIGNIFICANT * total:g} of {total} significant, got {found}")
    if outcome.able < total:
        lines.append(
            f"same: expected comparisons that can find a difference, got {total - outcome.able} of {total} with too "
            f"few pairs; raise --seeds to 8 or more, or leave the machine in peace (starved runs' times do not count)"
        )
    return lines


def table(outcome: Outcome, results: Sequence[Results]) -> str:
    """As Markdown."""
    rows = []
    for measure in _HEADLINES:
        tests = [tests[measure.name] for tests in outcome.comparisons]
        pairs = sorted(test.n for test in tests)
        found = [test.p for test in tests if test.p is not None]
        rows.append((
            f"`{measure.name}`", f"{pairs[0]} to {pairs[-1]}", f"{min(found, default=1.0):.3f}",
            f"{sum(p < ALPHA for p in found)} of {len(tests)}",
        ))  # fmt: skip
    head = ("metric", "pairs by seed", "least p", "p < 0.05 before Holm")
    total = len(outcome.comparisons)
    sentence = (
        f"Significant in any of the five metrics after Holm's method: {len(outcome.significant)} of {total} "
        f"comparisons (bound: at most {MOST_SIGNIFICANT * total:g}); able to find a difference: {outcome.able}."
    )
    return "\n".join([sentence, "", *grid(head, rows), "", circumstances(results)])
