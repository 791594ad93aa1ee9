"""Whether a broken agent moved what it had to, and nothing else that it had to leave alone: pure, from results."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from statistics import median
from typing import Any, Literal

from tests.teeth.table import BY_NAME, JUDGED, Direction, Judged, Tooth

Results = Mapping[str, Any]
"""What ``failstorm_metrics.json`` says."""
Expected = Literal["up", "down", "kept"]


@dataclass(frozen=True)
class Interval:
    """Between which bounds a number of unbroken runs lies: their extremes, widened by the resolution."""

    low: float
    high: float

    def place(self, value: float) -> Literal["up", "down", "kept"]:
        """Above, below or inside; the bounds are inside."""
        if value > self.high:
            return "up"
        return "down" if value < self.low else "kept"


@dataclass(frozen=True)
class Row:
    """One number under one way of being broken."""

    tooth: str
    measure: str
    expected: Expected
    interval: Interval
    values: tuple[float, ...]
    """Of the broken runs, one a seed; infinite for what never came."""
    starved: bool = False
    """A time that a busy machine may have moved by itself: shown, not judged, as everywhere in the lab."""

    @property
    def middle(self) -> float:
        """The median of the broken runs."""
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


def interval(judged: Judged, unbroken: Sequence[Results]) -> Interval:
    """The A/A interval of one measure."""
    values = [number(results, judged.name) for results in unbroken]
    low, high = min(values), max(values)
    if judged.unit.startswith("bytes"):
        return Interval(low * (1 - judged.resolution), high * (1 + judged.resolution))
    return Interval(low - judged.resolution, high + judged.resolution)


def judge(tooth: Tooth, unbroken: Sequence[Results], broken: Sequence[Results]) -> Iterator[Row]:
    """One row for each measure that the tooth makes a claim about, what moves first."""
    expected: dict[str, Direction | Literal["kept"]] = {**tooth.moves, **dict.fromkeys(tooth.keeps, "kept")}
    for name, where in expected.items():
        judged = BY_NAME[name]
        values = tuple(number(results, name) for results in broken)
        between = interval(judged, unbroken)
        yield Row(tooth.name, name, where, between, values, _is_starved(judged, where, between, (*unbroken, *broken)))


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
        f"{row.tooth}: expected {row.measure} {row.expected}, got {row.middle:g} beside "
        f"[{row.interval.low:g}, {row.interval.high:g}] of the unbroken runs; see the values {row.values}"
        for row in rows
        if not row.holds
    ]
