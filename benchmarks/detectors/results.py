"""What was measured of the detectors, as it stands in ``results/bench-detectors-…``, and the bounds it must keep."""

import math
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Literal

from pydantic import JsonValue

from benchmarks.results import Measured

MAX_DETECTION_RATIO = 1.2

Fault = Literal["freeze", "cut"]


class Detection(Measured):
    """How one survivor learned that a silent peer is dead; ms since the fault, None when it never did in time."""

    victim: str
    survivor: str
    linked: bool
    """The two are neighbours; only then has the survivor eyes of its own."""
    mechanism: str | None
    taken_ms: float | None


class Silences(Measured):
    """One run on local processes in which agents fell silent one after the other, and came back."""

    fault: Fault
    """Frozen by SIGSTOP, or cut off the network by the lab."""
    kind: str
    interval_s: float
    bound_ms: float
    """The detector's documented bound for as many links as an agent has neighbours."""
    detections: list[Detection]
    wronged: int
    """Suspicions of agents that were not silent."""


class Calm(Measured):
    """One run on local processes in which nobody was hurt."""

    kind: str
    loaded: bool
    """Every core was busy with another program."""
    duration_s: float
    agents: int
    suspicions: int
    """All of them false."""
    doubts: int
    excused: int
    """Silences that did not count, because the observer's own loop was late."""
    cost_bytes_per_s: float
    """Per agent: exchanges of the classes heartbeat and membership that it opened, both directions."""
    cpu_percent: float
    """Of the whole machine, median."""


class Price(Measured):
    """One point of the curve, simulated: eight agents over a network in memory, in virtual time."""

    kind: str
    interval_s: float
    adaptive: bool
    slow: bool
    """The network takes 200 ms there and back instead of 2."""
    bound_ms: float
    detection_ms: list[float]
    """Of linked survivors, over several freezes."""
    undetected: int
    """Survivors that did not notice within 25 s."""
    wronged: int
    """False suspicions by agents' own probes in two minutes in which 5 % of the probes get lost."""
    cost_bytes_per_s: float
    """Per agent before the freezes; probes and messages at what plain JSON takes for them."""


class Report(Measured):
    """All that one call has found, or found already made."""

    made_at: datetime
    full: bool
    host: dict[str, JsonValue]
    silences: list[Silences]
    calms: list[Calm]
    prices: list[Price]


def alike(report: Report) -> Iterator[list[Silences]]:
    """The runs of each fault and detector."""
    runs: dict[tuple[str, str], list[Silences]] = {}
    for run in report.silences:
        runs.setdefault((run.fault, run.kind), []).append(run)
    yield from runs.values()


def linked_ms(runs: Sequence[Silences]) -> list[float]:
    """Detection times of linked pairs by any mechanism; a pair that never noticed counts as infinite."""
    return [
        float("inf") if found.taken_ms is None else found.taken_ms
        for run in runs
        for found in run.detections
        if found.linked
    ]


def p95(values: Sequence[float]) -> float:
    """The smallest value that 95 % do not exceed; unlike an interpolated one it may be infinite."""
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]


def broken_bounds(report: Report) -> Iterator[str]:
    """A few words on each bound that does not hold."""
    for runs in alike(report):
        kind, fault = runs[0].kind, runs[0].fault
        bound_ms = max(run.bound_ms for run in runs)
        p95_ms = p95(linked_ms(runs))
        if p95_ms > MAX_DETECTION_RATIO * bound_ms:
            yield f"{kind}: a {fault} is detected in {p95_ms:.0f} ms (p95), the documented bound is {bound_ms:.0f} ms"
        wronged = sum(run.wronged for run in runs)
        if wronged:
            yield f"{kind}: {wronged} suspicions of agents that were not silent ({fault})"
    for calm in report.calms:
        if calm.suspicions:
            load = ", all cores loaded" if calm.loaded else ""
            yield f"{calm.kind}: {calm.suspicions} false suspicions in {calm.duration_s:.0f} s{load}"
