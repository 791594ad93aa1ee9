"""Broken connections: each one to or from the victims is reset, and so is each new one until it is healed.

Both ends live on and reach each other again at once afterwards; whatever was under way is lost without a word: a
request, an answer to something that has been done, the rest of a stream.
"""

from chaos.faults import Fault
from chaos.links.shape import Bend, Shape
from chaos.reversible import Blow, Reversible
from chaos.targets import Target


async def _strike(target: Target, blow: Blow) -> None:
    await target.bend("reset", blow.victim, Bend(Shape(reset=True)))


async def _relieve(target: Target, victim: str) -> None:
    await target.unbend("reset", victim)


FAULT: Fault = Reversible("reset", "links", "weakens", _strike, _relieve)
