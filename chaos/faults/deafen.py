"""One-way cut: what is sent to the victims is lost, what they send arrives."""

from chaos.faults import Fault
from chaos.links.shape import Bend, Shape
from chaos.reversible import Blow, Reversible
from chaos.targets import Target


async def _strike(target: Target, blow: Blow) -> None:
    await target.bend("deafen", blow.victim, Bend(Shape(cut=True), direction="in"))


async def _relieve(target: Target, victim: str) -> None:
    await target.unbend("deafen", victim)


FAULT: Fault = Reversible("deafen", "links", "weakens", _strike, _relieve)
