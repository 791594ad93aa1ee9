"""What many short storms show about detection and recovery, and the bounds that the plain mesh must keep."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from statistics import median
from typing import Any

from pydantic import JsonValue

from agent.errand import PATIENCE_IN_DEADLINES
from agent.retries import MOST_TOKENS, RETRIES_PER_S, RETRIES_PER_SUCCESS
from benchmarks.results import Measured
from orchestrator.evidence import Evidence
from orchestrator.metrics.definition import quantile, to_ms
from orchestrator.metrics.recovery import repairs

MAX_DETECTION_P95_MS = 100.0
MAX_RECOVERY_MS = 250.0
MAX_REPAIRED_P95_MS = 1000.0
MAX_AGREEMENT_MS = 1000.0
MAX_EXCESS_DROP = 0.02
MAX_AMPLIFICATION = 1.05
LEAST_STORMS = 10
LEAST_TASKS = 1000
"""Fewer storms, or fewer tasks after the kill, say too little to judge by."""


class StormRun(Measured):
    """One storm; a time is null where it never came."""

    seed: int
    obstacle: str | None
    """Why it counts for nothing, its verdict; null for a valid one."""
    starved: bool
    floor_ms: float | None
    """Kill call to the EOF at the slowest canary: what no detector of a local process can be below."""
    detection_ms: list[float | None]
    """Of every survivor that had a link to a victim, once for each."""
    recovery_ms: float | None
    repaired_ms: list[float]
    """T0 to the first receipt of each re-published request."""
    agreement_ms: float | None
    lost_tasks: int
    before: tuple[int, int]
    """Tasks of the baseline, and how many of them succeeded."""
    after: tuple[int, int]
    """The same of those that arrived after the kill."""
    unanswerable: int
    """Tasks after the kill for which no holder of a fragment was left."""
    amplification_peak: float | None
    amplification_allowed: float | None
    """What the agents' retry budgets allow the peak to be, if all of them are emptied on the tasks of one window."""
    amplification_after: float | None


class Figure(Measured):
    """One line of the table: what was found, and the bound where it has one."""

    name: str
    value: float | None
    unit: str
    bound: float | None
    judged: bool
    """False while there is too little to judge by, and for what is shown beside."""
    of: str
    """Over what it was taken."""

    @property
    def is_broken(self) -> bool:
        """Whether it does not keep its bound; what never came keeps none."""
        return self.judged and self.bound is not None and (self.value is None or self.value > self.bound)


class Storms(Measured):
    """One run of this benchmark."""

    made_at: datetime
    host: dict[str, JsonValue]
    protocol: str
    judged: bool
    """The bounds are those of plain JSON; the other protocols are reported."""
    runs: list[StormRun]


def read(evidence: Evidence, content: Mapping[str, Any]) -> StormRun:
    """Take the figures out of one storm: its evidence, and its ``failstorm_metrics.json``."""
    verdict, details = content["verdict"], content["details"]
    valid = verdict["status"] == "valid"
    drop, success, retries = (
        details.get("unavoidable_drop", {}),
        content["success"] or {},
        content["retry_amplification"] or {},
    )
    return StormRun(
        seed=content["seed"],
        obstacle=None if valid else f"{verdict['status']}: {'; '.join(verdict['reasons'])}",
        starved=content["starved"],
        floor_ms=content["harness_floor_ms"],
        detection_ms=list(_linked(evidence, content["detection_ms"])),
        recovery_ms=content["recovery_ms"],
        repaired_ms=_repaired(evidence),
        agreement_ms=content["agreement_ms"],
        lost_tasks=content["lost_tasks"],
        before=_counted(success.get("pre")),
        after=_counted(success.get("post")),
        unanswerable=drop.get("unanswerable", 0),
        amplification_peak=retries.get("peak"),
        amplification_allowed=_allowed(evidence, retries["before"], len(evidence.tasks)) if retries else None,
        amplification_after=retries.get("after_steady"),
    )


def _allowed(evidence: Evidence, attempts_per_task: float, tasks: int) -> float:
    """One, what is earned, and the buckets of all agents over the attempts of one steady-state window's tasks.

    Tasks are waited for up to three deadlines after they arrived, and as long buckets go on filling.
    """
    windows = evidence.windows
    rate_per_s = tasks / (windows.duration_s - windows.task_deadline_s)
    while_s = windows.steady_window_s + PATIENCE_IN_DEADLINES * windows.task_deadline_s
    buckets = len(evidence.agents) * (MOST_TOKENS + RETRIES_PER_S * while_s)
    return 1 + RETRIES_PER_SUCCESS + buckets / (attempts_per_task * rate_per_s * windows.steady_window_s)


def _counted(share: Mapping[str, Any] | None) -> tuple[int, int]:
    return (share["n"], share["correct"]) if share else (0, 0)


def _linked(evidence: Evidence, detection: Mapping[str, Any] | None) -> Iterator[float | None]:
    """The detection times of those pairs that the topology links; null for a pair without one."""
    found = {(one, victim): after for one, victim, after, _ in (detection or {}).get("pairs", ())}
    links = {member.node_id: member.neighbours for member in evidence.agents}
    for survivor in evidence.survivors:
        for victim in evidence.victims:
            if victim in links[survivor]:
                yield found.get((survivor, victim))


def _repaired(evidence: Evidence) -> list[float]:
    """When each request that a victim had, or whose task it had, was acknowledged by another, ms since T0."""
    found = [made.repair for link in ("warm", "new") for made in repairs(evidence, link)]
    return sorted(to_ms(repair.t) for repair in found if repair.kind != "edge")


def figures(storms: Storms) -> list[Figure]:
    """The table of all valid storms: medians over storms, and what is pooled over all of them."""
    runs = [run for run in storms.runs if run.obstacle is None]
    enough = storms.judged and len(runs) >= LEAST_STORMS
    each = f"median of {len(runs)} storms"
    pairs = [after for run in runs for after in run.detection_ms]
    repaired = [after for run in runs for after in run.repaired_ms]
    tasks = sum(run.after[0] for run in runs)
    peaks = [run.amplification_peak for run in runs if run.amplification_peak is not None]

    def over_storms(name: str, values: Iterable[float | None], bound: float | None, unit: str = "ms") -> Figure:
        return Figure(name=name, value=_median(values), unit=unit, bound=bound, judged=enough, of=each)

    return [
        over_storms("physical floor: EOF at the canary", (run.floor_ms for run in runs), None),
        Figure(
            name="detection, p95 over linked pairs", value=_p95(pairs), unit="ms", bound=MAX_DETECTION_P95_MS,
            judged=enough, of=f"{len(pairs)} pairs",
        ),
        over_storms("recovery_ms", (run.recovery_ms for run in runs), MAX_RECOVERY_MS),
        Figure(
            name="repaired requests, p95", value=_p95(repaired), unit="ms", bound=MAX_REPAIRED_P95_MS,
            # Storms in which no request was under way on a victim have nothing to repair.
            judged=enough and bool(repaired), of=f"{len(repaired)} requests",
        ),
        over_storms("agreement_ms", (run.agreement_ms for run in runs), MAX_AGREEMENT_MS),
        Figure(
            name="answerable tasks lost", value=sum(run.lost_tasks for run in runs), unit="count", bound=0.0,
            judged=enough, of=f"all tasks of {len(runs)} storms",
        ),
        Figure(
            name="excess drop, pooled", value=_excess_drop(runs), unit="ratio", bound=MAX_EXCESS_DROP,
            judged=enough and tasks >= LEAST_TASKS, of=f"{tasks} tasks after the kill",
        ),
        Figure(
            name="retry amplification, peak", value=max(peaks, default=None), unit="ratio", judged=enough,
            bound=min((run.amplification_allowed for run in runs if run.amplification_allowed), default=None),
            of=f"worst of {len(peaks)} storms",
        ),
        over_storms(
            "retry amplification after steady state", (run.amplification_after for run in runs), MAX_AMPLIFICATION,
            "ratio",
        ),
    ]  # fmt: skip


def _median(values: Iterable[float | None]) -> float | None:
    """The median, where what never came is longer than everything that did; null when that is half of them."""
    ordered = sorted(values, key=lambda value: (value is None, value or 0.0))
    if not ordered or ordered[len(ordered) // 2] is None:
        return None
    return median([float("inf") if value is None else value for value in ordered])


def _p95(values: Sequence[float | None]) -> float | None:
    """The 95th percentile; null when something is missing, for then nobody knows it."""
    known = [value for value in values if value is not None]
    return quantile(known, 0.95) if known and len(known) == len(values) else None


def _excess_drop(runs: Sequence[StormRun]) -> float | None:
    """The mesh's own part of the drop in success, over the tasks of all storms together."""
    before, good_before = (sum(run.before[part] for run in runs) for part in (0, 1))
    after, good_after = (sum(run.after[part] for run in runs) for part in (0, 1))
    if not good_before or not after:
        return None
    rate_before, rate_after = good_before / before, good_after / after
    drop = (rate_before - rate_after) / rate_before
    return float(drop - sum(run.unanswerable for run in runs) / after)


def broken_bounds(storms: Storms) -> Iterator[str]:
    """A few words on each bound that does not hold."""
    for figure in figures(storms):
        if figure.is_broken:
            found = "nothing" if figure.value is None else f"{figure.value:.3g}"
            yield f"{storms.protocol}: {figure.name}: {found} {figure.unit} (at most {figure.bound:g})"
