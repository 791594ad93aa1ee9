"""Medians, their ratio, and how sure it is."""

from collections.abc import Sequence
from statistics import median_low

import numpy as np
from scipy.stats import bootstrap

from benchmarks.results import Act, Cost, Costs, RoundTrip, Sample, Samples, Spread, Turns
from benchmarks.subjects import Subject

_RESAMPLES = 999


def spread(samples_ms: Sequence[float]) -> Spread:
    """Of at least one sample."""
    p50, p99 = np.percentile(samples_ms, (50, 99))
    return Spread(p50_ms=round(float(p50), 4), p99_ms=round(float(p99), 4), count=len(samples_ms))


def compare(subject: Subject, turns: Turns, seed: int) -> RoundTrip:
    """What the turns of ``subject`` say; ``seed`` draws the bootstrap."""
    ratio, low, high = ratio_of_medians(turns.adapter_ms, turns.bare_ms, seed)
    return RoundTrip(
        subject=subject.name,
        judged=subject.judged,
        adapter=spread(np.ravel(turns.adapter_ms).tolist()),
        bare=spread(np.ravel(turns.bare_ms).tolist()),
        ratio=round(ratio, 4),
        low=round(low, 4),
        high=round(high, 4),
        turns=turns,
    )


def sum_up(subject: str, found: Sequence[Samples]) -> Costs:
    """The medians over all processes."""
    return Costs(
        subject=subject,
        acts=[_cost(act, [one for samples in found for one in samples.acts[act]]) for act in found[0].acts],
    )


def _cost(act: Act, samples: Sequence[Sample]) -> Cost:
    classes = sorted({traffic for one in samples for traffic in one.moved_bytes})
    return Cost(
        act=act,
        spread=spread([one.taken_ms for one in samples]),
        bytes_total=median_low(sum(one.moved_bytes.values()) for one in samples),
        bytes_by_class={name: median_low(one.moved_bytes.get(name, 0) for one in samples) for name in classes},
    )


def ratio_of_medians(
    over: Sequence[Sequence[float]], under: Sequence[Sequence[float]], seed: int
) -> tuple[float, float, float]:
    """The ratio of the medians of two lists of blocks, and the bounds of its 95 % bootstrap interval.

    What is drawn anew are whole blocks, pairs of neighbours in time (Künsch 1989), because the calls of one block share
    what the machine was doing then. The blocks are of equal size; of one pair there is nothing to draw from.
    """
    above, below = np.asarray(over), np.asarray(under)

    def ratio(blocks: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> float:
        return float(np.median(above[blocks]) / np.median(below[blocks]))

    blocks = np.arange(len(above))
    found = ratio(blocks)
    if len(blocks) == 1:
        return found, found, found
    interval = bootstrap(
        (blocks,), ratio, vectorized=False, n_resamples=_RESAMPLES, method="percentile", rng=seed
    ).confidence_interval
    return found, float(interval.low), float(interval.high)
