"""Cut between the victims: no two of them reach each other, everybody else reaches them."""

from chaos.faults import Fault
from chaos.links.shape import Bend, Shape
from chaos.reversible import Blow, Reversible
from chaos.targets import Target


async def _strike(target: Target, blow: Blow) -> None:
    await target.bend("sever", blow.victim, Bend(Shape(cut=True), only=blow.victims))


async def _relieve(target: Target, victim: str) -> None:
    await target.unbend("sever", victim)


FAULT: Fault = Reversible("sever", "links", "weakens", _strike, _relieve)
