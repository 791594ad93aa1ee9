"""Split brain: the victims are cut off from all others together, and still reach each other."""

from chaos.faults import Fault
from chaos.links.shape import Bend, Shape
from chaos.reversible import Blow, Reversible
from chaos.targets import Target


async def _strike(target: Target, blow: Blow) -> None:
    await target.bend("partition", blow.victim, Bend(Shape(cut=True), spared=blow.victims))


async def _relieve(target: Target, victim: str) -> None:
    await target.unbend("partition", victim)


FAULT: Fault = Reversible("partition", "links", "silences", _strike, _relieve)
