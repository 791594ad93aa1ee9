"""Corrupt bytes: in this share of the pieces to and from the victims one byte is not the one that was sent."""

from chaos.faults import Fault
from chaos.links.shape import Bend, Shape
from chaos.reversible import Blow, Reversible
from chaos.targets import Target


async def _strike(target: Target, blow: Blow) -> None:
    await target.bend("corrupt", blow.victim, Bend(Shape(corrupt=blow.parameters.corrupt or 0.0)))


async def _relieve(target: Target, victim: str) -> None:
    await target.unbend("corrupt", victim)


FAULT: Fault = Reversible("corrupt", "links", "weakens", _strike, _relieve, ("corrupt",))
