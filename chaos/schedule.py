"""When which fault is due: pure, so that it can be shown before the run and tested without time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from chaos.parameters import NONE, Parameters


@dataclass(frozen=True, slots=True)
class Order:
    """One thing for the chaos module to do, ``at_s`` seconds after t0."""

    at_s: float
    fault: str
    """Name of the fault: its file in ``chaos/faults``."""
    action: Literal["inject", "heal"]
    victims: tuple[str, ...]
    parameters: Parameters = NONE
    wave: int = 0
    """Which blow of the run it belongs to, in the order of time; a heal has the wave of what it heals."""


@dataclass(frozen=True, slots=True)
class Strike:
    """One entry of a scenario's ``chaos:``, with its victims chosen; all times in seconds."""

    fault: str
    at_s: float
    victims: tuple[str, ...]
    for_s: float | None = None
    """From each blow to its healing; None: it is healed when the run ends, and who was killed stays dead."""
    gap_s: float = 0.0
    """From one victim to the next; 0: all at once."""
    every_s: float | None = None
    """From one round to the next; None: there is but one."""
    rounds: int = 1
    parameters: Parameters = NONE


def plan(victims: Sequence[str], *, kill_at_s: float, heal_after_s: float | None) -> tuple[Order, ...]:
    """The orders of one storm in the order of their time; none at all without victims (a control).

    ``heal_after_s`` counts from the kill; None means that victims stay dead.
    """
    if not victims:
        return ()
    return timed([Strike("kill", kill_at_s, tuple(victims), heal_after_s)])


def timed(strikes: Iterable[Strike]) -> tuple[Order, ...]:
    """All orders of ``strikes`` on one timeline; at one instant healing comes first, so that it cannot undo a blow."""
    blows: list[tuple[float, int, Strike, tuple[str, ...]]] = []
    for place, strike in enumerate(strikes):
        groups = [(victim,) for victim in strike.victims] if strike.gap_s else [strike.victims] * bool(strike.victims)
        for turn in range(strike.rounds):
            begin_s = strike.at_s + turn * (strike.every_s or 0.0)
            for index, group in enumerate(groups):
                blows.append((begin_s + index * strike.gap_s, place, strike, group))
    blows.sort(key=lambda blow: blow[:2])
    orders = []
    wave, last_s = -1, None
    for at_s, _, strike, group in blows:
        # What comes at one instant is one blow, whatever it is made of.
        wave += at_s != last_s
        last_s = at_s
        orders.append(Order(at_s, strike.fault, "inject", group, strike.parameters, wave))
        if strike.for_s is not None:
            heal_at_s = at_s + strike.for_s
            orders.append(Order(heal_at_s, strike.fault, "heal", group, strike.parameters, wave))
    return tuple(sorted(orders, key=lambda order: (order.at_s, order.action == "inject")))


def longest_s(orders: Sequence[Order], fault: str, end_s: float) -> float:
    """For how long ``fault`` is in force at a stretch, at most; what nobody heals lasts until ``end_s``."""
    lengths = [0.0]
    for order in orders:
        if (order.fault, order.action) == (fault, "inject"):
            heals = (
                other.at_s
                for other in orders
                if (other.fault, other.action, other.wave) == (fault, "heal", order.wave)
                and other.victims == order.victims
            )
            lengths.append(next(heals, end_s) - order.at_s)
    return max(lengths)


def overlap(orders: Sequence[Order]) -> str | None:
    """Why these orders cannot be told apart: one victim is hurt anew before it is healed; None where that is not so."""
    struck: dict[str, str] = {}
    for order in orders:
        for victim in order.victims:
            if order.action == "heal":
                struck.pop(victim, None)
            elif victim in struck:
                return f"{victim} is hit by {order.fault} at {order.at_s:g} s, while {struck[victim]} is not healed"
            else:
                struck[victim] = order.fault
    return None
