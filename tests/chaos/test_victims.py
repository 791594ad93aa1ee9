"""How many agents a fraction means, and which ones a seed picks."""

from decimal import Decimal
from fractions import Fraction
from math import floor
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos import victims

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
