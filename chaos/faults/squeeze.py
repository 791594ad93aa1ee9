"""CPU squeeze: the victims get so many CPUs at most (0.05 is a twentieth of one), and everything they do is slow.

By the engine's CPU quota on containers; on local processes by SIGSTOP and SIGCONT, whenever the process has used up its
share of a tenth of a second by the kernel's own clock of it. How much it had is checked when the limit is lifted. What
an agent does is slow by as much as it needs the CPU; a tool that only waits takes as long as ever.
"""

from chaos.faults import Fault
from chaos.reversible import Blow, Reversible
from chaos.targets import Target


async def _strike(target: Target, blow: Blow) -> None:
    await target.squeeze(blow.victim, blow.parameters.cpus or 1.0)


async def _relieve(target: Target, victim: str) -> None:
    await target.squeeze(victim, None)


FAULT: Fault = Reversible("squeeze", "squeeze", "weakens", _strike, _relieve, ("cpus",))
