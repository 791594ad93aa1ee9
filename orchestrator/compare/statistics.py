"""The statistics of a comparison: SciPy's, fed with what may be censored; pure, and the same for the same numbers."""

import warnings
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.stats import CensoredData, binomtest, bootstrap, ecdf, mannwhitneyu, wilcoxon

Floats = NDArray[np.float64]
CONFIDENCE = 0.95
ALPHA = 0.05
_RESAMPLES = 9999
_SEED = 1
NEVER = 1e100
"""Stands for a censored time where only the order counts: later than all that was seen."""
_BEYOND = 1e50

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Time:
    """One number, or how long it was waited for in vain."""

    value: float
    censored: bool = False

    @property
    def ranked(self) -> float:
        """The number where only the order counts."""
        return NEVER if self.censored else self.value


@dataclass(frozen=True)
class Middle:
    """A median and its interval; None is open-ended: beyond every time that was waited for."""

    median: float | None
    low: float | None = None
    high: float | None = None
    has_interval: bool = False


def middle(sample: Sequence[Time]) -> Middle:
    """The median, and its 95 % percentile-bootstrap interval from two numbers on.

    The percentile method, since the jackknife that BCa needs is not consistent for a median (Efron and Tibshirani
    1993, ch. 11). Raises ValueError without numbers.
    """
    if not sample:
        raise ValueError("expected at least one number for a median, got none")
    ranked = np.array([time.ranked for time in sample])
    median = _finite(np.median(ranked))
    if len(ranked) == 1:
        return Middle(median)
    low, high = _interval(ranked)
    return Middle(median, low, high, has_interval=True)


def _interval(values: Floats) -> tuple[float | None, float | None]:
    if (values == values[0]).all():
        return _finite(values[0]), _finite(values[0])
    found = bootstrap(
        (values,), np.median, n_resamples=_RESAMPLES, confidence_level=CONFIDENCE, method="percentile",
        vectorized=True, rng=np.random.default_rng(_SEED),
    ).confidence_interval  # fmt: skip
    return _finite(found.low), _finite(found.high)


def _finite(value: float) -> float | None:
    """None for what only a censored time can have made; an average with one is as open as it is."""
    return float(value) if value < _BEYOND else None


@dataclass(frozen=True)
class Paired:
    """One arm against the reference, over the seeds that both have."""

    n: int
    difference: Middle | None
    """Median of arm minus reference, with its interval; None where one side is censored."""
    p: float | None
    """Wilcoxon signed-rank, two-sided; None without pairs."""
    least_p: float
    """What n pairs could reach at best."""
    a12: float | None
    """Vargha and Delaney: the chance that the arm's number is the larger one, ties half; 0.5 is no difference."""


def compare(arm: Mapping[int, Time], reference: Mapping[int, Time]) -> Paired:
    """Compare two arms by seed. A censored time counts as longer than all others, and as equal to another one."""
    seeds = [seed for seed in arm if seed in reference]
    if not seeds:
        return Paired(0, None, None, 1.0, None)
    mine = np.array([arm[seed].ranked for seed in seeds])
    theirs = np.array([reference[seed].ranked for seed in seeds])
    # Results have six digits: differences that are equal there are ties.
    differences = np.round(mine - theirs, 6)
    whole = not any(arm[seed].censored or reference[seed].censored for seed in seeds)
    difference = middle([Time(float(value)) for value in differences]) if whole else None
    p = float(wilcoxon(differences).pvalue) if differences.any() else 1.0
    larger = float(mannwhitneyu(mine, theirs).statistic)
    return Paired(len(seeds), difference, p, 2.0 ** (1 - len(seeds)), larger / len(seeds) ** 2)


def holm(p_values: Mapping[Key, float]) -> dict[Key, float]:
    """The p-values adjusted for their number (Holm 1979), in the order given; SciPy has no such function."""
    adjusted: dict[Key, float] = {}
    least = 0.0
    for rank, key in enumerate(sorted(p_values, key=lambda key: p_values[key])):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[key]))
        adjusted[key] = least
    return {key: adjusted[key] for key in p_values}


@dataclass(frozen=True)
class Survival:
    """Share of runs in which something had not yet come, after each time (Kaplan and Meier 1958), with its interval."""

    times: tuple[float, ...]
    share: tuple[float, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]


def survival(sample: Sequence[Time]) -> Survival:
    """The curve, with pointwise log-log intervals (Greenwood); raises ValueError without numbers."""
    if not sample:
        raise ValueError("expected at least one time for a curve, got none")
    data = CensoredData.right_censored([time.value for time in sample], [time.censored for time in sample])
    curve = ecdf(data).sf
    interval: Any  # two curves; the stubs say two numbers
    # The ends of the curve have no interval: SciPy divides by zero there, gives NaN, and warns of it.
    with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        interval = curve.confidence_interval(CONFIDENCE, method="log-log")
    return Survival(
        tuple(curve.quantiles.tolist()),
        tuple(curve.probabilities.tolist()),
        _known(interval.low.probabilities),
        _known(interval.high.probabilities),
    )


def _known(values: Floats) -> tuple[float | None, ...]:
    return tuple(None if np.isnan(value) else float(value) for value in values)


@dataclass(frozen=True)
class LogRank:
    """In how many seeds the arm was sooner and later than the reference; undecided seeds say nothing."""

    sooner: int
    later: int
    undecided: int
    p: float


def log_rank(arm: Mapping[int, Time], reference: Mapping[int, Time]) -> LogRank:
    """The log-rank test stratified by seed, exact.

    With one run of each arm in a stratum only the first event counts: there both are at risk, observed minus expected
    is one half either way, its variance one quarter; afterwards nobody is left to compare with. The statistic is
    (sooner - later)^2/(sooner + later), that is the sign test, whose exact p-value is binomial. A stratum in which the
    first thing is a censoring, or both come at the same time, has no variance and is undecided.
    """
    seeds = [seed for seed in arm if seed in reference]
    sooner = sum(_first(arm[seed], reference[seed]) for seed in seeds)
    later = sum(_first(reference[seed], arm[seed]) for seed in seeds)
    decided = sooner + later
    p = float(binomtest(sooner, decided).pvalue) if decided else 1.0
    return LogRank(sooner, later, len(seeds) - decided, p)


def _first(one: Time, other: Time) -> bool:
    """Whether ``one`` came while ``other`` was still waited for; censored at the same instant, it still was."""
    if one.censored:
        return False
    return one.value < other.value or (other.censored and one.value == other.value)
