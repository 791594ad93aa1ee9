"""``python -m benchmarks``: measure, print, keep the numbers; exit code 1 and one line when a bound is broken."""

import argparse
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import subjects
from benchmarks.caller import Assignment, Measurement, R, have_measured
from benchmarks.command import Parser, carry_out
from benchmarks.comparison import compare, sum_up
from benchmarks.figures import page
from benchmarks.reporting import report
from benchmarks.results import (
    Bench,
    Costs,
    Endurance,
    LargeDocument,
    Reporting,
    RoundTrip,
    Samples,
    Turns,
    broken_bounds,
)
from benchmarks.tables import markdown, rich, tables
from orchestrator import host
from orchestrator.marks import fill
from orchestrator.run_dir import write_atomically
from protocols.errors import ConfigError

_MARK = "last measured"
_MAX_STOCK_CALLS = 200
"""Of a subject that is only shown beside: with its own store ACP needs ever longer for each call."""
_COST_PROCESSES = 3
REPORT_LINES = (70_000, 200_000)
"""By default: about two minutes of 48 agents, and some three times that. Longer ones take minutes each."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run with these arguments; returns the exit code (:func:`benchmarks.command.carry_out`)."""
    return carry_out("benchmarks", lambda: _run(_parse(sys.argv[1:] if argv is None else argv)))


def _run(options: argparse.Namespace) -> Iterable[str]:
    bench = _measure(options) if options.load is None else _load(options.load)
    _show(bench, Console())
    if options.load is None:
        _keep(bench, options.results_dir)
    if options.docs is not None:
        fill(options.docs, _MARK, markdown(bench))
    return broken_bounds(bench)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    words = "What the adapters and the report cost."
    parser = Parser(prog="python -m benchmarks", description=words, allow_abbrev=False)
    known = ", ".join(subject.name for subject in subjects.available())
    parser.add_argument("--protocol", action="append", metavar="NAME", help=f"only this one; again for more: {known}")
    parser.add_argument("--calls", type=_size, default=1000, help="round trips of each side; 0 for none (%(default)s)")
    parser.add_argument("--block", type=_size, default=20, help="calls of a side before the other's turn (%(default)s)")
    parser.add_argument("--repeats", type=_size, default=36, help="of each act of recovery; 0 for none (%(default)s)")
    parser.add_argument("--messages", type=_size, default=5000, help="in a row; 0 for none (%(default)s)")
    parser.add_argument("--fragments", type=_size, default=100_000, help="of a document; 0 for none (%(default)s)")
    parser.add_argument(
        "--report-lines", type=_size, nargs="*", metavar="LINES",
        help="of the journals to be reported on; none for nothing (default: 70000 200000, or none with --protocol)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=1, help="draws whose turn it is (%(default)s)")
    parser.add_argument("--results-dir", type=Path, default=Path("results"), metavar="DIR", help="(%(default)s)")
    parser.add_argument("--docs", type=Path, metavar="FILE", help="put the tables between the marks in this file")
    parser.add_argument("--load", type=Path, metavar="FILE", help="measure nothing; show this bench-*.json")
    options = parser.parse_args(arguments)
    if options.report_lines is None:
        options.report_lines = () if options.protocol else REPORT_LINES
    options.subjects = [subjects.find(name) for name in options.protocol or ()] or list(subjects.available())
    return options


def _size(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number, 0 or more, got {text!r}")
    return int(text)


def _load(file: Path) -> Bench:
    try:
        return Bench.model_validate_json(file.read_bytes())
    except OSError as error:
        raise ConfigError(f"--load: expected to read {file}, got: {error.strerror}") from error
    except ValidationError as error:
        raise ConfigError(f"--load: expected the results of a bench, got {error.error_count()} faults") from error


def _measure(options: argparse.Namespace) -> Bench:
    made_at = datetime.now(UTC).replace(microsecond=0)
    # Early: what cannot be loaded is known before minutes have passed.
    versions = {subject.name: version(subject.adapter_class().distribution) for subject in options.subjects}
    round_trips: list[RoundTrip] = []
    paid: list[Costs] = []
    endurances: list[Endurance] = []
    documents: list[LargeDocument] = []
    reports: list[Reporting] = []
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        for subject in options.subjects:
            bench = _Bench(subject, options, progress)
            round_trips += bench.round_trips()
            if subject.judged:
                paid += bench.costs()
                endurances += bench.endurances()
                documents += bench.documents()
        for lines in options.report_lines:
            bar = progress.add_task(f"report on {lines} lines", total=1.0)
            reports.append(report(lines))
            progress.remove_task(bar)
    return Bench(
        made_at=made_at,
        seed=options.seed,
        host=host.describe(),
        versions=versions,
        round_trips=round_trips,
        costs=paid,
        endurances=endurances,
        documents=documents,
        reports=reports,
    )


class _Bench:
    """The measurements of one subject, as far as the user wants them."""

    def __init__(self, subject: subjects.Subject, options: argparse.Namespace, progress: Progress) -> None:
        self._subject = subject
        self._options = options
        self._progress = progress

    def round_trips(self) -> list[RoundTrip]:
        """One, or none."""
        calls = self._options.calls if self._subject.judged else min(self._options.calls, _MAX_STOCK_CALLS)
        if not calls:
            return []
        return [compare(self._subject, self._have(Turns, "round trip", calls), self._options.seed)]

    def costs(self) -> list[Costs]:
        """The same from several processes, for the sake of the first handshake."""
        each = -(-self._options.repeats // _COST_PROCESSES)
        if not each:
            return []
        found = [self._have(Samples, "costs", each) for _ in range(_COST_PROCESSES)]
        return [sum_up(self._subject.name, found)]

    def endurances(self) -> list[Endurance]:
        """One, or none."""
        messages = self._options.messages
        return [self._have(Endurance, "endurance", messages)] if messages else []

    def documents(self) -> list[LargeDocument]:
        """One, or none."""
        fragments = self._options.fragments
        return [self._have(LargeDocument, "document", fragments)] if fragments else []

    def _have(self, kind: type[R], measurement: Measurement, size: int) -> R:
        bar = self._progress.add_task(f"{self._subject.name}: {measurement}", total=1.0)
        options = self._options
        assignment = Assignment(
            measurement=measurement, subject=self._subject.name, size=size, block=options.block, seed=options.seed
        )
        try:
            return have_measured(assignment, kind, lambda done: self._progress.update(bar, completed=done))
        finally:
            self._progress.remove_task(bar)


def _show(bench: Bench, console: Console) -> None:
    for table in tables(bench):
        console.print(rich(table))


def _keep(bench: Bench, results_dir: Path) -> None:
    try:
        results_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--results-dir: expected to make {results_dir}, got: {error.strerror}") from error
    path = results_dir / f"bench-{bench.made_at:%Y%m%d-%H%M%S}.json"
    write_atomically(path, bench.model_dump_json(indent=1) + "\n")
    write_atomically(path.with_suffix(".html"), page(bench))
    Console().print(f"written: {path} and {path.with_suffix('.html').name}", soft_wrap=True)
