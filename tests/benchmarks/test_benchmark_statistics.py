"""The statistics on samples whose answer is known, and the bounds."""

import asyncio
import itertools
import random
from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks.comparison import ratio_of_medians, spread, sum_up
from benchmarks.endurance import Line, Sort, beside
from benchmarks.results import Growth, Sample, Samples, broken_bounds

from .bench_results import bench, endurance, round_trip


def test_spread_is_median_and_99th_percentile() -> None:
    """Of 0 to 100 these are 50 and 99."""
    found = spread([float(number) for number in range(101)])
    assert (found.p50_ms, found.p99_ms, found.count) == (50.0, 99.0, 101)


def test_ratio_is_that_of_the_medians() -> None:
    """One slow call does not move it, and of blocks that are all alike it is certain."""
    assert ratio_of_medians([[3.0, 3.0, 90.0]] * 5, [[2.0, 2.0, 2.0]] * 5, seed=1) == (1.5, 1.5, 1.5)


def test_interval_covers_the_truth_and_narrows_with_more_blocks() -> None:
    """Two sides that differ by a fifth: the interval lies around it, and ten times the blocks narrow it."""
    rng = random.Random(7)

    def blocks(count: int, scale: float) -> list[list[float]]:
        return [[scale * rng.lognormvariate(0, 0.3) for _ in range(10)] for _ in range(count)]

    _, few_low, few_high = ratio_of_medians(blocks(10, 1.2), blocks(10, 1.0), seed=1)
    _, low, high = ratio_of_medians(blocks(200, 1.2), blocks(200, 1.0), seed=1)
    assert few_low < 1.2 < few_high
    assert low < 1.2 < high
    assert high - low < 0.5 * (few_high - few_low)


def test_drift_of_the_machine_does_not_widen_the_interval() -> None:
    """Pairs of blocks are drawn together: a machine that gets four times slower slows both sides of a pair."""
    drift = [1.0 + 0.3 * number for number in range(10)]
    over, under = [[1.1 * slow] * 4 for slow in drift], [[slow] * 4 for slow in drift]
    _, low, high = ratio_of_medians(over, under, seed=1)
    assert [low, high] == pytest.approx([1.1, 1.1])


def test_one_block_has_no_interval() -> None:
    """There is nothing to draw from."""
    assert ratio_of_medians([[2.0]], [[1.0]], seed=1) == (2.0, 2.0, 2.0)


def test_costs_are_medians_over_all_processes() -> None:
    """Time, all bytes, and bytes by class, a class that did not occur counting as none."""
    one = Samples(acts={"probe": [Sample(taken_ms=1.0, moved_bytes={"heartbeat": 10})]})
    two = Samples(
        acts={
            "probe": [
                Sample(taken_ms=3.0, moved_bytes={"heartbeat": 30}),
                Sample(taken_ms=2.0, moved_bytes={"heartbeat": 20, "handshake": 5}),
            ]
        }
    )
    (probe,) = sum_up("json", [one, two]).acts
    assert (probe.spread.p50_ms, probe.spread.count) == (2.0, 3)
    assert (probe.bytes_total, probe.bytes_by_class) == (25, {"handshake": 0, "heartbeat": 20})


class _Paced(Line):
    """A line of known pace, on a machine that gets slower with every exchange of anybody."""

    def __init__(self, pace_ms: float, exchanges: Iterator[int]) -> None:
        self._pace_ms = pace_ms
        self._exchanges = exchanges

    async def exchange(self, sort: Sort) -> float:
        return self._pace_ms * (1 + 0.01 * next(self._exchanges)) * (2 if sort == "request" else 1)


def test_an_aged_pair_is_compared_with_a_new_one_at_the_same_time() -> None:
    """What has become half slower with age shows as that, however much slower the machine became meanwhile."""
    exchanges = itertools.count()
    message, request = asyncio.run(beside(_Paced(1.5, exchanges), _Paced(1.0, exchanges), 200))
    assert (message.name, request.name) == ("message", "request")
    assert request.first == pytest.approx(2 * message.first, rel=0.02)
    assert [message.ratio, request.ratio] == pytest.approx([1.5, 1.5], rel=0.02)


@pytest.mark.parametrize(
    ("trip", "run", "words"),
    [
        ({"ratio": 1.3, "low": 1.2, "high": 1.4}, {}, "a round trip takes 1.30 times (1.20 to 1.40)"),
        ({}, {"latency": [Growth(name="request", first=1.0, last=1.4)]}, "a request takes 1.40 times"),
        ({}, {"memory": [Growth(name="peer", first=100.0, last=112.0)]}, "the peer grew to 1.12 times"),
    ],
)
def test_each_bound_is_judged(trip: dict[str, Any], run: dict[str, Any], words: str) -> None:
    """What is broken is said, once, with the subject; nothing is said of what is only shown beside."""
    (said,) = broken_bounds(bench(round_trip(**trip), endurance(**run)))
    assert said.startswith("json: ")
    assert words in said
    beside = bench(round_trip(judged=False, **trip), endurance(judged=False, **run))
    assert list(broken_bounds(beside)) == []


def test_bounds_are_kept_at_the_bound() -> None:
    """A ratio that may be within the bound, and growth up to it, break nothing."""
    grown = {
        "latency": [Growth(name="message", first=1.0, last=1.3)],
        "memory": [Growth(name="peer", first=100.0, last=110.0)],
    }
    kept = bench(round_trip(ratio=1.15, low=1.08, high=1.2), endurance(**grown))
    assert list(broken_bounds(kept)) == []
