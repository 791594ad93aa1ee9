"""What became of a scenario: its verdict, and whether the mesh kept its word and is whole again."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import Field, JsonValue

from agent.ranking import elector_count, owners
from benchmarks.results import Measured
from orchestrator.compare.plan import Runtime
from orchestrator.events.agents import Alive, LoopLag, Suspect
from orchestrator.events.conductor import Death, HealDone, Placement
from orchestrator.evidence import Evidence

COLUMNS = (
    "scenario", "protocol", "verdict", "recovery, ms", "steady, ms", "success drop", "tasks lost", "committed twice",
    "nobody left who knew", "steps done again", "connected at worst", "at the end", "healed but missed", "own bounds",
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
    unremembered: int | None = None
    """So many of them were committed again when all who had been told of it were dead."""
    redundant: float | None = None
    connectivity_min: float | None = None
    connectivity_end: float | None = None
    missed_at_end: list[str] = Field(default_factory=list)
    """Who was hurt and healed, lives, and is held for dead all the same at the end: "agent_5 by agent_1"."""
    expected: dict[str, bool] = Field(default_factory=dict)
    """The scenario's own bounds, as written, and whether each was kept."""


class Outcomes(Measured):
    """One run of this benchmark."""

    made_at: datetime
    host: dict[str, JsonValue]
    runtime: Runtime
    duration_s: float
    runs: list[Outcome]


def refused(scenario: str, protocol: str, reasons: Sequence[str]) -> Outcome:
    """A scenario whose faults this runtime does not have."""
    return Outcome(scenario=scenario, protocol=protocol, status="refused", reasons=list(reasons))


def read(scenario: str, protocol: str, evidence: Evidence | None, content: Mapping[str, Any]) -> Outcome:
    """Take the figures out of one run: its evidence, and its ``failstorm_metrics.json``; None stands for no run."""
    if evidence is None:
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
        unremembered=len(list(unremembered(evidence))),
        missed_at_end=list(missed_at_end(evidence)),
        expected={f"{name} {bound['bound']}": bound["met"] for name, bound in content["expect"].items()},
        **{name: content[name] for name in (
            "recovery_ms", "steady_state_ms", "success_rate_drop", "lost_tasks", "duplicate_effects", "redundant",
        )},
    )  # fmt: skip


def missed_at_end(evidence: Evidence) -> Iterator[str]:
    """Every healed victim and every live agent that holds it for dead at the end of the run."""
    healed = {row.victim for row in evidence.rows(HealDone)}
    told: list[Suspect | Alive] = [*evidence.rows(Suspect), *evidence.rows(Alive)]
    # What an earlier life of an observer believed died with it; a life that has news of nobody tells of its event loop.
    lives: dict[str, int] = {}
    for sign in (*told, *evidence.rows(LoopLag)):
        lives[sign.node] = max(sign.inc, lives.get(sign.node, 0))
    held: dict[tuple[str, str], bool] = {}
    for row in sorted(told, key=lambda row: row.t):
        if row.inc == lives[row.node]:
            held[row.node, row.peer] = isinstance(row, Suspect)
    for (node, peer), dead in sorted(held.items()):
        if dead and peer in healed and (node in healed or node not in evidence.victims):
            yield f"{peer} by {node}"


def unremembered(evidence: Evidence) -> Iterator[str]:
    """Every task that was committed again after its first owner and all its electors had been killed.

    Nobody alive could know of it then (docs/adr/0007): like a shard whose holders all died at one time, it is more than
    ``replication`` guards against.
    """
    (placement,) = evidence.rows(Placement)
    died_at = {row.victim: row.t for row in evidence.rows(Death)}
    for task in evidence.tasks:
        if len(task.commits) > 1:
            first, again, *_ = sorted(task.commits, key=lambda commit: commit.t)
            electors = owners(evidence.run.seed, task.task, [agent.node_id for agent in evidence.agents])
            told = (first.node, *electors[: elector_count(len(placement.holders[0]))])
            if all(died_at.get(name, again.t) < again.t for name in told):
                yield task.task


def cells(run: Outcome) -> tuple[str, ...]:
    """One row of the table."""
    numbers = (
        run.recovery_ms, run.steady_state_ms, run.success_rate_drop, run.lost_tasks, run.duplicate_effects,
        run.unremembered, run.redundant, run.connectivity_min, run.connectivity_end,
    )  # fmt: skip
    status = f"{run.status}, starved" if run.starved else run.status
    missed = "-" if run.connectivity_end is None else f"{len(run.missed_at_end)}"
    bounds = "; ".join(f"{bound}{'' if met else ' BROKEN'}" for bound, met in run.expected.items())
    return (
        run.scenario,
        run.protocol,
        status,
        *("-" if one is None else f"{one:.4g}" for one in numbers),
        missed,
        bounds or "-",
    )


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
    if (again := (run.duplicate_effects or 0) - (run.unremembered or 0)) > 0:
        yield f"{again} tasks committed twice"
    if run.connectivity_end is None or run.connectivity_end < 1:
        yield "the survivors are not connected at the end"
    if run.missed_at_end:
        yield f"healed and still held for dead: {', '.join(run.missed_at_end)}"
    yield from (f"expected {bound}" for bound, met in run.expected.items() if not met)
