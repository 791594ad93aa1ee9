"""The tables of one bench, for a terminal and for a Markdown file."""

from collections.abc import Iterator
from statistics import median
from typing import NamedTuple

from rich.table import Table as RichTable

from benchmarks.results import (
    MAX_LATENCY_GROWTH,
    MAX_MEMORY_GROWTH,
    MAX_REPORT_BYTES,
    MAX_REPORT_CPU_S,
    MAX_ROUND_TRIP_RATIO,
    Bench,
    Cost,
    Growth,
    LargeDocument,
)


class Table(NamedTuple):
    """A title, and rows of as many cells as there are columns; the first column names the row."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def tables(bench: Bench) -> Iterator[Table]:
    """Those for which something was measured."""
    if bench.round_trips:
        yield _round_trips(bench)
    if bench.costs:
        yield _costs(bench)
    if bench.endurances:
        yield _endurances(bench)
    if bench.documents:
        yield _documents(bench.documents)
    if bench.reports:
        yield _reports(bench)


def rich(table: Table) -> RichTable:
    """For a terminal."""
    drawn = RichTable(title=table.title, title_justify="left")
    for number, column in enumerate(table.columns):
        drawn.add_column(column, justify="right" if number else "left")
    for row in table.rows:
        drawn.add_row(*row)
    return drawn


def markdown(bench: Bench) -> str:
    """All tables, with what they hold for; ends in a newline."""
    parts = [f"Measured on {bench.made_at:%d %b %Y} on a host of {_host(bench)}, seed {bench.seed}."]
    return "\n\n".join([*parts, *(as_markdown(table) for table in tables(bench))]) + "\n"


def as_markdown(table: Table) -> str:
    """One table in Markdown, its title in bold above it."""
    rows = "\n".join(map(_line, table.rows))
    return f"**{table.title}**\n\n{_line(table.columns)}\n|---{'|---:' * (len(table.columns) - 1)}|\n{rows}"


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def _host(bench: Bench) -> str:
    return f"{bench.host['cpu_count']} cores, Python {bench.host['python']}"


def _round_trips(bench: Bench) -> Table:
    return Table(
        f"Round trip of one small message and its receipt, p50 / p99 in ms (bound: ratio of the p50 at most "
        f"{MAX_ROUND_TRIP_RATIO:.2f}; in brackets: shown beside, not judged)",
        ("protocol", "SDK", "adapter", "bare SDK", "ratio (95 % interval)", "calls"),
        tuple(
            (
                trip.subject if trip.judged else f"({trip.subject})",
                bench.versions[trip.subject],
                f"{trip.adapter.p50_ms:.2f} / {trip.adapter.p99_ms:.2f}",
                f"{trip.bare.p50_ms:.2f} / {trip.bare.p99_ms:.2f}",
                f"{trip.ratio:.2f} ({trip.low:.2f} to {trip.high:.2f})",
                f"{trip.adapter.count}",
            )
            for trip in bench.round_trips
        ),
    )


def _costs(bench: Bench) -> Table:
    return Table(
        "Cost of the acts of recovery: ms (p50) and bytes at the socket, both ways",
        ("protocol", "act", "ms", "bytes", "by class", "times"),
        tuple(
            (
                costs.subject,
                cost.act,
                f"{cost.spread.p50_ms:.2f}",
                f"{cost.bytes_total}",
                _classes(cost),
                f"{cost.spread.count}",
            )
            for costs in bench.costs
            for cost in costs.acts
        ),
    )


def _classes(cost: Cost) -> str:
    return ", ".join(f"{name} {count}" for name, count in cost.bytes_by_class.items())


def _endurances(bench: Bench) -> Table:
    sizes = sorted({(endurance.messages, endurance.window, endurance.settled) for endurance in bench.endurances})
    messages, window, settled = sizes[-1]
    return Table(
        f"Endurance: {messages} messages; p50 of {window} of a new pair and of the aged one in ms "
        f"(bound: {MAX_LATENCY_GROWTH:.2f} times), "
        f"memory after {settled} and at the end in MB (bound: {MAX_MEMORY_GROWTH:.2f} times)",
        ("protocol", "receipt", "request and result", "caller's memory", "peer's memory"),
        tuple(
            (
                endurance.subject,
                *(_growth(growth) for growth in endurance.latency),
                *(_growth(growth) for growth in endurance.memory),
            )
            for endurance in bench.endurances
        ),
    )


def _documents(documents: list[LargeDocument]) -> Table:
    first = documents[0]
    return Table(
        f"A document of {first.fragments:,} fragments ({first.document_mb:.1f} MB) over {len(first.holdings)} agents, "
        f"{first.replication} copies of each shard; memory of an agent in MB, median / most "
        "(bound: every agent holds the fragments of its shards and no others)",
        (
            "protocol",
            "broadcast, s (messages)",
            "memory before → after (highest)",
            "lookup p50 / p99, ms",
            "fragments an agent",
            "missing, of others",
        ),
        tuple(map(_document, documents)),
    )


def _document(document: LargeDocument) -> tuple[str, ...]:
    held = document.holdings
    counts = [one.fragments for one in held]
    before, after, peak = (
        f"{median(values):.0f} / {max(values):.0f}"
        for values in ([one.before_mb for one in held], [one.after_mb for one in held], [one.peak_mb for one in held])
    )
    return (
        document.subject,
        f"{document.broadcast_ms / 1000:.2f} ({document.messages})",
        f"{before} → {after} ({peak})",
        f"{document.lookup.p50_ms:.2f} / {document.lookup.p99_ms:.2f}",
        f"{min(counts):,} to {max(counts):,}",
        f"{sum(one.missing for one in held)}, {sum(one.foreign for one in held)}",
    )


def _reports(bench: Bench) -> Table:
    return Table(
        f"Report on a long journal, from the agents' files to the page "
        f"(bounds: {MAX_REPORT_BYTES / 1e6:.0f} MB; {MAX_REPORT_CPU_S:.0f} s of CPU time for a run of two minutes)",
        ("lines", "agents", "length of the run, s", "journal, MB", "time, s", "CPU time, s", "peak memory, MB"),
        tuple(
            (
                f"{report.lines}",
                f"{report.agents}",
                f"{report.run_s:g}",
                f"{report.journal_bytes / 1e6:.0f}",
                f"{report.took_s:.1f}",
                f"{report.cpu_s:.1f}",
                f"{report.peak_bytes / 1e6:.0f}",
            )
            for report in bench.reports
        ),
    )


def _growth(growth: Growth) -> str:
    return f"{growth.first:.2f} → {growth.last:.2f} ({growth.ratio:.2f})"
