"""Carries out the orders of a schedule, each at its time."""

from collections.abc import Iterable

from chaos import faults
from chaos.faults import Record
from chaos.schedule import Order
from chaos.targets import Target
from protocols.clock import Clock


async def carry_out(orders: Iterable[Order], *, target: Target, clock: Clock, t0: float, record: Record) -> None:
    """Wait for each order's time (``t0`` in monotonic seconds), carry it out, and return after the last.

    Raises FaultError when an order is refused.
    """
    planned = [(order, faults.load(order.fault)) for order in orders]
    for order, fault in planned:
        await clock.sleep(t0 + order.at_s - clock.now())
        act = fault.inject if order.action == "inject" else fault.heal
        await act(target, order.victims, record)
