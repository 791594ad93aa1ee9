"""Packet loss as TCP shows it: each piece is lost with this share, and sent again after 0.2, 0.6, 1.4 s and so on."""

from chaos.faults import Fault
from chaos.links.shape import Bend, Shape
from chaos.reversible import Blow, Reversible
from chaos.targets import Target


async def _strike(target: Target, blow: Blow) -> None:
    await target.bend("loss", blow.victim, Bend(Shape(loss=blow.parameters.loss or 0.0)))


async def _relieve(target: Target, victim: str) -> None:
    await target.unbend("loss", victim)


FAULT: Fault = Reversible("loss", "links", "weakens", _strike, _relieve, ("loss",))
