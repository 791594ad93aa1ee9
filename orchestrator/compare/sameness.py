"""Proves from the journals that all protocols had the same tasks and the same victims."""

import bz2
import gzip
import hashlib
import json
import lzma
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from orchestrator import journal
from orchestrator.compare.plan import Slot
from orchestrator.compare.state import Finished
from protocols.errors import LabError

_SUFFIXES: Mapping[str, Callable[[bytes], bytes]] = MappingProxyType(
    {"": bytes, ".gz": gzip.decompress, ".xz": lzma.decompress, ".bz2": bz2.decompress}
)
"""How the journals of old runs may be kept."""
_SETTLED = ("run_start", "roster", "placement", "task")
_STARTED = "t0"
_OWN = ("t", "node", "inc", "ev")


def check(runs: Mapping[Slot, Finished]) -> int:
    """Compare what each run of one seed was given; returns how many journals could be read.

    Raises LabError when two runs of one seed had other tasks, victims, roster or placement, and names them.
    """
    read = 0
    first: dict[int, tuple[Slot, dict[str, str]]] = {}
    for slot, run in runs.items():
        given = fingerprint(run.path)
        if given is None:
            continue
        read += 1
        before, theirs = first.setdefault(slot.seed, (slot, given))
        if differing := [what for what in theirs if theirs[what] != given.get(what)]:
            raise LabError(
                f"expected {slot.name} to have the same {', '.join(differing)} as {before.name}, got others; "
                f"the code changed in between, or the runs were mixed: start a new comparison"
            )
    return read


def fingerprint(run_dir: Path) -> dict[str, str] | None:
    """What the run was given, as digests: victims, roster, placement, tasks; None without a readable journal."""
    found: dict[str, list[Any]] = {"victims": [], "roster": [], "placement": [], "task": []}
    events = _events(run_dir)
    if events is None:
        return None
    for event in events:
        if event["ev"] == "run_start":
            found["victims"] = event["victims"]
        elif event["ev"] in found:
            found[event["ev"]].append({key: value for key, value in event.items() if key not in _OWN})
    return {what: hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest() for what, rows in found.items()}


def _events(run_dir: Path) -> Sequence[Mapping[str, Any]] | None:
    """The conductor's settled facts; from its own journal, or the merged one."""
    for name in (journal.CONDUCTOR_FILE, journal.MERGED_FILE):
        for suffix, unpack in _SUFFIXES.items():
            path = run_dir / f"{name}{suffix}"
            if path.exists():
                try:
                    return list(_settled(unpack(path.read_bytes())))
                except (OSError, EOFError, lzma.LZMAError) as error:
                    raise LabError(f"expected a readable journal, got {path}: {error}; restore it") from error
    return None


def _settled(journaled: bytes) -> Iterator[Mapping[str, Any]]:
    for text in journaled.splitlines():
        try:
            event = json.loads(text)
        except ValueError:  # torn
            continue
        if event.get("ev") == _STARTED:
            return
        if event.get("ev") in _SETTLED:
            yield event
