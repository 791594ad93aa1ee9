"""SIGKILL: the process ends between two instructions; its kernel closes the sockets, nobody says good-bye."""

import asyncio
import signal
from collections.abc import Sequence
from typing import ClassVar

from chaos.faults import Effect, Fault, Record
from chaos.parameters import NONE, Parameters
from chaos.targets import Ability, Target
from protocols.errors import FailstormError, FaultError

PROOF_TIMEOUT_S = 10.0
"""How long the proof of a death may take; a process is stuck in the kernel when SIGKILL needs longer."""


class Kill:
    """Kills by SIGKILL, proves each death, and heals by a restart."""

    name: ClassVar[str] = "kill"
    needs: ClassVar[Ability] = "kill"
    effect: ClassVar[Effect] = "ends"
    takes: ClassVar[tuple[str, ...]] = ()

    async def inject(
        self, target: Target, victims: Sequence[str], record: Record, _parameters: Parameters = NONE
    ) -> None:
        """Kill all victims back to back, then wait for the proof of each death.

        Records ``kill_call`` for every victim before the first kill, so that no write to a disk comes between two
        kills, and then ``death`` or ``fault_failed`` for each. Raises FaultError, before anything is hurt, for an
        order that the target refuses.
        """
        reason = target.available(self.name)
        if reason is not None:
            raise FaultError(f"expected a target that can kill, but {reason}")
        await target.authorise(victims)
        for victim in victims:
            record("kill_call", victim=victim)
        await asyncio.gather(*(_kill(target, victim, record) for victim in victims))

    async def heal(self, target: Target, victims: Sequence[str], record: Record) -> None:
        """Restart all victims at once; records ``heal_call``, then ``heal_done`` or ``fault_failed`` for each."""
        await target.authorise(victims)
        await asyncio.gather(*(_restart(target, victim, record) for victim in victims))


async def _kill(target: Target, victim: str, record: Record) -> None:
    try:
        await target.kill(victim)
        number = await target.wait_dead(victim, PROOF_TIMEOUT_S)
    except FailstormError as error:
        record("fault_failed", victim=victim, reason=str(error))
        return
    if number == signal.SIGKILL:
        record("death", victim=victim, signal=number)
    else:
        record("fault_failed", victim=victim, reason=f"expected death by signal 9, got signal {number}")


async def _restart(target: Target, victim: str, record: Record) -> None:
    record("heal_call", victim=victim)
    try:
        await target.restart(victim)
    except FailstormError as error:
        record("fault_failed", victim=victim, reason=str(error))
    else:
        record("heal_done", victim=victim)


FAULT: Fault = Kill()
