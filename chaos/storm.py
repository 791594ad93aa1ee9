"""Carries out the orders of a schedule, each at its time, wherever the victims live."""

from collections.abc import Awaitable, Callable, Iterable

from chaos import faults
from chaos.faults import Record
from chaos.schedule import Order
from chaos.targets import Target
from protocols.clock import Clock

Act = Callable[[Order], Awaitable[None]]
"""Carries one order out at once and records what happened; raises FaultError when the order is refused."""


def acting_on(target: Target, record: Record) -> Act:
    """Orders are carried out on ``target``, in this process."""

    async def act(order: Order) -> None:
        fault = faults.load(order.fault)
        hurt_or_heal = fault.inject if order.action == "inject" else fault.heal
        await hurt_or_heal(target, order.victims, record)

    return act


async def carry_out(orders: Iterable[Order], *, act: Act, clock: Clock, t0: float) -> None:
    """Wait for each order's time (``t0`` in monotonic seconds), carry it out, and return after the last.

    Raises FaultError when an order is refused; an unknown fault is refused before the first order.
    """
    planned = tuple(orders)
    for order in planned:
        faults.load(order.fault)
    for order in planned:
        await clock.sleep(t0 + order.at_s - clock.now())
        await act(order)
