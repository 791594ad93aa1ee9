"""``python -m benchmarks.storms``: many short storms one after the other, and the bounds of detection and recovery.

Killed or interrupted, the same line goes on where it was left.
"""

import argparse
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from benchmarks.command import Parser, carry_out
from benchmarks.playing import play
from benchmarks.storm_results import LEAST_STORMS, Figure, Storms, broken_bounds, figures, read
from benchmarks.tables import Table, as_markdown, rich
from orchestrator import host, journal
from orchestrator.compare import plan as plans
from orchestrator.compare.command import stopped
from orchestrator.compare.plan import Plan, Slot
from orchestrator.compare.state import State, scan
from orchestrator.evidence import Evidence
from orchestrator.marks import fill
from orchestrator.run_dir import write_atomically
from orchestrator.settings_load import Layer, build
from protocols.errors import ConfigError

MODE = "tcp"
PREFIX = "bench-storms-"
JUDGED = "json"
_SEED = 1
_STEP_WORK_MS = 200.0
"""As at full length, so that requests are under way on the victims; scaled, most storms would find them idle."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run with these arguments; returns the exit code (:func:`benchmarks.command.carry_out`)."""
    arguments = sys.argv[1:] if argv is None else argv
    return carry_out("benchmarks", lambda: _run(_parse(arguments)), "interrupted; the same line goes on from here")


def _run(options: argparse.Namespace) -> Iterable[str]:
    storms = have_stormed(options, Console())
    table = Table(_title(storms), ("figure", "value", "bound", "over"), tuple(map(_row, figures(storms))))
    Console().print(rich(table))
    if options.docs is not None:
        measured = f"Measured on {storms.made_at:%d %b %Y} on a host of {storms.host['cpu_count']} cores."
        fill(options.docs, f"storms over {storms.protocol} last measured", f"{measured}\n\n{as_markdown(table)}")
    return broken_bounds(storms)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser(prog="python -m benchmarks.storms", description="How fast the mesh recovers.", allow_abbrev=False)
    parser.add_argument("--protocol", default=JUDGED, metavar="NAME", help="(%(default)s)")
    parser.add_argument("--repeats", type=int, default=LEAST_STORMS, help="storms, one a seed (%(default)s)")
    parser.add_argument("--duration", type=float, default=16.0, help="of each, in s (%(default)s)")
    parser.add_argument("--results-dir", type=Path, default=Path("results"), metavar="DIR", help="(%(default)s)")
    parser.add_argument("--id", help=f"the folder {PREFIX}<ID>; default: the one that was stopped, or a new one")
    parser.add_argument("--report", action="store_true", help="run nothing; show what there is in the folder of --id")
    parser.add_argument("--docs", type=Path, metavar="FILE", help="put the table between its marks in this file")
    options = parser.parse_args(arguments)
    if options.repeats < 1:
        raise ConfigError(f"--repeats: expected 1 or more, got {options.repeats}")
    if options.report and options.id is None:
        raise ConfigError("--report: expected --id beside it, to say of which storms; see the results folder")
    return options


def planned(protocol: str, repeats: int, duration_s: float) -> Plan:
    """The storms: the default scenario but for its length, seed after seed; raises ConfigError where it cannot be."""
    storm = {"protocol": protocol, "duration": duration_s, "step_work_ms": _STEP_WORK_MS, "seed": _SEED}
    layer = Layer("the benchmark", {"scenario": storm, "detector": {"mode": MODE}})
    base = build([layer]).to_mapping()
    seeds = tuple(range(_SEED, _SEED + repeats))
    slots = tuple(Slot(block=seed, arm=protocol, protocol=protocol, mode=MODE, seed=seed) for seed in seeds)
    return Plan(
        comparison_id="storms", arms=(protocol,), modes=(MODE,), seeds=seeds, reference=protocol, runtime="local",
        base=base, slots=slots,
    )  # fmt: skip


def have_stormed(options: argparse.Namespace, console: Console) -> Storms:
    """Run what is missing of the plan, and read everything; raises FailstormError."""
    plan = planned(options.protocol, options.repeats, options.duration)
    root = _folder(options, plan)
    if options.report:
        plan = plans.load(root)
        state = scan(plan, root)
    else:
        state = play(plan, root, console)
    storms = _read(plan, state)
    write_atomically(root / "storms.json", storms.model_dump_json(indent=1) + "\n")
    return storms


def _folder(options: argparse.Namespace, wished: Plan) -> Path:
    results: Path = options.results_dir
    if options.id is not None:
        return results / f"{PREFIX}{options.id}"
    unfinished = stopped(results, wished, PREFIX)
    return unfinished[0] if unfinished is not None else results / f"{PREFIX}{datetime.now(UTC):%Y%m%d-%H%M%S}"


def _read(wished: Plan, state: State) -> Storms:
    runs = []
    for run in state.done.values():
        evidence = Evidence.from_events(journal.load(run.path / journal.MERGED_FILE))
        runs.append(read(evidence, run.content))
    return Storms(
        made_at=datetime.now(UTC).replace(microsecond=0), host=host.describe(), protocol=wished.reference,
        judged=wished.reference == JUDGED, runs=runs,
    )  # fmt: skip


def _title(storms: Storms) -> str:
    out = [run for run in storms.runs if run.obstacle is not None]
    starved = sum(run.starved for run in storms.runs)
    return (
        f"{storms.protocol}: {len(storms.runs)} storms, 8 agents of which 2 are killed, local processes, detector mode "
        f"{MODE}; {len(out)} not valid, {starved} on a starved host"
    )


def _row(figure: Figure) -> tuple[str, ...]:
    number = "never" if figure.value is None else f"{figure.value:.4g}"
    unit = "" if figure.unit in ("count", "ratio") else f" {figure.unit}"
    bound = "-" if figure.bound is None else f"{figure.bound:g}{unit}{'' if figure.judged else ' (not judged)'}"
    return figure.name, f"{number}{unit}", bound, figure.of


if __name__ == "__main__":
    sys.exit(main())
