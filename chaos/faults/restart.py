"""Orderly restart: the process is asked to end (SIGTERM) and says good-bye; healing starts it anew, without memory."""

from chaos.faults import Fault
from chaos.reversible import Blow, Reversible
from chaos.targets import Target


async def _strike(target: Target, blow: Blow) -> None:
    await target.stop(blow.victim)


async def _relieve(target: Target, victim: str) -> None:
    await target.restart(victim)


FAULT: Fault = Reversible("restart", "restart", "ends", _strike, _relieve)
