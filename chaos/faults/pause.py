"""Freeze: the process stops between two instructions, keeps all its connections, and says nothing; healing thaws it.

By SIGSTOP and SIGCONT on local processes, by the engine's pause and unpause on containers. The kernel goes on accepting
connections for a frozen process, so only a read timeout shows it.
"""

from chaos.faults import Fault
from chaos.reversible import Blow, Reversible
from chaos.targets import Target


async def _strike(target: Target, blow: Blow) -> None:
    await target.pause(blow.victim)


async def _relieve(target: Target, victim: str) -> None:
    await target.resume(victim)


FAULT: Fault = Reversible("pause", "pause", "silences", _strike, _relieve)
