"""The statistics against numbers known from elsewhere, and against their own definitions."""

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from orchestrator.compare.statistics import Time, compare, holm, log_rank, middle, survival

LATE = Time(1000.0, censored=True)


def _times(*values: float) -> list[Time]:
    return [Time(value) for value in values]


def test_a_median_has_an_interval_that_repeats_and_holds_it() -> None:
    """Seeded: the same numbers give the same interval, in whatever order they come; one number has none."""
    values = [12.0, 15.0, 11.0, 19.0, 14.0, 13.0, 18.0, 16.0]
    found = middle(_times(*values))
    assert found == middle(_times(*values))
    assert found.median == 14.5
    assert found.low is not None
    assert found.high is not None
    assert min(values) < found.low < 14.5 < found.high < max(values)
    assert middle(_times(3.0)).has_interval is False
    equal = middle(_times(2.0, 2.0, 2.0))
    assert (equal.median, equal.low, equal.high) == (2.0, 2.0, 2.0)


def test_the_interval_covers_the_true_median_as_often_as_it_says() -> None:
    """Of 200 samples of 10 from a skewed distribution about 95 % hold its median; far fewer would be a false claim."""
    rng, hits = Random(7), 0
    for _ in range(200):
        found = middle(_times(*(rng.expovariate(1.0) for _ in range(10))))
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= math.log(2) <= found.high
    assert hits >= 180


def test_censored_times_open_the_interval_and_never_make_a_number() -> None:
    """A wait in vain counts as longer than all others: a minority leaves a median, half of them leave none."""
    few = middle([*_times(1.0, 2.0, 3.0, 4.0), LATE])
    assert few.median == 3.0
    assert few.high is None
    half = middle([*_times(1.0, 2.0), LATE, LATE])
    assert half.median is None
    assert half.low == 1.0


def test_a_large_number_is_no_open_end() -> None:
    """Gigabytes stay numbers."""
    assert middle(_times(4e9, 5e9, 6e9)).high == 6e9


def test_wilcoxon_and_a12_agree_with_known_values() -> None:
    """Hollander and Wolfe's depression scores: V = 5, p = 0.0391 two-sided; A12 counted by hand."""
    first = [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30]
    second = [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29]
    arm, reference = dict(enumerate(_times(*second))), dict(enumerate(_times(*first)))
    found = compare(arm, reference)
    assert found.n == 9
    assert found.p == pytest.approx(0.0390625)
    assert found.least_p == pytest.approx(2 / 2**9)
    larger = sum((a > b) + (a == b) / 2 for a in second for b in first)
    assert found.a12 == pytest.approx(larger / 81)
    assert found.difference is not None
    assert found.difference.median == pytest.approx(-0.49)


def test_only_seeds_that_both_have_are_compared() -> None:
    """A missing run takes its partner out of the test, and out of nothing else."""
    arm = {1: Time(1.0), 2: Time(2.0), 4: Time(9.0)}
    reference = {1: Time(2.0), 2: Time(3.0), 3: Time(0.0)}
    assert compare(arm, reference).n == 2
    nobody = compare({1: Time(1.0)}, {2: Time(1.0)})
    assert (nobody.n, nobody.p, nobody.a12) == (0, None, None)


def test_equal_arms_do_not_differ() -> None:
    """All differences zero: p is 1, A12 one half, also when everything is censored."""
    for sample in (dict(enumerate(_times(1.0, 2.0, 3.0))), dict.fromkeys(range(3), LATE)):
        found = compare(sample, sample)
        assert (found.p, found.a12) == (1.0, 0.5)


def test_a_censored_pair_counts_by_its_order() -> None:
    """Six seeds in which the arm never came and the reference did: as clear as six can be, and no difference."""
    found = compare(dict.fromkeys(range(6), LATE), dict(enumerate(_times(1.0, 2.0, 3.0, 4.0, 5.0, 6.0))))
    assert found.p == pytest.approx(2 / 2**6)
    assert found.a12 == 1.0
    assert found.difference is None


def test_holm_agrees_with_the_worked_example() -> None:
    """Holm's step-down by hand: 0.01·4, 0.02·3, 0.03·2 (raised to what came before), 0.04·1."""
    assert holm({"c": 0.03, "a": 0.01, "d": 0.04, "b": 0.02}) == pytest.approx(
        {"c": 0.06, "a": 0.04, "d": 0.06, "b": 0.06}
    )
    assert holm({"only": 0.2}) == {"only": 0.2}
    assert max(holm({1: 0.9, 2: 0.8}).values()) == 1.0


def test_a_survival_curve_agrees_with_a_worked_example() -> None:
    """6-MP arm of Freireich (1963), first steps: S(6) = 18/21, S(7) = 0.807, S(10) = 0.753."""
    relapses = [6, 6, 6, 7, 10, 13, 16, 22, 23]
    lost = [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]
    found = survival([*_times(*map(float, relapses)), *(Time(float(value), censored=True) for value in lost)])
    share = dict(zip(found.times, found.share, strict=True))
    assert share[6.0] == pytest.approx(18 / 21)
    assert share[7.0] == pytest.approx(0.8067, abs=1e-4)
    assert share[10.0] == pytest.approx(0.7529, abs=1e-4)
    assert share[23.0] == pytest.approx(0.4482, abs=1e-4)
    assert all(low is None or low <= part for low, part in zip(found.low, found.share, strict=True))


def _stratified_log_rank(pairs: list[tuple[Time, Time]]) -> float:
    """The general formula (Mantel and Haenszel; Klein and Moeschberger 2003, 7.5), pair by pair."""
    observed_minus_expected, variance = 0.0, 0.0
    for pair in pairs:
        for at in sorted({time.value for time in pair if not time.censored}):
            risk = [time.value >= at for time in pair]
            events = [time.value == at and not time.censored for time in pair]
            n, d, n1 = sum(risk), sum(events), risk[0]
            observed_minus_expected += events[0] - d * n1 / n
            if n > 1:
                variance += d * (n1 / n) * (1 - n1 / n) * (n - d) / (n - 1)
    return observed_minus_expected**2 / variance if variance else 0.0


_time = st.builds(Time, st.integers(1, 6).map(float), censored=st.booleans())


@given(st.lists(st.tuples(_time, _time), min_size=1, max_size=30))
def test_the_sign_test_is_the_stratified_log_rank_test(pairs: list[tuple[Time, Time]]) -> None:
    """With two runs in a stratum the general statistic is (sooner - later)²/(sooner + later), censored or not."""
    found = log_rank(dict(enumerate(one for one, _ in pairs)), dict(enumerate(other for _, other in pairs)))
    decided = found.sooner + found.later
    statistic = (found.sooner - found.later) ** 2 / decided if decided else 0.0
    assert statistic == pytest.approx(_stratified_log_rank(pairs))
    assert found.undecided == len(pairs) - decided
    # The exact p is never smaller than what the chi-square approximation would claim, by more than its own error.
    assert found.p >= chi2.sf(statistic, 1) - 0.05


def test_what_came_in_all_seeds_against_what_never_came() -> None:
    """Ten to nothing: p = 2/2^10."""
    found = log_rank(dict.fromkeys(range(10), Time(5.0)), dict.fromkeys(range(10), LATE))
    assert (found.sooner, found.later, found.undecided) == (10, 0, 0)
    assert found.p == pytest.approx(2 / 2**10)
