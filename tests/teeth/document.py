"""The tables of docs/teeth.md: from judged rows and results to Markdown."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import inf
from typing import Any

from tests.teeth.judging import Row
from tests.teeth.table import BY_NAME, Tooth

_DIGITS = {"ms": 0, "s": 2, "bytes": 0, "bytes/s": 0, "ratio": 3, "count": 0}


def grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The lines of a table."""
    for cells in (head, ["---"] * len(head), *rows):
        yield f"| {' | '.join(cells)} |"


def circumstances(results: Sequence[Mapping[str, Any]]) -> str:
    """What every table must name: runtime, host, detector, size, length, and how many runs were starved."""
    first = results[0]
    host, storm, detector = first["host"], first["scenario"]["scenario"], first["scenario"]["detector"]
    starved = sum(bool(found["starved"]) for found in results)
    facts = [
        f"{len(results)} runs",
        f"runtime {first['runtime']}",
        f"host {host['system']}, {host['cpu_count']} CPUs, {host['memory_bytes'] / 2**30:.0f} GiB",
        f"Python {host['python']}",
        f"detector {detector['mode']}",
        f"{storm['agent_count']} agents",
        f"{storm['duration']:g} s a run (scaled)",
        f"starved: {starved}",
    ]
    return " · ".join(facts)


def teeth(rows: Sequence[Row], declared: Sequence[Tooth], results: Sequence[Mapping[str, Any]],
          seeds: Sequence[int]) -> str:  # fmt: skip
    """A table for each tooth: what it moved, by how much, and what it left alone."""
    parts = []
    for tooth in declared:
        mine = [row for row in rows if row.tooth == tooth.name]
        who = "Every agent" if tooth.who == "all" else "One survivor"
        parts += [f"### {tooth.name}", "", f"{who} {tooth.what}.", ""]
        head = ("metric", "declared", "unbroken, median", "A/A difference", "broken minus unbroken", "runs", "")
        parts += [*grid(head, map(_cells, mine)), ""]
    names = ", ".join(map(str, seeds))
    return "\n".join([*parts, f"{circumstances(results)} · seeds {names}, two unbroken runs of each"])


def _cells(row: Row) -> tuple[str, ...]:
    unit = BY_NAME[row.measure].unit
    return (
        f"`{row.measure}`" + (f", {unit}" if unit not in ("ratio", "count") else ""),
        row.expected, _number(row.unbroken, unit), f"\N{PLUS-MINUS SIGN}{_difference(row.interval.high, unit)}",
        _difference(row.middle, unit), f"{row.agreeing} of {len(row.values)}", _verdict(row),
    )  # fmt: skip


def _verdict(row: Row) -> str:
    if row.starved:
        return "starved: not judged"
    return "holds" if row.holds else "**does not hold**"


def _difference(value: float, unit: str) -> str:
    if unit.startswith("bytes") and value != inf:
        return f"{100 * value:.1f} %"
    return _number(value, unit)


def _number(value: float, unit: str) -> str:
    return "never" if value == inf else f"{value:,.{_DIGITS[unit]}f}"
