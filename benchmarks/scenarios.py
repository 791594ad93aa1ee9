"""``python -m benchmarks.scenarios``: every scenario of ``scenarios/`` once over each protocol, and what became of it.

Killed or interrupted, the same line goes on where it was left.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from benchmarks.command import Parser, carry_out
from benchmarks.playing import play
from benchmarks.scenario_results import COLUMNS, Outcome, Outcomes, broken_bounds, cells, read, refused
from benchmarks.tables import Table, as_markdown, rich
from orchestrator import host, journal, timeline
from orchestrator.compare import plan as plans
from orchestrator.compare.plan import Plan, Slot
from orchestrator.compare.state import State, scan
from orchestrator.evidence import Evidence
from orchestrator.marks import fill
from orchestrator.run_dir import write_atomically
from orchestrator.scenario import Scenario
from orchestrator.settings_load import Layer, build, read_file
from protocols.errors import ConfigError

PREFIX = "bench-scenarios-"
FOLDER = Path("scenarios")
PROTOCOLS = ("json", "a2a")
RUNTIMES = ("local", "docker")
_MODE, _SEED = "common", 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run with these arguments; returns the exit code (:func:`benchmarks.command.carry_out`)."""
    arguments = sys.argv[1:] if argv is None else argv
    return carry_out("benchmarks", lambda: _run(_parse(arguments)), "interrupted; the same line goes on from here")


def _run(options: argparse.Namespace) -> Iterable[str]:
    lacking = {name: reasons for name in options.scenario if (reasons := _lacking(name, options))}
    wished = [planned(name, options) for name in options.scenario if name not in lacking]
    root, console = _folder(options, wished), Console()
    root.mkdir(parents=True, exist_ok=True)
    runs = [refused(name, protocol, reasons) for name, reasons in lacking.items() for protocol in options.protocol]
    for plan in wished:
        runs += _outcomes(plan, root / plan.comparison_id, console, is_over=options.report)
    outcomes = Outcomes(
        made_at=datetime.now(UTC).replace(microsecond=0), host=host.describe(), runtime=options.runtime,
        duration_s=options.duration, runs=sorted(runs, key=lambda run: run.scenario),
    )  # fmt: skip
    write_atomically(root / "scenarios.json", outcomes.model_dump_json(indent=1) + "\n")
    table = Table(_title(outcomes), COLUMNS, tuple(map(cells, outcomes.runs)))
    console.print(rich(table))
    if options.docs is not None:
        measured = f"Measured on {outcomes.made_at:%d %b %Y} on a host of {outcomes.host['cpu_count']} cores."
        fill(options.docs, f"scenarios last run, {options.runtime}", f"{measured}\n\n{as_markdown(table)}")
    return broken_bounds(outcomes)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser(prog="python -m benchmarks.scenarios", description="Does every scenario end well?",
                    allow_abbrev=False)  # fmt: skip
    known = sorted(path.stem for path in FOLDER.glob("*.yaml"))
    parser.add_argument("--scenario", action="append", metavar="NAME", choices=known, help="only this one; or more")
    parser.add_argument("--protocol", action="append", metavar="NAME", help=f"or more ({' '.join(PROTOCOLS)})")
    parser.add_argument("--runtime", choices=RUNTIMES, default=RUNTIMES[0], help="(%(default)s)")
    parser.add_argument("--duration", type=float, default=40.0, metavar="S", help="of each run (%(default)s)")
    parser.add_argument("--results-dir", type=Path, default=Path("results"), metavar="DIR", help="(%(default)s)")
    parser.add_argument("--id", help=f"the folder {PREFIX}<ID>; default: the one that was stopped, or a new one")
    parser.add_argument("--report", action="store_true", help="run nothing; show what there is")
    parser.add_argument("--docs", type=Path, metavar="FILE", help="put the table between its marks in this file")
    options = parser.parse_args(arguments)
    if not known:
        raise ConfigError(f"expected the scenarios in {FOLDER}/, got none; run this in a checkout")
    options.scenario, options.protocol = options.scenario or known, options.protocol or list(PROTOCOLS)
    return options


def planned(name: str, options: argparse.Namespace) -> Plan:
    """One run of the scenario ``name`` over each protocol; raises ConfigError where it cannot be."""
    protocols = tuple(dict.fromkeys(options.protocol))
    return Plan(
        comparison_id=name, arms=protocols, modes=(_MODE,), seeds=(_SEED,), reference=protocols[0],
        runtime=options.runtime, base=_scenario(name, options).to_mapping(),
        slots=tuple(Slot(block=1, arm=one, protocol=one, mode=_MODE, seed=_SEED) for one in protocols),
    )  # fmt: skip


def _scenario(name: str, options: argparse.Namespace) -> Scenario:
    run = {"protocol": options.protocol[0], "duration": options.duration, "seed": _SEED}
    layer = Layer("the benchmark", {"scenario": run, "detector": {"mode": _MODE}})
    return build([read_file(FOLDER / f"{name}.yaml"), layer])


def _lacking(name: str, options: argparse.Namespace) -> Sequence[str]:
    """Why this runtime cannot have the scenario's faults; any other refusal is an error."""
    return timeline.plan(_scenario(name, options)).obstacles(options.runtime)


def _folder(options: argparse.Namespace, wished: Sequence[Plan]) -> Path:
    """Where all scenarios are: the named one, the newest with the same plans that is not complete, or a new one.

    Nothing is run to report on, so then the newest with the same plans will do.
    """
    results: Path = options.results_dir
    if options.id is not None:
        return results / f"{PREFIX}{options.id}"
    for root in sorted(results.glob(f"{PREFIX}*"), reverse=True):
        begun = [plan for plan in wished if _is_there(plan, root / plan.comparison_id)]
        is_open = any(scan(plan, root / plan.comparison_id).open(plan) for plan in wished)
        if begun and (is_open or options.report):
            return root
    return results / f"{PREFIX}{datetime.now(UTC):%Y%m%d-%H%M%S}"


def _is_there(plan: Plan, root: Path) -> bool:
    try:
        return not plan.differences(plans.load(root))
    except ConfigError:
        return False


def _outcomes(plan: Plan, root: Path, console: Console, *, is_over: bool) -> Iterator[Outcome]:
    state = scan(plan, root) if is_over else _played(plan, root, console)
    for slot in plan.slots:
        run = state.done.get(slot)
        evidence = None if run is None else Evidence.from_events(journal.load(run.path / journal.MERGED_FILE))
        yield read(plan.comparison_id, slot.protocol, evidence, {} if run is None else run.content)


def _played(plan: Plan, root: Path, console: Console) -> State:
    console.print(f"{plan.comparison_id}:")
    return play(plan, root, console)


def _title(outcomes: Outcomes) -> str:
    runtime = {"local": "local processes", "docker": "containers"}[outcomes.runtime]
    return f"Scenarios of {outcomes.duration_s:g} s, 8 agents, {runtime}, detector mode {_MODE}, seed {_SEED}"


if __name__ == "__main__":
    sys.exit(main())
