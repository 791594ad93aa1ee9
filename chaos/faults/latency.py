"""Added latency: what goes to and from the victims is late by latency_ms, give or take jitter_ms, in its order."""

from chaos.faults import Fault
from chaos.links.shape import Bend, Shape
from chaos.reversible import Blow, Reversible
from chaos.targets import Target


async def _strike(target: Target, blow: Blow) -> None:
    given = blow.parameters
    shape = Shape(latency_s=(given.latency_ms or 0.0) / 1000, jitter_s=(given.jitter_ms or 0.0) / 1000)
    await target.bend("latency", blow.victim, Bend(shape))


async def _relieve(target: Target, victim: str) -> None:
    await target.unbend("latency", victim)


FAULT: Fault = Reversible("latency", "links", "weakens", _strike, _relieve, ("latency_ms", "jitter_ms"))
