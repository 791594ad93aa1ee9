"""``python -m benchmarks.truth``: capture storms, hold their journals against the wire; exit code 1 when one lies."""

import argparse
import shutil
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from benchmarks.command import Parser, carry_out
from benchmarks.tables import rich
from benchmarks.truth import recording
from benchmarks.truth.capture import obstacle
from benchmarks.truth.judge import judge
from benchmarks.truth.results import Check, Truth, broken_bounds
from benchmarks.truth.storm import record
from benchmarks.truth.tables import markdown, tables
from orchestrator import host
from orchestrator.marks import fill
from orchestrator.run_dir import write_atomically
from protocols import registry
from protocols.adapter import BaseProtocolAdapter
from protocols.clock import MonotonicClock
from protocols.errors import ConfigError

_MODES = ("common", "tcp", "native")
_STEP_WORK_MS = "200"
"""As at full length, so that requests are under way on the victims; scaled, most storms would find them idle."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run with these arguments; returns the exit code (:func:`benchmarks.command.carry_out`)."""
    return carry_out("truth", lambda: _run(_parse(sys.argv[1:] if argv is None else argv)))


def _run(options: argparse.Namespace) -> Iterable[str]:
    check = _check(options)
    for table in tables(check):
        Console().print(rich(table))
    _keep(check, options)
    return broken_bounds(check)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser(prog="python -m benchmarks.truth", description="Is the journal true?", allow_abbrev=False)
    known = [name for name in registry.names() if registry.obstacle(name) is None]
    parser.add_argument("--protocol", action="append", metavar="NAME", choices=known, help="only this one; or more")
    parser.add_argument(
        "--mode", action="append", choices=_MODES,
        help="of the detector; default: tcp, and native where the protocol has a watch of its own",
    )  # fmt: skip
    parser.add_argument("--duration", default="24", metavar="S", help="of each storm (%(default)s)")
    parser.add_argument("--repeats", type=int, default=1, help="storms of each, one a seed (%(default)s)")
    parser.add_argument("--agents", metavar="N", help="in each storm; their tables have marks of their own in --docs")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as for a run")
    parser.add_argument("--config", type=Path, default=Path("config.yaml"), metavar="FILE", help="(%(default)s)")
    parser.add_argument("--results-dir", type=Path, default=Path("results"), metavar="DIR", help="(%(default)s)")
    parser.add_argument("--docs", type=Path, metavar="FILE", help="put the tables between the marks in this file")
    parser.add_argument(
        "--load", type=Path, action="append", metavar="DIR", help="capture nothing; judge this kept storm; or more"
    )
    options = parser.parse_args(arguments)
    options.protocol = options.protocol or known
    if options.repeats < 1:
        raise ConfigError(f"--repeats: expected 1 or more, got {options.repeats}")
    return options


def _check(options: argparse.Namespace) -> Check:
    made_at = datetime.now(UTC).replace(microsecond=0)
    if options.load:
        storms = [judge(folder, recording.load(folder)) for folder in options.load]
    else:
        storms = [
            _storm(options, made_at, name, mode, seed)
            for seed in range(1, 1 + options.repeats)
            for name in options.protocol
            for mode in _modes(options, name)
        ]
    return Check(made_at=made_at, host=host.describe(), storms=storms)


def _modes(options: argparse.Namespace, protocol: str) -> Sequence[str]:
    if options.mode:
        return tuple(options.mode)
    has_watch = registry.load(protocol).watch is not BaseProtocolAdapter.watch
    return ("tcp", "native") if has_watch else ("tcp",)


def _storm(options: argparse.Namespace, made_at: datetime, protocol: str, mode: str, seed: int) -> Truth:
    reason = obstacle()
    if reason is not None:
        raise ConfigError(reason)
    settings = {"scenario.step_work_ms": _STEP_WORK_MS, "scenario.seed": f"{seed}"}
    settings |= dict(assignment.partition("=")[::2] for assignment in options.set)
    if options.agents is not None:
        settings["scenario.agent_count"] = options.agents
    settings |= {"scenario.protocol": protocol, "scenario.duration": options.duration, "detector.mode": mode}
    folder = options.results_dir / f"truth-{made_at:%Y%m%d-%H%M%S}" / f"{protocol}-{mode}-seed{seed}"
    Console(stderr=True).print(f"{protocol} ({mode}, seed {seed}): a storm of {options.duration} s", highlight=False)
    try:
        return judge(folder, record(options.config, settings, folder, MonotonicClock()))
    except ConfigError:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _keep(check: Check, options: argparse.Namespace) -> None:
    path = options.results_dir / f"truth-{check.made_at:%Y%m%d-%H%M%S}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, check.model_dump_json(indent=1) + "\n")
    Console().print(f"written: {path}", soft_wrap=True)
    if options.docs is not None:
        mark = "last measured" if options.agents is None else f"last measured with {options.agents} agents"
        fill(options.docs, mark, markdown(check))
