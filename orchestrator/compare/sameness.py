"""Proves from the journals that all protocols had the same tasks and the same victims."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from orchestrator import journal
from orchestrator.compare.plan import Slot
from orchestrator.compare.state import Finished
from protocols.errors import LabError

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
    path = journal.kept(run_dir, journal.CONDUCTOR_FILE) or journal.kept(run_dir)
    if path is None:
        return None
    for event in _settled(path):
        if event["ev"] == "run_start":
            found["victims"] = event["victims"]
        elif event["ev"] in found:
            found[event["ev"]].append({key: value for key, value in event.items() if key not in _OWN})
    return {what: hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest() for what, rows in found.items()}


def _settled(path: Path) -> Iterator[Mapping[str, Any]]:
    """What the conductor wrote of the plan, before the clock started."""
    for event in journal.load(path):
        if event["ev"] == _STARTED:
            return
        if event["ev"] in _SETTLED:
            yield event
