"""What became of a scenario: its verdict, and whether the mesh kept its word and is whole again."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from pydantic import Field, JsonValue

from benchmarks.results import Measured
from orchestrator.compare.plan import Runtime

COLUMNS = (
    "scenario", "protocol", "verdict", "recovery, ms", "steady, ms", "success drop", "tasks lost", "committed twice",
    "steps done again", "connected at worst", "at the end", "own bounds",
)  # fmt: skip


class Outcome(Measured):
    """One run of one scenario; numbers are null where they never came, or there was no run."""

    scenario: str
    protocol: str
    status: str
    """Its verdict, ``refused`` where the runtime does not have the fault, ``missing`` where no run left results."""
    reasons: list[str]
    starved: bool = False
    recovery_ms: float | None = None
    steady_state_ms: float | None = None
    success_rate_drop: float | None = None
    lost_tasks: int | None = None
    duplicate_effects: int | None = None
    redundant: float | None = None
    connectivity_min: float | None = None
    connectivity_end: float | None = None
    expected: dict[str, bool] = Field(default_factory=dict)
    """The scenario's own bounds, as written, and whether each was kept."""


class Outcomes(Measured):
    """One run of this benchmark."""

    made_at: datetime
    host: dict[str, JsonValue]
    runtime: Runtime
    duration_s: float
    runs: list[Outcome]


def refused(scenario: str, protocol: str, why: str) -> Outcome:
    """A scenario that the lab would not start here."""
    return Outcome(scenario=scenario, protocol=protocol, status="refused", reasons=[why])


def read(scenario: str, protocol: str, content: Mapping[str, Any] | None) -> Outcome:
    """Take the figures out of one run's ``failstorm_metrics.json``; None stands for no run."""
    if content is None:
        return Outcome(scenario=scenario, protocol=protocol, status="missing", reasons=[])
    connectivity = content["connectivity"] or {}
    return Outcome(
        scenario=scenario,
        protocol=protocol,
        status=content["verdict"]["status"],
        reasons=content["verdict"]["reasons"],
        starved=content["starved"],
        connectivity_min=connectivity.get("min"),
        connectivity_end=connectivity.get("end"),
        expected={f"{name} {bound['bound']}": bound["met"] for name, bound in content["expect"].items()},
        **{name: content[name] for name in (
            "recovery_ms", "steady_state_ms", "success_rate_drop", "lost_tasks", "duplicate_effects", "redundant",
        )},
    )  # fmt: skip


def cells(run: Outcome) -> tuple[str, ...]:
    """One row of the table."""
    numbers = (
        run.recovery_ms, run.steady_state_ms, run.success_rate_drop, run.lost_tasks, run.duplicate_effects,
        run.redundant, run.connectivity_min, run.connectivity_end,
    )  # fmt: skip
    status = f"{run.status}, starved" if run.starved else run.status
    bounds = "; ".join(f"{bound}{'' if met else ' BROKEN'}" for bound, met in run.expected.items())
    return run.scenario, run.protocol, status, *("-" if one is None else f"{one:.4g}" for one in numbers), bounds or "-"


def broken_bounds(outcomes: Outcomes) -> Iterator[str]:
    """A few words on each run that did not end well; what the runtime does not have breaks nothing."""
    for run in outcomes.runs:
        if wrong := list(_wrongs(run)):
            yield f"{run.scenario} ({run.protocol}): {', '.join(wrong)}"


def _wrongs(run: Outcome) -> Iterator[str]:
    if run.status == "refused":
        return
    if run.status != "valid":
        yield " ".join((run.status, *run.reasons))
        return
    if run.lost_tasks:
        yield f"{run.lost_tasks} tasks lost"
    if run.duplicate_effects:
        yield f"{run.duplicate_effects} tasks committed twice"
    if run.connectivity_end is None or run.connectivity_end < 1:
        yield "the mesh is not whole at the end"
    yield from (f"expected {bound}" for bound, met in run.expected.items() if not met)
