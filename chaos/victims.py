"""Who is hit: how many agents a fraction means, and which ones a seed picks."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from random import Random


def count(agent_count: int, fraction: float) -> int:
    """Round-half-up of ``agent_count * fraction``: 8 agents and 0.3 give 2, 5 agents and 0.3 give 2 as well.

    The fraction counts as the decimal number that the user wrote, so that 0.29 of 50 is 14.5 and gives 15.
    """
    # In binary, 50 * 0.29 is 14.499999999999998, and the victim that the user can compute by hand would be missing.
    exact = agent_count * Decimal(str(fraction))
    return int(exact.to_integral_value(rounding=ROUND_HALF_UP))


def choose(names: Sequence[str], number: int, rng: Random) -> tuple[str, ...]:
    """``number`` different members of ``names``, all equally likely, in the order in which ``names`` lists them.

    Raises ValueError when there are fewer names than that.
    """
    places = rng.sample(range(len(names)), number)
    return tuple(names[place] for place in sorted(places))


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a policy may know of an agent before the run."""

    name: str
    tool: str
    degree: int
    """How many neighbours it has."""
    owned: int
    """How many tasks of the schedule are its own, as long as everybody lives."""


POLICIES: tuple[str, ...] = ("random", "tool", "hub", "owners", "zone")
"""Names of the policies of :func:`select`."""


def select(
    candidates: Sequence[Candidate], number: int, rng: Random, *, policy: str = "random", tool: str | None = None
) -> tuple[str, ...]:
    """``number`` victims by ``policy``, in roster order; the same source of chance gives the same victims.

    ``random``: all equally likely. ``tool``: those with ``tool`` (a seeded one, if none is named) first. ``hub``: those
    with the most neighbours. ``owners``: those that own the most tasks. ``zone``: agents that stand next to each other
    in the roster, as in one rack. Chance decides between equals. Raises ValueError for fewer candidates than that, or
    an unknown policy.
    """
    if not 0 <= number <= len(candidates):
        raise ValueError(f"expected {number} candidates or more, got {len(candidates)}")
    names = [candidate.name for candidate in candidates]
    if policy == "random":
        return choose(names, number, rng)
    if policy == "zone":
        first = rng.randrange(len(names) - number + 1)
        return tuple(names[first : first + number])
    if policy == "tool":
        wanted = tool if tool is not None else rng.choice(sorted({candidate.tool for candidate in candidates}))
        weights = [float(candidate.tool == wanted) for candidate in candidates]
    elif policy == "hub":
        weights = [float(candidate.degree) for candidate in candidates]
    elif policy == "owners":
        weights = [float(candidate.owned) for candidate in candidates]
    else:
        raise ValueError(f"expected a policy out of {', '.join(POLICIES)}, got {policy!r}")
    ties = [rng.random() for _ in names]
    heaviest = sorted(range(len(names)), key=lambda place: (-weights[place], ties[place]))[:number]
    return tuple(names[place] for place in sorted(heaviest))
