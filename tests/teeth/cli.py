"""``python -m tests.teeth``: plays the storms of real agents, judges them, and fills in docs/teeth.md."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from orchestrator.marks import fill
from protocols.errors import FailstormError
from tests.teeth import controls, document, same
from tests.teeth.judging import failures, judge
from tests.teeth.real_storm import Place, bitten, play, unbroken
from tests.teeth.table import TEETH

EXIT_FAILED, EXIT_LAB, EXIT_INTERRUPTED = 1, 3, 130
STORM = {"scenario.duration": 16, "scenario.task_rate": 8, "scenario.step_work_ms": 300}
"""The shortest storm, with steps long enough for requests to be under way on the victims at the kill."""

SEEDS = (1, 3, 4)
"""The first ones whose storms leave a holder for every shard, so that a whole mesh can become steady again."""


def main(argv: Sequence[str] | None = None) -> int:
    """0 when all that was declared was found, 1 when not, 3 when a run left no results, 130 interrupted."""
    options = _parse(sys.argv[1:] if argv is None else argv)
    console = Console(soft_wrap=True, markup=False, highlight=False)
    try:
        text, failed = options.carry_out(options, console)
    except FailstormError as error:
        console.print(f"teeth: {error}")
        return EXIT_LAB
    except KeyboardInterrupt:
        console.print("teeth: interrupted; the same command goes on")
        return EXIT_INTERRUPTED
    console.print(text)
    if options.docs is not None:
        fill(options.docs, options.command, text)
    for line in failed:
        console.print(f"teeth: {line}")
    return EXIT_FAILED if failed else 0


def _teeth(options: argparse.Namespace, console: Console) -> tuple[str, list[str]]:
    place = Place(options.folder, options.first_port)
    teeth = [tooth for tooth in TEETH if not options.only or tooth.name in options.only]
    whole = [unbroken(seed, number, STORM) for seed in options.seeds for number in (1, 2)]
    # The unbroken ones among the broken ones: a busy hour of the machine hits both alike.
    broken = [bitten(tooth, seed, STORM) for seed in options.seeds for tooth in teeth]
    found = play([run for seed in options.seeds for run in (*whole, *broken) if run.seed == seed], place,
                 options.jobs, console.print)  # fmt: skip
    calm = {seed: [found[unbroken(seed, number, STORM).name] for number in (1, 2)] for seed in options.seeds}
    rows = [
        row
        for tooth in teeth
        for row in judge(tooth, calm, {seed: found[bitten(tooth, seed, STORM).name] for seed in options.seeds})
    ]
    return document.teeth(rows, teeth, list(found.values()), options.seeds), failures(rows)


def _controls(options: argparse.Namespace, console: Console) -> tuple[str, list[str]]:
    runs = [controls.run(seed, options.duration) for seed in range(1, options.count + 1)]
    found = play(runs, Place(options.folder, options.first_port), options.jobs, console.print)
    summary = controls.sum_up(list(found.values()))
    return controls.table(summary, list(found.values())), controls.failures(summary)


def _same(options: argparse.Namespace, console: Console) -> tuple[str, list[str]]:
    seeds = range(1, options.seeds + 1)
    # One of each seed, then the next of each: the runs that are compared lie apart in time, whichever is which arm.
    runs = [same.run(seed, repeat, options.duration) for repeat in range(1, options.repeats + 1) for seed in seeds]
    found = play(runs, Place(options.folder, options.first_port), options.jobs, console.print)
    pool = {seed: [found[same.run(seed, repeat, options.duration).name] for repeat in range(1, options.repeats + 1)]
            for seed in seeds}  # fmt: skip
    outcome = same.compare_all(pool, options.comparisons)
    return same.table(outcome, list(found.values())), same.failures(outcome)


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.teeth", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    teeth = _command(commands, "teeth", _teeth, "broken agents, beside unbroken ones of the same seeds")
    teeth.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS), metavar="SEED")
    teeth.add_argument("--only", nargs="+", choices=[tooth.name for tooth in TEETH], metavar="TOOTH")
    control = _command(commands, "controls", _controls, "runs without a kill")
    control.add_argument("--count", type=int, default=20, metavar="NUMBER")
    control.add_argument("--duration", type=float, default=16.0, metavar="SECONDS")
    alike = _command(commands, "same", _same, "JSON compared with itself, 20 times")
    alike.add_argument("--comparisons", type=int, default=20, metavar="NUMBER")
    alike.add_argument("--seeds", type=int, default=8, metavar="NUMBER")
    alike.add_argument("--repeats", type=int, default=4, metavar="NUMBER", help="runs of each seed in the pool")
    alike.add_argument("--duration", type=float, default=16.0, metavar="SECONDS")
    return parser.parse_args(argv)


def _command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, carry_out: object,
             description: str) -> argparse.ArgumentParser:  # fmt: skip
    parser = commands.add_parser(name, help=description)
    parser.set_defaults(carry_out=carry_out)
    parser.add_argument("--folder", type=Path, default=Path("results") / name, help="where runs are kept and found")
    parser.add_argument("--jobs", type=int, default=1, metavar="NUMBER", help="runs at a time; more starve few cores")
    parser.add_argument("--first-port", type=int, default=15_000, metavar="PORT")
    parser.add_argument("--docs", type=Path, metavar="FILE", help="put the table into its place in this file")
    return parser
