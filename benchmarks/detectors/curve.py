"""Cost against detection time, simulated: eight agents over the tests' network in memory, in virtual time.

The agents are whole agents, wired as on sockets; only the adapter is another. What a probe and a message cost is what
they take over plain JSON: the adapters' benchmark measured the probe's bytes, and those around a message.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from agent.detection import noticed_within_s
from agent.settings import DETECTORS, DetectorSettings
from benchmarks.detectors.results import Price
from tests.agent.lab import Lab
from tests.agent.specimen import Agent
from tests.agent.virtual_time import run_virtually

INTERVALS_S = (0.25, 0.5, 1.0, 2.0)
PROBE_BYTES = 257
AROUND_MESSAGE_BYTES = 280
"""Heads of request and answer, and the receipt."""
_QUICK_S, _SLOW_S = 0.002, 0.2
"""There and back; on the slow network an adaptive interval has something to adapt to."""
_LOSS, _LOSSY_S = 0.05, 120.0
_AGENTS = 8
_CALM_S = 30.0
_PHASE_S = 0.37
_BACK_S = 15.0


class Point(NamedTuple):
    """What is set."""

    kind: str
    interval_s: float
    adaptive: bool
    slow: bool


def wanted() -> Iterator[Point]:
    """Every point: all detectors at four intervals, and the adaptive interval on a quick and on a slow network."""
    for kind in DETECTORS:
        for interval_s in INTERVALS_S:
            yield Point(kind, interval_s, adaptive=False, slow=False)
    yield Point("fixed", 1.0, adaptive=True, slow=False)
    for adaptive, interval_s in ((False, 0.25), (False, 1.0), (True, 1.0)):
        yield Point("fixed", interval_s, adaptive=adaptive, slow=True)


def measure(point: Point, folder: Path, freezes: int) -> Price:
    """Let the mesh run calmly for its cost, then freeze and thaw so many agents one after the other."""
    detector = {
        "kind": point.kind,
        "mode": "probe",
        "interval_s": point.interval_s,
        "adaptive": {"enabled": point.adaptive},
    }
    lab = Lab(folder, _AGENTS, "mesh", detector)
    lab.network.one_way_s = (_SLOW_S if point.slow else _QUICK_S) / 2
    cost, found, wronged = run_virtually(_story(lab, freezes))
    settings = DetectorSettings.model_validate(detector)
    noticed = [taken_ms for taken_ms in found if taken_ms is not None]
    return Price(
        **point._asdict(),
        bound_ms=1000 * noticed_within_s(settings, len(lab.settings(lab.names[0]).neighbours)),
        detection_ms=noticed,
        undetected=len(found) - len(noticed),
        wronged=wronged,
        cost_bytes_per_s=cost,
    )


async def _story(lab: Lab, freezes: int) -> tuple[float, list[float | None], int]:
    found: list[float | None] = []
    async with lab:
        agents = await lab.alive()
        await asyncio.sleep(_CALM_S)
        lab.network.calls.clear()
        await asyncio.sleep(_CALM_S)
        cost = _cost_bytes(lab) / _CALM_S / _AGENTS
        for number in range(freezes):
            victim = agents[number % _AGENTS]
            found += await _frozen_ms(lab, agents, victim)
            await asyncio.sleep(_BACK_S + _PHASE_S * number)
        before = _by_own_probes(agents)
        lab.network.probe_loss = _LOSS
        await asyncio.sleep(_LOSSY_S)
        wronged = _by_own_probes(agents) - before
    return cost, found, wronged


def _by_own_probes(agents: list[Agent]) -> int:
    return sum(event["mechanism"] == "probe" for agent in agents for event in agent.events("suspect"))


async def _frozen_ms(lab: Lab, agents: list[Agent], victim: Agent) -> list[float | None]:
    """Detection times of the victim's neighbours; None for one that does not notice in time."""
    name, begin = victim.settings.node_id, lab.clock.now()
    lab.network.freeze(name)
    await asyncio.sleep(_BACK_S + 10)
    lab.network.thaw(name)
    times: list[float | None] = []
    for agent in agents:
        if agent.settings.node_id in victim.settings.neighbours:
            since = [event["t"] for event in agent.events("suspect") if event["peer"] == name and event["t"] >= begin]
            times.append(1000 * (min(since) - begin) if since else None)
    return times


def _cost_bytes(lab: Lab) -> int:
    probes = PROBE_BYTES * len(lab.network.of("probe"))
    messages = [call.message for call in lab.network.of("send") if call.message is not None]
    return probes + sum(AROUND_MESSAGE_BYTES + len(message.to_json()) for message in messages)
