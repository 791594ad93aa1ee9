"""The command line: ``run`` (the default) and its sisters; an error is one line and a code."""

import argparse
import difflib
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NoReturn

from rich.console import Console

from orchestrator import ask, dry_run, judge, ports, preflight, record, reserve, settings_load, timeline
from orchestrator.compare import arguments as compare
from orchestrator.published import command as published
from orchestrator.scenario import Scenario
from orchestrator.settings_load import Layer
from orchestrator.storm_settings import GENERATED
from orchestrator.timeline import Timeline
from orchestrator.workload import command
from orchestrator.workload.loaders import load_document
from protocols.errors import ConfigError, FailstormError

EXIT_CONFIG, EXIT_LAB, EXIT_INTERRUPTED = 2, 3, 130
_DEFAULT_CONFIG = Path("config.yaml")

_TEXT_FLAGS: Mapping[str, str] = MappingProxyType(
    {
        "--protocol": "scenario.protocol",
        "--topology": "scenario.topology",
        "--detector-mode": "detector.mode",
        "--results-dir": "output.results_dir",
        "--junit": "output.junit",
    }
)
_VALUE_FLAGS: Mapping[str, str] = MappingProxyType(
    {
        "--agent-count": "scenario.agent_count",
        "--duration": "scenario.duration",
        "--kill-fraction": "scenario.kill_fraction",
        "--kill-at": "scenario.kill_at_s",
        "--warmup": "scenario.warmup_s",
        "--seed": "scenario.seed",
    }
)
_KEY_FLAGS: Mapping[str, str] = MappingProxyType({**_TEXT_FLAGS, **_VALUE_FLAGS})
_COMPARED = ("--protocol", "--detector-mode", "--junit")
"""What a comparison varies by itself, or has no place for."""


_SETTLED = ("--kill-fraction", "--kill-at", "--warmup", "--duration")
"""What follows from the questions of a document, when each is asked once and nobody is hurt."""


class _Parser(argparse.ArgumentParser):
    """Reports its errors like the rest of the lab: one line, no usage text."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; see: {self.prog} --help")


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """Run the command in ``argv`` and return its exit code: 2 bad configuration, 3 the lab failed, 130 interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in ("-h", "--help")):
        arguments.insert(0, "run")
    complaints = Console(stderr=True, soft_wrap=True, markup=False, highlight=False)
    try:
        options = _parse(arguments)
        handler: Callable[[argparse.Namespace, Mapping[str, str]], int] = options.handler
        return handler(options, environ)
    except FailstormError as error:
        complaints.print(f"fail-storm: {' '.join(str(error).split())}")
        return EXIT_CONFIG if isinstance(error, ConfigError) else EXIT_LAB
    except KeyboardInterrupt:
        complaints.print("fail-storm: interrupted")
        return EXIT_INTERRUPTED


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = _Parser(prog="python -m orchestrator", description="Measures which agent protocol survives a storm.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="one storm (the default)", allow_abbrev=False)
    _add_scenario(run, _KEY_FLAGS)
    run.add_argument("--dry-run", action="store_true", help="show timeline, roster and victims; start nothing")
    run.add_argument("--debug", action="store_true", help="log in detail")
    run.set_defaults(handler=_run)
    together = commands.add_parser("compare", help="many storms, protocols side by side", allow_abbrev=False)
    _add_scenario(together, [flag for flag in _KEY_FLAGS if flag not in _COMPARED])
    compare.add_to(together)
    together.set_defaults(handler=_compare)
    asking = commands.add_parser("ask", help="every question of a document over a mesh", allow_abbrev=False)
    ask.add_arguments(asking)
    _add_scenario(asking, [flag for flag in _KEY_FLAGS if flag not in _SETTLED])
    asking.set_defaults(handler=_ask)
    _add_container_commands(commands)
    report = commands.add_parser("report", help="recompute the report of a run from its journal", allow_abbrev=False)
    report.add_argument("run_dir", type=Path, metavar="RUN_DIR")
    report.add_argument("--junit", metavar="FILE", help="write the verdict and the bounds as JUnit XML too")
    report.set_defaults(handler=_report)
    command.add_to(commands)
    record.add_to(commands)
    judge.add_to(commands)
    published.add_to(commands)
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        known = ("--config", "--scenario", "--set", "--runtime", "--dry-run", "--debug", *_KEY_FLAGS)
        near = difflib.get_close_matches(unknown[0].partition("=")[0], known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"see: {parser.prog} {options.command} --help"
        raise ConfigError(f"unknown argument {unknown[0]}; {hint}")
    return options


def _add_scenario(parser: argparse.ArgumentParser, flags: Iterable[str]) -> None:
    """What says how a storm is to be: the configuration, and what overrides it."""
    parser.add_argument("--config", type=Path, default=_DEFAULT_CONFIG, metavar="FILE", help="default: config.yaml")
    parser.add_argument("--scenario", metavar="NAME", help="merge scenarios/NAME.yaml over the configuration")
    for flag in flags:
        parser.add_argument(flag, metavar="VALUE", help=f"sets {_KEY_FLAGS[flag]}")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="sets any key, such as scenario.heal=20"
    )
    parser.add_argument("--runtime", choices=("auto", "local", "docker"), default="auto", help="where the agents live")


def _add_container_commands(commands: "argparse._SubParsersAction[_Parser]") -> None:
    """What compose.yaml calls; a user has no need of them."""
    prepare = commands.add_parser("prepare", help="in a container: lay out the folder of a run", allow_abbrev=False)
    prepare.add_argument("--run-dir", type=Path, required=True, metavar="RUN_DIR")
    prepare.add_argument("--config", type=Path, default=_DEFAULT_CONFIG, metavar="FILE")
    prepare.add_argument("--owner", required=True, metavar="UID:GID", help="to whom the files will belong")
    prepare.set_defaults(handler=_prepare)
    conduct = commands.add_parser("conduct", help="in a container: conduct a run", allow_abbrev=False)
    conduct.add_argument("--run-dir", type=Path, required=True, metavar="RUN_DIR")
    conduct.add_argument("--chaos", required=True, metavar="URL", help="where chaos takes orders")
    conduct.add_argument("--prometheus", required=True, metavar="URL", help="what scrapes the run")
    conduct.set_defaults(handler=_conduct)


def _prepare(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    from orchestrator.compose.prepare import Owner, prepare  # noqa: PLC0415 - in its container only

    uid, _, gid = options.owner.partition(":")
    if not (uid.isdecimal() and gid.isdecimal()):
        raise ConfigError(
            f"--owner: expected UID:GID in numbers, got {options.owner!r}; set FAILSTORM_UID, FAILSTORM_GID"
        )
    scenario = prepare(options.run_dir, options.config, Owner(int(uid), int(gid)), environ)
    storm = scenario.storm
    Console().print(f"prepared {options.run_dir}: {storm.agent_count} agents, {storm.protocol}", soft_wrap=True)
    return 0


def _conduct(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    from orchestrator.compose.conduct import conduct  # noqa: PLC0415 - in its container only

    return conduct(options.run_dir, options.chaos, options.prometheus, debug=bool(environ.get("FAILSTORM_DEBUG")))


def _run(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    scenario = _scenario(options, environ)
    if scenario.storm.document != GENERATED:
        load_document(Path(scenario.storm.document))
    planned = timeline.plan(scenario)
    if options.dry_run:
        dry_run.show(planned, Console())
        return 0
    results_dir = Path(scenario.output.results_dir)
    preflight.check_writable(results_dir)
    preflight.check_room(results_dir, reserve.size_bytes(scenario.storm.agent_count, scenario.storm.duration))
    if options.runtime != "local":
        # Late, here and below: a mistake in the configuration is reported before a web framework is loaded.
        from orchestrator.compose.launch import find_lab  # noqa: PLC0415

        if options.runtime == "docker":
            _refuse_obstacles(planned, "docker")
        found = find_lab(scenario, environ, must=options.runtime == "docker", debug=options.debug)
        if found is not None:
            return found.play()
    _refuse_obstacles(planned, "local")
    ports.check_ports(planned.ports)
    from orchestrator.run import conduct  # noqa: PLC0415

    return conduct(scenario, debug=options.debug)


def _refuse_obstacles(planned: Timeline, runtime: str) -> None:
    for reason in planned.obstacles(runtime):
        raise ConfigError(f"chaos: expected faults that RUNTIME={runtime} can do, but {reason}")


def _scenario(options: argparse.Namespace, environ: Mapping[str, str]) -> Scenario:
    layers = [settings_load.read_file(options.config)]
    if options.scenario is not None:
        layers.append(settings_load.read_named(options.scenario, options.config))
    given = vars(options)
    for flag, key in _KEY_FLAGS.items():
        text = given[_attribute(flag)]
        if text is not None:
            layers.append(_flag(flag, key, text))
    for assignment in options.set:
        key, separator, text = assignment.partition("=")
        if not separator or not all(key.split(".")):
            raise ConfigError(f"--set: expected KEY=VALUE such as scenario.heal=20, got {key!r} without a value")
        layers.append(_flag("--set", key, text))
    return settings_load.build(layers, environ)


def _attribute(flag: str) -> str:
    return flag.removeprefix("--").replace("-", "_")


def _flag(flag: str, key: str, text: str) -> Layer:
    value = text if flag in _TEXT_FLAGS else settings_load.read_value(flag, text)
    return settings_load.flag_layer(flag, key, value)


def _compare(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    from orchestrator.compare.command import compare as carry_out  # noqa: PLC0415 - drawing libraries, as below

    def build(added: Mapping[str, str]) -> Scenario:
        given = vars(options) | dict.fromkeys(map(_attribute, _COMPARED))
        return _scenario(
            argparse.Namespace(**given | {_attribute(flag): text for flag, text in added.items()}), environ
        )

    def is_docker(scenario: Scenario) -> bool:
        from orchestrator.compose.launch import find_lab  # noqa: PLC0415 - as for a run

        must = options.runtime == "docker"
        return options.runtime != "local" and find_lab(scenario, environ, must=must, debug=False) is not None

    return carry_out(options, build, is_docker)


def _ask(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    given = vars(options) | dict.fromkeys(map(_attribute, _SETTLED))
    given["set"] = [*options.set, *ask.settings_for(options.document, options.task_rate)]
    scenario = _scenario(argparse.Namespace(**given), environ)
    if options.runtime == "docker":
        raise ConfigError("--runtime: expected local for ask, got docker; leave it out")
    preflight.check_writable(Path(scenario.output.results_dir))
    ports.check_ports(timeline.plan(scenario).ports)
    return ask.ask(scenario)


def _report(options: argparse.Namespace, _: Mapping[str, str]) -> int:
    if not options.run_dir.is_dir():
        raise ConfigError(f"expected the folder of a run, got {str(options.run_dir)!r}; see results/")
    from orchestrator import junit  # noqa: PLC0415 - drawing libraries, for this command alone
    from orchestrator.report import rebuild  # noqa: PLC0415

    code = rebuild(options.run_dir)
    junit.write(options.run_dir, options.junit)
    return code
