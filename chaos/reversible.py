"""Faults that leave the process alone or bring it back: what all of them record, so that a file is a few lines."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from chaos.faults import Effect, Record
from chaos.parameters import NONE, Parameters
from chaos.targets import Ability, Target
from protocols.errors import FailstormError, FaultError


@dataclass(frozen=True)
class Blow:
    """What one victim's part in a fault may depend on."""

    victim: str
    victims: tuple[str, ...]
    """All who are hit by the same order."""
    parameters: Parameters = NONE


@dataclass(frozen=True)
class Reversible:
    """A fault that hits each victim by ``strike`` and undoes it by ``relieve``; both return when it is proven."""

    name: str
    needs: Ability
    effect: Effect
    strike: Callable[[Target, Blow], Awaitable[None]]
    relieve: Callable[[Target, str], Awaitable[None]]
    takes: tuple[str, ...] = ()

    async def inject(
        self, target: Target, victims: Sequence[str], record: Record, parameters: Parameters = NONE
    ) -> None:
        """Hit all victims at once.

        Records ``fault_call`` for every victim before the first is hit, then ``fault_done`` or ``fault_failed`` for
        each. Raises FaultError, before anything is hurt, for an order that the target refuses.
        """
        reason = target.available(self.name)
        if reason is not None:
            raise FaultError(f"expected a target that can {self.name}, but {reason}")
        await target.authorise(victims)
        for victim in victims:
            record("fault_call", victim=victim, fault=self.name, effect=self.effect)
        blows = [Blow(victim, tuple(victims), parameters) for victim in victims]
        await asyncio.gather(*(self._strike(target, blow, record) for blow in blows))

    async def heal(self, target: Target, victims: Sequence[str], record: Record) -> None:
        """Relieve all victims at once; records ``heal_call``, then ``heal_done`` or ``fault_failed`` for each."""
        await target.authorise(victims)
        for victim in victims:
            record("heal_call", victim=victim, fault=self.name)
        await asyncio.gather(*(self._relieve(target, victim, record) for victim in victims))

    async def _strike(self, target: Target, blow: Blow, record: Record) -> None:
        try:
            await self.strike(target, blow)
        except FailstormError as error:
            record("fault_failed", victim=blow.victim, reason=str(error))
        else:
            record("fault_done", victim=blow.victim, fault=self.name)

    async def _relieve(self, target: Target, victim: str, record: Record) -> None:
        try:
            await self.relieve(target, victim)
        except FailstormError as error:
            record("fault_failed", victim=victim, reason=str(error))
        else:
            record("heal_done", victim=victim, fault=self.name)
