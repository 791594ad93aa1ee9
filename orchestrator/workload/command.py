"""The command ``generate``: writes a Gaia document and says what is in it."""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rich.console import Console

from orchestrator import seeds
from orchestrator.workload.document import GeneratorParameters, write_lines
from orchestrator.workload.generator import header, stream
from orchestrator.workload.prose import STYLES
from orchestrator.workload.tally import Tally
from orchestrator.workload.worlds import DOMAINS
from protocols.errors import ConfigError

DIFFICULTIES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "easy": {"min_hops": 1, "max_hops": 2, "name_overlap": 0.1, "decoy_rate": 0.0},
        "standard": {},
        "hard": {
            "min_hops": 3,
            "max_hops": 5,
            "name_overlap": 0.6,
            "decoy_rate": 0.6,
            "distractor_rate": 0.2,
            "alias_rate": 0.1,
            "unanswerable_rate": 0.1,
            "domains": tuple(DOMAINS),
            "styles": tuple(STYLES),
        },
    }
)
"""Name → what it sets; flags of their own win over it."""

_SHARES: Mapping[str, str] = MappingProxyType(
    {
        "--overlap": "name_overlap",
        "--decoys": "decoy_rate",
        "--distractors": "distractor_rate",
        "--aliases": "alias_rate",
        "--unanswerable": "unanswerable_rate",
    }
)


def add_to(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add the command to the orchestrator's command line."""
    defaults = GeneratorParameters.model_fields
    parser = commands.add_parser("generate", help="write a Gaia document", allow_abbrev=False)
    parser.add_argument("--fragments", type=int, default=defaults["fragment_count"].default, metavar="NUMBER")
    parser.add_argument("--questions", type=int, default=defaults["question_count"].default, metavar="NUMBER")
    parser.add_argument("--hops", type=_hops, metavar="NUMBER", help="facts that a question chains: 3, or 2-4")
    parser.add_argument("--difficulty", choices=tuple(DIFFICULTIES), default="standard")
    for flag, key in _SHARES.items():
        parser.add_argument(flag, type=float, metavar="SHARE", help=f"sets {key}, from 0 to 1")
    parser.add_argument("--domains", type=_names, metavar="NAMES", help=f"some of {','.join(DOMAINS)}")
    parser.add_argument("--styles", type=_names, metavar="NAMES", help=f"some of {','.join(STYLES)}")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="FILE")
    parser.add_argument("--stats", type=Path, metavar="FILE", help="write the statistics there as JSON")
    parser.set_defaults(handler=_generate)


def _hops(text: str) -> tuple[int, int]:
    least, separator, most = text.partition("-")
    try:
        return int(least), int(most if separator else least)
    except ValueError as error:
        message = f"expected a number such as 3, or a range such as 2-4, got {text!r}"
        raise argparse.ArgumentTypeError(message) from error


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def _generate(options: argparse.Namespace, _: Mapping[str, str]) -> int:
    parameters = _parameters(options)
    tally = Tally()
    pieces = stream(parameters, seeds.stream(options.seed, "document"))
    write_lines(tally.lines(header(parameters), pieces), options.out)
    tally.show(Console())
    if options.stats is not None:
        try:
            options.stats.write_text(json.dumps(tally.summary(), indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            message = f"--stats: expected a file to write, got {str(options.stats)!r}: {error.strerror}"
            raise ConfigError(message) from error
    return 0


def _parameters(options: argparse.Namespace) -> GeneratorParameters:
    given: dict[str, Any] = dict(DIFFICULTIES[options.difficulty])
    chosen = {key: getattr(options, flag.removeprefix("--")) for flag, key in _SHARES.items()}
    chosen |= {"domains": options.domains, "styles": options.styles}
    if options.hops is not None:
        chosen["min_hops"], chosen["max_hops"] = options.hops
    given |= {key: value for key, value in chosen.items() if value is not None}
    return GeneratorParameters(
        seed=options.seed, fragment_count=options.fragments, question_count=options.questions, **given
    )
