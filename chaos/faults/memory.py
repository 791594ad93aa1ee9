"""Memory limit: the victims get spare_mib beyond what they use when it comes, and no swap.

The kernel takes back what it can, pages of programs and files first, and kills who still needs more. Such a death is
told with its cause (the engine's OOMKilled) when the limit is to be lifted, and makes the run invalid: raise spare_mib.
"""

from chaos.faults import Fault
from chaos.reversible import Blow, Reversible
from chaos.targets import Target


async def _strike(target: Target, blow: Blow) -> None:
    await target.limit_memory(blow.victim, blow.parameters.spare_mib or 0.0)


async def _relieve(target: Target, victim: str) -> None:
    await target.limit_memory(victim, None)


FAULT: Fault = Reversible("memory", "memory", "weakens", _strike, _relieve, ("spare_mib",))
