"""Network cut of a node: nothing goes in or out, no connection breaks; the victims are cut off from each other as well.

By the lab's proxy on local processes, where a new connection is accepted and then silent; by taking the container off
its network, where a new connection is silent from the start and the name leaves the engine's DNS.
"""

from chaos.faults import Fault
from chaos.reversible import Blow, Reversible
from chaos.targets import Target


async def _strike(target: Target, blow: Blow) -> None:
    await target.cut(blow.victim)


async def _relieve(target: Target, victim: str) -> None:
    await target.mend(victim)


FAULT: Fault = Reversible("cut", "cut", "silences", _strike, _relieve)
