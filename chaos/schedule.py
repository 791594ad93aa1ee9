"""When which fault is due: pure, so that it can be shown before the run and tested without time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Order:
    """One thing for the chaos module to do, ``at_s`` seconds after t0."""

    at_s: float
    fault: str
    """Name of the fault: its file in ``chaos/faults``."""
    action: Literal["inject", "heal"]
    victims: tuple[str, ...]


def plan(victims: Sequence[str], *, kill_at_s: float, heal_after_s: float | None) -> tuple[Order, ...]:
    """The orders of one storm in the order of their time; none at all without victims (a control).

    ``heal_after_s`` counts from the kill; None means that victims stay dead.
    """
    if not victims:
        return ()
    kill = Order(kill_at_s, "kill", "inject", tuple(victims))
    if heal_after_s is None:
        return (kill,)
    return kill, Order(kill_at_s + heal_after_s, "kill", "heal", tuple(victims))
