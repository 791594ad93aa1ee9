"""Bandwidth limit: each connection to or from the victims carries kbit_per_s at most, in each direction."""

from chaos.faults import Fault
from chaos.links.shape import Bend, Shape
from chaos.reversible import Blow, Reversible
from chaos.targets import Target


async def _strike(target: Target, blow: Blow) -> None:
    rate = 125 * (blow.parameters.kbit_per_s or 0.0)
    await target.bend("bandwidth", blow.victim, Bend(Shape(bytes_per_s=rate)))


async def _relieve(target: Target, victim: str) -> None:
    await target.unbend("bandwidth", victim)


FAULT: Fault = Reversible("bandwidth", "links", "weakens", _strike, _relieve, ("kbit_per_s",))
