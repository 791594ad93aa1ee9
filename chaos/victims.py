"""Who is hit: how many agents a fraction means, and which ones a seed picks."""

from collections.abc import Sequence
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
