"""How many agents a fraction means, and which ones a seed picks."""

from decimal import Decimal
from fractions import Fraction
from math import floor
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos import victims
from chaos.victims import POLICIES, Candidate

NAMES = st.integers(1, 200).map(lambda size: tuple(f"agent_{number}" for number in range(1, size + 1)))


@pytest.mark.parametrize(
    ("agents", "fraction", "expected"),
    [
        (8, 0.3, 2),
        (5, 0.3, 2),
        (1, 0.3, 0),
        (50, 0.29, 15),
        (48, 0.3, 14),
        (10, 0.25, 3),
        (8, 0.0, 0),
        (100, 0.145, 15),
    ],
)
def test_count_rounds_half_up(agents: int, fraction: float, expected: int) -> None:
    """Halves go up, also where the binary product falls short of the half."""
    assert victims.count(agents, fraction) == expected


@given(agents=st.integers(1, 1000), thousandths=st.integers(0, 999))
def test_count_is_exact_for_every_decimal(agents: int, thousandths: int) -> None:
    """The count is floor(N·f + 1/2) in exact arithmetic, for every fraction of three decimals."""
    exact = Fraction(agents * thousandths, 1000)
    assert victims.count(agents, float(Decimal(thousandths) / 1000)) == floor(exact + Fraction(1, 2))


@given(names=NAMES, data=st.data(), seed=st.integers(0, 2**32))
def test_choose_is_a_seeded_subset_in_roster_order(names: tuple[str, ...], data: st.DataObject, seed: int) -> None:
    """Victims are different members in the order of the roster, and the same seed picks the same ones."""
    number = data.draw(st.integers(0, len(names)))
    chosen = victims.choose(names, number, Random(seed))
    assert len(chosen) == len(set(chosen)) == number
    assert [names.index(name) for name in chosen] == sorted(names.index(name) for name in chosen)
    assert chosen == victims.choose(names, number, Random(seed))


def test_choose_leaves_nobody_out() -> None:
    """Over many seeds every agent is a victim at some time, and about equally often."""
    names = tuple(f"agent_{number}" for number in range(1, 9))
    hits = [name for seed in range(800) for name in victims.choose(names, 2, Random(seed))]
    assert all(150 < hits.count(name) < 250 for name in names)


CANDIDATES = tuple(
    Candidate(f"agent_{number}", ("search", "extract")[number % 2], 2 + (number == 4), 10 * (number == 6))
    for number in range(1, 9)
)


@given(policy=st.sampled_from(POLICIES), number=st.integers(0, 8), seed=st.integers(0, 2**32))
def test_every_policy_is_seeded_and_gives_what_was_asked_for(policy: str, number: int, seed: int) -> None:
    """So many different agents, in roster order, the same ones for the same seed."""
    chosen = victims.select(CANDIDATES, number, Random(seed), policy=policy)
    names = [candidate.name for candidate in CANDIDATES]
    assert len(chosen) == len(set(chosen)) == number
    assert list(chosen) == [name for name in names if name in chosen]
    assert chosen == victims.select(CANDIDATES, number, Random(seed), policy=policy)


@given(seed=st.integers(0, 1000))
def test_policies_hit_whom_they_say(seed: int) -> None:
    """The hub, the owner of most tasks, those with the tool, and neighbours in the roster; chance decides the rest."""
    rng = Random(seed)
    assert victims.select(CANDIDATES, 1, rng, policy="hub") == ("agent_4",)
    assert victims.select(CANDIDATES, 1, rng, policy="owners") == ("agent_6",)
    assert victims.select(CANDIDATES, 4, rng, policy="tool", tool="search") == tuple(
        candidate.name for candidate in CANDIDATES if candidate.tool == "search"
    )
    zone = [int(name.removeprefix("agent_")) for name in victims.select(CANDIDATES, 3, rng, policy="zone")]
    assert zone == list(range(zone[0], zone[0] + 3))


def test_impossible_choices_are_refused() -> None:
    """More victims than candidates, and a policy that nobody knows."""
    with pytest.raises(ValueError, match="expected 9 candidates"):
        victims.select(CANDIDATES, 9, Random(1))
    with pytest.raises(ValueError, match="random, tool, hub, owners, zone"):
        victims.select(CANDIDATES, 1, Random(1), policy="worst")
