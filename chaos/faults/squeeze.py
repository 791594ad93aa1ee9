"""CPU squeeze: the victims get so many CPUs at most (0.05 is a twentieth of one), and everything they do is slow."""

from chaos.faults import Fault
from chaos.reversible import Blow, Reversible
from chaos.targets import Target


async def _strike(target: Target, blow: Blow) -> None:
    await target.squeeze(blow.victim, blow.parameters.cpus or 1.0)


async def _relieve(target: Target, victim: str) -> None:
    await target.squeeze(victim, None)


FAULT: Fault = Reversible("squeeze", "squeeze", "weakens", _strike, _relieve, ("cpus",))
