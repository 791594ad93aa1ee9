"""How long an agent goes unnoticed that is frozen or cut off: no signal at all, only the detector's own probes find it.

Mode ``probe``, since a failed request would call for a confirming probe earlier. Agents fall silent one after the other
in one run; the next is frozen when everybody holds everybody for alive again, and cut off some seconds after the heal.
"""

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

from agent.detection import noticed_within_s
from agent.settings import DetectorSettings
from benchmarks.detectors.results import MAX_DETECTION_RATIO, Detection, Fault, Silences
from benchmarks.detectors.storms import AGENTS, Run, at_least_s, control, frozen, named
from orchestrator.journal import Event
from protocols.clock import Clock
from protocols.errors import LabError

_SETTLE_S = 5.0
"""Before each freeze: what learns from answers has some."""
_REJOIN_S = 20.0
_CUT_RUN_S, _FIRST_CUT_S = 100.0, 30.0
"""The shortest run with room for three cuts, and the earliest moment that its baseline leaves for the first."""


def freeze(kind: str, folder: Path, clock: Clock, *, count: int, seed: int) -> Silences:
    """Stop so many agents by SIGSTOP, drawn by the seed; raises LabError when the run breaks."""
    settings = DetectorSettings(kind=kind, mode="probe")
    rng = Random(seed)  # noqa: S311 - an order of victims, not a secret
    most_s = count * (_SETTLE_S + 1 + 2 * noticed_within_s(settings, AGENTS) + _REJOIN_S)
    with control(folder, {"kind": kind, "mode": "probe"}, clock, at_least_s(most_s)) as run:
        run.started()
        neighbours = run.neighbours()
        links = max(len(names) for names in neighbours.values())
        bound_s = noticed_within_s(settings, links)
        victims = rng.sample(sorted(neighbours), min(count, AGENTS))
        spans: list[tuple[str, float, float]] = []
        for victim in victims:
            run.wait(lambda: False, _SETTLE_S + rng.random() * settings.interval_s)
            spans.append((victim, *_freeze(run, clock, victim, MAX_DETECTION_RATIO * bound_s + 1)))
        run.wait(lambda: False, 0.5)
    return _silences("freeze", settings, run.events, spans, neighbours)


def cut(kind: str, folder: Path, clock: Clock, *, count: int, seed: int) -> Silences:
    """Have chaos cut so many agents off the network, drawn by the seed; raises LabError when the run breaks."""
    settings = DetectorSettings(kind=kind, mode="probe")
    for_s = MAX_DETECTION_RATIO * noticed_within_s(settings, AGENTS) + 1
    starts = [_FIRST_CUT_S + number * (for_s + _REJOIN_S / 2) for number in range(count)]
    chaos = [{"fault": "cut", "at_s": at_s, "for_s": for_s, "victims": {"count": 1}} for at_s in starts]
    storm = {
        "scenario.seed": 1 + seed, "scenario.warmup_s": 0, "scenario.kill_at_s": _FIRST_CUT_S,
        "chaos": json.dumps(chaos),
    }  # fmt: skip
    with control(folder, {"kind": kind, "mode": "probe"}, clock, _CUT_RUN_S, storm) as run:
        run.started()
        neighbours = run.neighbours()
        run.wait(lambda: len(named(run.events, "heal_done")) == count, starts[-1] + for_s + _REJOIN_S)
        run.wait(lambda: False, _REJOIN_S / 4)
        if len(named(run.events, "heal_done")) < count:
            raise LabError(f"expected {count} cuts to come and be healed, got {len(named(run.events, 'heal_done'))}")
    cuts, heals = named(run.events, "fault_done"), named(run.events, "heal_done")
    # What was asked before the heal may still go unanswered after it.
    spans = [
        (str(one["victim"]), _time(one), _time(end) + settings.timeout_s) for one, end in zip(cuts, heals, strict=True)
    ]
    return _silences("cut", settings, run.events, spans, neighbours)


def _silences(
    fault: Fault,
    settings: DetectorSettings,
    events: Sequence[Event],
    spans: Sequence[tuple[str, float, float]],
    neighbours: Mapping[str, Sequence[str]],
) -> Silences:
    return Silences(
        fault=fault,
        kind=settings.kind,
        interval_s=settings.interval_s,
        bound_ms=1000 * noticed_within_s(settings, max(len(names) for names in neighbours.values())),
        detections=[found for span in spans for found in detections(events, span, neighbours)],
        wronged=wronged(events, spans, fault),
    )


def detections(
    events: Sequence[Event], span: tuple[str, float, float], neighbours: Mapping[str, Sequence[str]]
) -> list[Detection]:
    """When each survivor began to hold the victim for dead, within the span of its silence."""
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


def wronged(events: Sequence[Event], spans: Sequence[tuple[str, float, float]], fault: Fault) -> int:
    """Suspicions of agents that were not silent then, by whomever; but who is cut off rightly misses all others."""

    def is_right(event: Event, victim: str) -> bool:
        return victim == event["peer"] or (fault == "cut" and victim == event["node"])

    return sum(
        not any(begin <= _time(event) <= end and is_right(event, victim) for victim, begin, end in spans)
        for event in named(events, "suspect")
    )


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
