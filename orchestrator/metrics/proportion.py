"""Intervals for shares and their ratios."""

from math import sqrt

from scipy.stats import binomtest


def wilson(successes: int, n: int) -> tuple[float, float]:
    """The 95 % score interval of a share (Wilson 1927); raises ValueError for n = 0."""
    interval = binomtest(successes, n).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def drop_interval(before: tuple[int, int], after: tuple[int, int]) -> tuple[float, float]:
    """The 95 % interval of (p - q)/p = 1 - q/p for two independent shares p (before) and q (after).

    Each is given as (successes, n), with at least one success before. Method of variance estimates recovery for a
    ratio, from the Wilson intervals of the two shares (Donner and Zou 2012). It keeps its width when every task
    succeeds, where the delta method and the bootstrap claim certainty.
    """
    p, q = before[0] / before[1], after[0] / after[1]
    (p_low, p_high), (q_low, q_high) = wilson(*before), wilson(*after)
    a = p * q
    # The lower limit is written so that its denominator cannot vanish.
    b, c = q_low * (2 * q - q_low), p_high * (2 * p - p_high)
    low = b / (a + sqrt(max(0.0, a * a - b * c))) if a > 0 else 0.0
    b, c = q_high * (2 * q - q_high), p_low * (2 * p - p_low)
    high = (a + sqrt(max(0.0, a * a - b * c))) / c
    return 1 - high, 1 - low
