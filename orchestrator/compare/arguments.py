"""The flags of the command ``compare``; light, since every command line loads it."""

import argparse
from pathlib import Path
from typing import Literal, get_args

REPEATS = 10
Mode = Literal["probe", "common", "tcp", "native"]
MODES: tuple[Mode, ...] = ("common",)
_NO_DESCRIPTION = ("command", "handler", "config", "runtime", "results_dir", "id", "report")
"""Arguments that do not say what is to be compared."""


def add_to(parser: argparse.ArgumentParser) -> None:
    """Add what only this command knows."""
    parser.add_argument("--protocols", nargs="+", metavar="NAME", help="two or more; the same twice is an A/A")
    parser.add_argument("--repeats", type=int, metavar="NUMBER", help=f"runs of each, one a seed; default: {REPEATS}")
    parser.add_argument("--modes", nargs="+", choices=get_args(Mode), metavar="MODE",
                        help=f"detector modes, kept apart; default: {' '.join(MODES)}")  # fmt: skip
    parser.add_argument("--reference", metavar="NAME", help="what the others are tested against; default: json")
    parser.add_argument("--id", metavar="ID", help="name of the comparison; alone: go on with that one")
    parser.add_argument(
        "--report", type=Path, metavar="FOLDER", help="only compute tables and page again from the disk"
    )


def describes(options: argparse.Namespace) -> bool:
    """Whether the command line says what to compare, and does not only name a comparison to go on with."""
    return any(value for key, value in vars(options).items() if key not in _NO_DESCRIPTION)
