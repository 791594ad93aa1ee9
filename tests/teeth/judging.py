"""Whether a broken agent moved what it had to, and nothing else that it had to leave alone: pure, from results."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from math import inf
from statistics import median
from typing import Any, Literal

from tests.teeth.table import BY_NAME, JUDGED, Direction, Judged, Tooth

Results = Mapping[str, Any]
"""What ``failstorm_metrics.json`` says."""
Expected = Literal["up", "down", "kept"]


BySeed = Mapping[int, Sequence[Results]]


@dataclass(frozen=True)
class Interval:
    """How far two unbroken runs of one seed lie apart, at most, widened by the resolution; the same on both sides."""

    high: float

    def place(self, difference: float) -> Expected:
        """Above, below or inside; the bounds are inside."""
        if difference > self.high:
            return "up"
        return "down" if difference < -self.high else "kept"


@dataclass(frozen=True)
class Row:
    """One number under one way of being broken; all differences are shares where the number counts bytes."""

    tooth: str
    measure: str
    expected: Expected
    interval: Interval
    unbroken: float
    """Median of the unbroken runs."""
    values: tuple[float, ...]
    """Of the broken runs, one a seed: the difference from the unbroken ones of that seed; infinite for never."""
    starved: bool = False
    """A time that a busy machine may have moved by itself: shown, not judged, as everywhere in the lab."""

    @property
    def middle(self) -> float:
        """The median of the differences."""
        return median(self.values)

    @property
    def holds(self) -> bool:
        """Whether the median is where it was declared to be; nothing is held against a starved machine."""
        return self.starved or self.interval.place(self.middle) == self.expected

    @property
    def agreeing(self) -> int:
        """How many single runs are where they were declared to be."""
        return sum(self.interval.place(value) == self.expected for value in self.values)


def number(results: Results, name: str) -> float:
    """The value of one measure; what never came is infinite.

    Raises LookupError for what could not be had for any other reason.
    """
    found: Any = results
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    if isinstance(found, int | float):
        return float(found)
    metric = name.partition(".")[0]
    if "censored_at_ms" in results["details"].get(metric, {}):
        return inf
    raise LookupError(f"expected {name} in the results, got none: {results['reasons'].get(metric, 'no reason')}")


def difference(judged: Judged, one: float, other: float) -> float:
    """``one`` minus ``other``, for bytes as a share of the other; 0 when neither ever came."""
    if one == other:
        return 0.0
    if not judged.unit.startswith("bytes"):
        return one - other
    return one / other - 1 if other else inf


def interval(judged: Judged, unbroken: BySeed) -> Interval:
    """The A/A interval of one measure: of the differences between runs of the same seed."""
    found = [0.0]
    for runs in unbroken.values():
        pairs = permutations([number(results, judged.name) for results in runs], 2)
        found += [abs(difference(judged, *pair)) for pair in pairs]
    return Interval(max(found) + judged.resolution)


def judge(tooth: Tooth, unbroken: BySeed, broken: Mapping[int, Results]) -> Iterator[Row]:
    """One row for each measure that the tooth makes a claim about, what moves first."""
    expected: dict[str, Direction | Literal["kept"]] = {**tooth.moves, **dict.fromkeys(tooth.keeps, "kept")}
    runs = [results for found in unbroken.values() for results in found]
    for name, where in expected.items():
        judged, between = BY_NAME[name], interval(BY_NAME[name], unbroken)
        values = tuple(
            difference(judged, number(results, name), median([number(one, name) for one in unbroken[seed]]))
            for seed, results in broken.items()
        )
        middle = median([number(results, name) for results in runs])
        starved = _is_starved(judged, where, between, (*runs, *broken.values()))
        yield Row(tooth.name, name, where, between, middle, values, starved)


def _is_starved(judged: Judged, where: Expected, between: Interval, runs: Sequence[Results]) -> bool:
    """Whether starved runs say nothing about this time: it had to stay, or did not even come in an unbroken run."""
    open_to_chance = where == "kept" or between.high == inf
    return judged.unit in ("ms", "s") and open_to_chance and any(results["starved"] for results in runs)


def unclaimed(tooth: Tooth) -> tuple[str, ...]:
    """What the tooth says nothing about."""
    return tuple(judged.name for judged in JUDGED if judged.name not in {*tooth.moves, *tooth.keeps})


def failures(rows: Sequence[Row]) -> list[str]:
    """One line for each row that is not where it was declared to be."""
    return [
        f"{row.tooth}: expected {row.measure} {row.expected}, got a difference of {row.middle:g} from "
        f"{row.unbroken:g}; unbroken runs differ by {row.interval.high:g} at most; see the differences {row.values}"
        for row in rows
        if not row.holds
    ]
