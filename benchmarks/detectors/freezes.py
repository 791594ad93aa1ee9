"""How long a frozen agent goes unnoticed: no signal at all, only the detector's own probes find it.

Mode ``probe``, since a failed request would call for a confirming probe earlier. Agents are frozen one after the other
in one run; the next one when everybody holds everybody for alive again.
"""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

from agent.detection import noticed_within_s
from agent.settings import DetectorSettings
from benchmarks.detectors.results import MAX_DETECTION_RATIO, Detection, Freezes
from benchmarks.detectors.storms import AGENTS, Run, control, frozen
from orchestrator.journal import Event
from protocols.clock import Clock

_SETTLE_S = 5.0
"""Before each freeze: what learns from answers has some."""
_REJOIN_S = 20.0


def measure(kind: str, folder: Path, clock: Clock, *, freezes: int, seed: int) -> Freezes:
    """Freeze so many agents, drawn by the seed; raises LabError when the run breaks."""
    settings = DetectorSettings(kind=kind, mode="probe")
    rng = Random(seed)  # noqa: S311 - an order of victims, not a secret
    most_s = freezes * (_SETTLE_S + 1 + 2 * noticed_within_s(settings, AGENTS) + _REJOIN_S)
    with control(folder, {"kind": kind, "mode": "probe"}, most_s, clock) as run:
        run.started()
        neighbours = run.neighbours()
        links = max(len(names) for names in neighbours.values())
        bound_s = noticed_within_s(settings, links)
        victims = rng.sample(sorted(neighbours), min(freezes, AGENTS))
        spans: list[tuple[str, float, float]] = []
        for victim in victims:
            run.wait(lambda: False, _SETTLE_S + rng.random() * settings.interval_s)
            spans.append((victim, *_freeze(run, clock, victim, MAX_DETECTION_RATIO * bound_s + 1)))
        run.wait(lambda: False, 0.5)
    found = [detection for span in spans for detection in detections(run.events, span, neighbours)]
    return Freezes(
        kind=kind,
        interval_s=settings.interval_s,
        bound_ms=1000 * bound_s,
        detections=found,
        wronged=wronged(run.events, spans),
    )


def detections(
    events: Sequence[Event], span: tuple[str, float, float], neighbours: Mapping[str, Sequence[str]]
) -> list[Detection]:
    """When each survivor began to hold the victim for dead, within the span of its freeze."""
    victim, begin, end = span
    first: dict[str, Event] = {}
    for event in events:
        if event["ev"] == "suspect" and event["peer"] == victim and begin <= _time(event) <= end:
            first.setdefault(str(event["node"]), event)
    return [
        Detection(
            victim=victim,
            survivor=survivor,
            linked=victim in neighbours[survivor],
            mechanism=str(first[survivor]["mechanism"]) if survivor in first else None,
            taken_ms=1000 * (_time(first[survivor]) - begin) if survivor in first else None,
        )
        for survivor in neighbours
        if survivor != victim
    ]


def wronged(events: Sequence[Event], spans: Sequence[tuple[str, float, float]]) -> int:
    """Suspicions of agents that were not frozen then, or by one that was just thawed of one that was not."""
    guilty = [
        event
        for event in events
        if event["ev"] == "suspect"
        and not any(victim == event["peer"] and begin <= _time(event) <= end for victim, begin, end in spans)
    ]
    return len(guilty)


def _freeze(run: Run, clock: Clock, victim: str, at_most_s: float) -> tuple[float, float]:
    """When the victim was frozen, and when it was held for alive by all again (or was not, in time)."""
    survivors = AGENTS - 1
    known = len(run.events)

    def told(ev: str) -> int:
        fresh = itertools.islice(run.events, known, None)
        return len({event["node"] for event in fresh if event["ev"] == ev and event["peer"] == victim})

    pid = run.pids()[victim]
    begin = clock.now()
    with frozen(pid):
        run.wait(lambda: told("suspect") == survivors, at_most_s)
    run.wait(lambda: told("alive") >= told("suspect"), _REJOIN_S)
    return begin, clock.now()


def _time(event: Event) -> float:
    return float(str(event["t"]))
