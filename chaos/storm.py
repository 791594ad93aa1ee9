"""Carries out the orders of a schedule, each at its time, wherever the victims live, and leaves nobody hurt behind."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace

from pydantic import JsonValue

from chaos import faults
from chaos.faults import Record
from chaos.schedule import Order
from chaos.targets import Target
from protocols.clock import Clock
from protocols.errors import FailstormError

Act = Callable[[Order], Awaitable[None]]
"""Carries one order out at once and records what happened; raises FaultError when the order is refused."""


def acting_on(target: Target, record: Record) -> Act:
    """Orders are carried out on ``target``, in this process."""

    async def act(order: Order) -> None:
        fault = faults.load(order.fault)
        if order.action == "inject":
            await fault.inject(target, order.victims, marked(record, order), order.parameters)
        else:
            await fault.heal(target, order.victims, marked(record, order))

    return act


def marked(record: Record, order: Order) -> Record:
    """``record``, with the wave of ``order`` in every event; the first wave, 0, is left out."""
    if not order.wave:
        return record

    def record_with_wave(ev: str, *, at: float | None = None, **fields: JsonValue) -> None:
        record(ev, at=at, **fields, wave=order.wave)

    return record_with_wave


class Storm:
    """One schedule under way; :meth:`carry_out` runs it, :meth:`relieve` undoes what is still in force."""

    def __init__(self, orders: Iterable[Order], *, act: Act, clock: Clock, t0: float) -> None:
        """``t0`` in monotonic seconds. Raises FaultError for an unknown fault, before the first order."""
        self._orders = tuple(orders)
        self._effects = {order.fault: faults.load(order.fault).effect for order in self._orders}
        self._act = act
        self._clock = clock
        self._t0 = t0
        self._in_force: dict[tuple[str, tuple[str, ...]], Order] = {}

    async def carry_out(self) -> None:
        """Wait for each order's time, carry it out, and return after the last.

        Orders do not wait for one another, unless they are for the same victim. Raises FaultError when one is refused.
        """
        under_way: list[tuple[Order, asyncio.Task[None]]] = []
        try:
            async with asyncio.TaskGroup() as group:
                for order in self._orders:
                    earlier = [task for other, task in under_way if set(other.victims) & set(order.victims)]
                    under_way.append((order, group.create_task(self._at_its_time(order, earlier))))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def relieve(self) -> dict[str, str]:
        """Heal now whatever lives and is still hurt; who was killed stays dead.

        Returns those who could not be healed in order, each with the reason.
        """
        failures: dict[str, str] = {}
        for order in tuple(self._in_force.values()):
            if self._effects[order.fault] == "ends":
                continue
            try:
                await self._carry_out(replace(order, action="heal"))
            except FailstormError as error:
                failures |= dict.fromkeys(order.victims, str(error))
        return failures

    async def _at_its_time(self, order: Order, earlier: list[asyncio.Task[None]]) -> None:
        await self._clock.sleep(self._t0 + order.at_s - self._clock.now())
        for task in earlier:
            await task
        await self._carry_out(order)

    async def _carry_out(self, order: Order) -> None:
        key = (order.fault, order.victims)
        if order.action == "inject":
            # Before it lands: half a blow has to be undone as well.
            self._in_force[key] = order
        await self._act(order)
        if order.action == "heal":
            self._in_force.pop(key, None)


async def carry_out(orders: Iterable[Order], *, act: Act, clock: Clock, t0: float) -> None:
    """Carry out all ``orders`` of a schedule and return after the last; raises FaultError when one is refused."""
    await Storm(orders, act=act, clock=clock, t0=t0).carry_out()
