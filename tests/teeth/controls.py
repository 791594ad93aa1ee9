"""Controls: storms in which nobody is killed, and what they must not show; pure but for the runs it asks for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from tests.teeth.document import circumstances, grid
from tests.teeth.real_storm import Run

Results = Mapping[str, Any]


@dataclass(frozen=True)
class Summary:
    """What ``n`` controls showed."""

    n: int
    not_valid: tuple[str, ...]
    """What the verdict had against each run that was not valid."""
    suspicions: int
    duplicates: int
    """Runs with any work or any answer done twice."""
    drops: tuple[float, ...]
    outside: int
    """Runs whose interval of the drop does not contain 0."""
    steady_ms: tuple[float, ...]
    """The null distribution of steady_state_ms, in order."""
    never_steady: int


def run(seed: int, duration_s: float) -> Run:
    """One control."""
    return Run(f"control-{duration_s:g}s-seed{seed}", seed, "json",
               {"scenario.duration": duration_s, "scenario.kill_fraction": 0})  # fmt: skip


def sum_up(results: Sequence[Results]) -> Summary:
    """Count; raises ValueError without a run."""
    if not results:
        raise ValueError("expected at least one control, got none")
    intervals = [found["details"]["success_rate_drop"]["interval"] for found in results]
    steady = [found["steady_state_ms"] for found in results]
    return Summary(
        n=len(results),
        not_valid=tuple("; ".join(one["verdict"]["reasons"]) for one in results if one["verdict"]["status"] != "valid"),
        suspicions=sum(found["false_suspicions"]["count"] for found in results),
        duplicates=sum(found["duplicate_work_ratio"] > 0 or found["duplicate_effects"] > 0 for found in results),
        drops=tuple(sorted(found["success_rate_drop"] for found in results)),
        outside=sum(not low <= 0 <= high for low, high in intervals),
        steady_ms=tuple(sorted(value for value in steady if value is not None)),
        never_steady=steady.count(None),
    )


def failures(summary: Summary) -> list[str]:
    """One line for each thing that a control must not show."""
    found = {
        "suspicions": summary.suspicions,
        "runs with duplicates": summary.duplicates,
        "runs whose interval of the drop excludes 0": summary.outside,
    }
    lines = [f"controls: expected 0 {what}, got {count}" for what, count in found.items() if count]
    return [*lines, *(f"controls: expected a valid run, got: {reason}" for reason in summary.not_valid)]


def table(summary: Summary, results: Sequence[Results]) -> str:
    """As Markdown."""
    steady = summary.steady_ms
    spread = (
        f"median {median(steady):.0f}, from {steady[0]:.0f} to {steady[-1]:.0f}, 0 in {steady.count(0)}"
        if steady
        else "none"
    )
    never = f"; not steady to the end in {summary.never_steady}" if summary.never_steady else ""
    rows = [
        ("valid", f"{summary.n - len(summary.not_valid)} of {summary.n}"),
        ("suspicions of a live agent", str(summary.suspicions)),
        ("runs with a step or an answer done twice", str(summary.duplicates)),
        ("`success_rate_drop`", f"{summary.drops[0]:.3f} to {summary.drops[-1]:.3f}"),
        ("its interval contains 0", f"{summary.n - summary.outside} of {summary.n}"),
        ("`steady_state_ms`, ms after the instant at which nothing happened", spread + never),
    ]
    return "\n".join([*grid(("of the controls", "found"), rows), "", circumstances(results)])
