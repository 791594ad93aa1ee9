"""The command ``compare``: starts a comparison, goes on with one that was stopped, or reports on one again."""

import argparse
import re
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from rich import box
from rich.console import Console
from rich.table import Table

from orchestrator.compare import arguments, files, table, words
from orchestrator.compare import plan as plans
from orchestrator.compare.arguments import Mode
from orchestrator.compare.conduct import conduct
from orchestrator.compare.plan import PLAN_FILE, Plan, Runtime
from orchestrator.compare.player import Player
from orchestrator.compare.progress import Display
from orchestrator.compare.state import scan
from orchestrator.scenario import Scenario
from protocols.clock import MonotonicClock
from protocols.errors import ConfigError, LabError

EXIT_INCOMPLETE, EXIT_INTERRUPTED = 4, 130
PREFIX = "compare-"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

Build = Callable[[Mapping[str, str]], Scenario]
"""The scenario of the command line, with the values that the command adds (flag → text)."""


def compare(options: argparse.Namespace, build: Build, is_docker: Callable[[Scenario], bool]) -> int:
    """Carry out the command; returns 0, 4 when runs are missing, 130 when interrupted.

    ``is_docker`` finds out which runtime all runs will have. Raises ConfigError for what cannot be, LabError for what
    went wrong.
    """
    console = Console()
    if options.report is not None:
        return _report(plans.load(options.report), options.report, console)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    root, plan = _settle(options, build, is_docker, console)
    try:
        with ExitStack() as stack:
            held = stack.enter_context(files.locked(root, lambda line: _say(console, line)))
            player = Player(plan, root, held)
            display = stack.enter_context(Display(plan, console, MonotonicClock()))
            conduct(plan, root, player, display)
    except KeyboardInterrupt:
        done = len(scan(plan, root).done)
        _say(console, f"stopped after {done} of {len(plan.slots)} runs; go on with: {_again(plan, root)}")
        return EXIT_INTERRUPTED
    return _report(plan, root, console)


def _interrupt(_: int, __: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _report(plan: Plan, root: Path, console: Console) -> int:
    state = scan(plan, root)
    comparison = files.write(plan, root, state)
    for mode in plan.modes:
        _show(comparison, mode, console)
    for caution in words.cautions(comparison):
        console.print(caution, style="yellow", markup=False, highlight=False, soft_wrap=True)
    for name, what in ((files.PAGE_FILE, "page"), (files.TABLE_FILE, "tables"), (files.RESULT_FILE, "numbers")):
        _say(console, f"{what:8}{root / name}")
    if comparison["missing"]:
        count = f"{len(comparison['missing'])} of {comparison['planned']}"
        _say(console, f"{count} runs are missing; go on with: {_again(plan, root)}")
        return EXIT_INCOMPLETE
    return 0


def _show(comparison: Mapping[str, Any], mode: str, console: Console) -> None:
    """The specification's table, a row a metric, so that it fits a terminal."""
    shown = Table("metric", *comparison["arms"], box=box.SIMPLE_HEAD)
    cells = {(cell["metric"], cell["arm"]): cell for cell in comparison["cells"] if cell["mode"] == mode}
    for name in table.SPECIFICATION:
        shown.add_row(name, *(words.cell(cells[name, arm]) for arm in comparison["arms"]))
    _say(console, words.circumstances(comparison, mode))
    console.print(shown)


def _settle(
    options: argparse.Namespace, build: Build, is_docker: Callable[[Scenario], bool], console: Console
) -> tuple[Path, Plan]:
    """The comparison's folder and plan: the one that is named, one like it that was stopped, or a new one."""
    results_dir = Path(options.results_dir or "results")
    if options.id is not None and not _ID.fullmatch(options.id):
        raise ConfigError(f"--id: expected letters, digits, '.', '_' or '-', got {options.id!r}; choose another")
    named = None if options.id is None else results_dir / f"{PREFIX}{options.id}"
    if named is not None and not arguments.describes(options):
        plan = plans.load(named)
        if options.runtime not in ("auto", plan.runtime):
            raise ConfigError(
                f"--runtime: expected {plan.runtime}, as planned in {named}, got {options.runtime}; leave it"
            )
        _say(console, f"going on with {named}")
        return named, plan
    wished = _wish(options, build, is_docker)
    if named is not None and (named / PLAN_FILE).exists():
        plan = plans.load(named)
        if differing := wished.differences(plan):
            raise ConfigError(
                f"--id {options.id}: expected the comparison that was planned there, got other {', '.join(differing)}; "
                f"leave everything else out to go on with it, or choose another --id"
            )
        _say(console, f"going on with {named}")
        return named, plan
    if named is None and (found := stopped(results_dir, wished)) is not None:
        _say(console, f"going on with {found[0]}; for a new comparison give it an ID of its own")
        return found
    root = named or results_dir / f"{PREFIX}{wished.comparison_id}"
    try:
        root.mkdir(parents=True, exist_ok=named is not None)
    except OSError as error:
        raise LabError(f"expected to make {root}, got: {error.strerror}; choose another --results-dir") from error
    plans.save(wished, root)
    _say(console, f"{len(wished.slots)} runs in {root}")
    return root, wished


def _wish(options: argparse.Namespace, build: Build, is_docker: Callable[[Scenario], bool]) -> Plan:
    repeats = arguments.REPEATS if options.repeats is None else options.repeats
    modes: Sequence[Mode] = options.modes or arguments.MODES
    if repeats < 1:
        raise ConfigError(f"--repeats: expected 1 or more, got {repeats}")
    if not options.protocols:
        raise ConfigError("--protocols: expected two or more, such as --protocols json a2a, got none")
    if len(set(modes)) < len(modes):
        raise ConfigError(f"--modes: expected each mode once, got {' '.join(modes)}")
    scenarios = [build({"--protocol": protocol}) for protocol in dict.fromkeys(options.protocols)]
    first = scenarios[0]
    seeds: Sequence[int] = range(first.storm.seed, first.storm.seed + repeats)
    for mode in modes:
        build({"--protocol": options.protocols[0], "--detector-mode": mode})
    base: dict[str, Any] = first.to_mapping()
    # One file for all runs would be the last one's.
    base["output"] = {**base["output"], "junit": None}
    name = options.id or f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
    runtime: Runtime = "docker" if is_docker(first) else "local"
    return plans.make(name, options.protocols, modes, seeds, runtime, base, reference=options.reference)


def stopped(results_dir: Path, wished: Plan, prefix: str = PREFIX) -> tuple[Path, Plan] | None:
    """The newest comparison of the same plan that is not complete; its folder's name begins with ``prefix``."""
    for path in sorted(results_dir.glob(f"{prefix}*/{PLAN_FILE}"), reverse=True):
        try:
            plan = plans.load(path.parent)
        except ConfigError:  # another version's
            continue
        if not wished.differences(plan) and scan(plan, path.parent).open(plan):
            return path.parent, plan
    return None


def _again(plan: Plan, root: Path) -> str:
    if root.parent == Path("results"):
        return f"make compare ID={plan.comparison_id}"
    return f"python -m orchestrator compare --results-dir {root.parent} --id {plan.comparison_id}"


def _say(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)
