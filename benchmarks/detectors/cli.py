"""``python -m benchmarks.detectors``: the pieces of the bench one after the other, each kept as soon as it is measured.

The long form takes hours' worth of pieces; killed or interrupted, the same line goes on with the next one.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from pydantic import ValidationError
from rich.console import Console

from agent.settings import DETECTORS
from benchmarks.command import Parser, carry_out
from benchmarks.detectors import calm, curve, silences
from benchmarks.detectors.results import Calm, Price, Report, Silences, broken_bounds
from benchmarks.detectors.storms import AGENTS
from benchmarks.detectors.tables import markdown, page, tables
from benchmarks.results import Measured
from benchmarks.tables import rich
from orchestrator import host
from orchestrator.marks import fill
from orchestrator.run_dir import write_atomically
from protocols.clock import Clock, MonotonicClock
from protocols.errors import ConfigError

_SUMMARY = "report.json"


class Size(NamedTuple):
    """How much is measured."""

    runs: int
    """In which agents fall silent, for each detector and fault."""
    freezes: int
    cuts: int
    calm_s: float
    loaded_s: float
    priced_freezes: int


SHORT = Size(runs=1, freezes=2, cuts=1, calm_s=10, loaded_s=15, priced_freezes=3)
FULL = Size(runs=10, freezes=4, cuts=3, calm_s=600, loaded_s=180, priced_freezes=16)


class Piece(NamedTuple):
    """One measurement: the name of its file, what stands in it, and how it is made."""

    name: str
    kind: type[Measured]
    measure: Callable[[Path], Measured]


def main(argv: Sequence[str] | None = None) -> int:
    """Run with these arguments; returns the exit code (:func:`benchmarks.command.carry_out`)."""
    arguments = sys.argv[1:] if argv is None else argv
    return carry_out("benchmarks", lambda: _run(_parse(arguments)), "interrupted; the same line goes on")


def _run(options: argparse.Namespace) -> Iterable[str]:
    report = _measure(options, Console(stderr=True, soft_wrap=True, markup=False, highlight=False))
    _show(report, options)
    return broken_bounds(report)


def pieces(size: Size, kinds: Sequence[str], clock: Clock) -> Iterator[Piece]:
    """All measurements of this size, the quick ones first."""
    for point in curve.wanted():
        if point.kind in kinds:
            yield _price(point, size)
    for kind in kinds:
        for number in range(size.runs):
            yield _frozen(kind, size, number, clock)
            yield _cut_off(kind, size, number, clock)
    for loaded, duration_s in ((False, size.calm_s), (True, size.loaded_s)):
        for kind in kinds if duration_s else ():
            yield _calm(kind, duration_s, clock, loaded=loaded)


def _price(point: curve.Point, size: Size) -> Piece:
    name = "-".join(["price", *map(str, point), str(size.priced_freezes)])
    return Piece(name, Price, lambda folder: curve.measure(point, folder, size.priced_freezes))


def _frozen(kind: str, size: Size, number: int, clock: Clock) -> Piece:
    name = f"freezes-{kind}-{size.freezes}-{number}"
    return Piece(name, Silences, lambda folder: silences.freeze(kind, folder, clock, count=size.freezes, seed=number))


def _cut_off(kind: str, size: Size, number: int, clock: Clock) -> Piece:
    name = f"cuts-{kind}-{size.cuts}-{number}"
    return Piece(name, Silences, lambda folder: silences.cut(kind, folder, clock, count=size.cuts, seed=number))


def _calm(kind: str, duration_s: float, clock: Clock, *, loaded: bool) -> Piece:
    name = f"calm-{kind}-{duration_s:g}{'-loaded' if loaded else ''}"
    return Piece(name, Calm, lambda folder: calm.measure(kind, folder, clock, duration_s=duration_s, loaded=loaded))


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser(
        prog="python -m benchmarks.detectors", description="What the failure detectors are worth.", allow_abbrev=False
    )
    parser.add_argument("--full", action="store_true", help="the long form; goes on where it was left")
    parser.add_argument("--kind", action="append", choices=DETECTORS, help="only this one; again for more")
    parser.add_argument("--runs", type=int, metavar="N", help="with silent agents, for each detector and fault")
    parser.add_argument("--freezes", type=int, metavar="N", help="in each of these runs, 1 to 8")
    parser.add_argument("--calm", type=float, metavar="S", help="length of the controls; 0 for none")
    parser.add_argument("--loaded", type=float, metavar="S", help="of the controls beside a busy program; 0 for none")
    parser.add_argument("--results-dir", type=Path, default=Path("results"), metavar="DIR", help="(%(default)s)")
    parser.add_argument("--docs", type=Path, metavar="FILE", help="put the tables between the marks in this file")
    options = parser.parse_args(arguments)
    size = FULL if options.full else SHORT
    wishes = {"runs": options.runs, "freezes": options.freezes, "calm_s": options.calm, "loaded_s": options.loaded}
    options.size = size._replace(**{name: wish for name, wish in wishes.items() if wish is not None})
    if min(options.size) < 0 or not 1 <= options.size.freezes <= AGENTS:
        raise ConfigError(f"expected sizes of 0 or more and 1 to {AGENTS} freezes, got {tuple(options.size)}")
    return options


def _measure(options: argparse.Namespace, console: Console) -> Report:
    folder: Path = options.results_dir / ("bench-detectors-full" if options.full else "bench-detectors")
    folder.mkdir(parents=True, exist_ok=True)
    wanted = list(pieces(options.size, options.kind or DETECTORS, MonotonicClock()))
    found: list[Measured] = []
    for number, piece in enumerate(wanted, start=1):
        file = folder / f"{piece.name}.json"
        kept = _kept(file, piece.kind) if options.full else None
        if kept is None:
            console.print(f"{number} of {len(wanted)}: {piece.name}")
            with TemporaryDirectory() as scratch:
                kept = piece.measure(Path(scratch) / "run")
            write_atomically(file, kept.model_dump_json(indent=1) + "\n")
        found.append(kept)
    report = Report(
        made_at=datetime.now(UTC).replace(microsecond=0),
        full=options.full,
        host=host.describe(),
        silences=[item for item in found if isinstance(item, Silences)],
        calms=[item for item in found if isinstance(item, Calm)],
        prices=[item for item in found if isinstance(item, Price)],
    )
    write_atomically(folder / _SUMMARY, report.model_dump_json(indent=1) + "\n")
    write_atomically(folder / "report.html", page(report))
    console.print(f"written: {folder / _SUMMARY} and report.html")
    return report


def _kept(file: Path, kind: type[Measured]) -> Measured | None:
    """What was measured before; None when there is nothing, or nothing sound."""
    try:
        return kind.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return None


def _show(report: Report, options: argparse.Namespace) -> None:
    console = Console()
    for table in tables(report):
        console.print(rich(table))
    if options.docs is not None:
        fill(options.docs, "last measured, long form" if report.full else "last measured", markdown(report))
