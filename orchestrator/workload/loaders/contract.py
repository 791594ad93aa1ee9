"""What a loader is: a format's name, how to know such a file, and how to read one."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from orchestrator.workload.document import GaiaDocument

_HEAD_BYTES = 1_000_000


@dataclass(frozen=True)
class Peek:
    """What can be told of a file at a glance."""

    path: Path
    keys: frozenset[str]
    """Keys of the first JSON record, be it the first line or the first of an array; empty if there is none."""


@dataclass(frozen=True)
class Loader:
    """One format.

    Attributes:
        name: What messages and ``load_document`` call it.
        claims: Whether a file is of this format; no two loaders claim the same file.
        load: Reads and validates a file; raises ConfigError with file, line and field.
    """

    name: str
    claims: Callable[[Peek], bool]
    load: Callable[[Path], GaiaDocument]


def peek(path: Path) -> Peek:
    """Look at the beginning of a file; raises OSError when it cannot be read."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES).decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    try:
        record, _ = json.JSONDecoder().raw_decode(head.removeprefix("[").lstrip())
    except (ValueError, RecursionError):
        record = None
    return Peek(path, frozenset(record) if isinstance(record, dict) else frozenset())
