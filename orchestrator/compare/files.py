"""Writes the results of a comparison, and keeps others from its folder while it runs."""

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orchestrator.compare import page, table
from orchestrator.compare.plan import Plan
from orchestrator.compare.result import build
from orchestrator.compare.state import State
from orchestrator.run_dir import write_atomically
from protocols.errors import LabError

RESULT_FILE, PAGE_FILE, TABLE_FILE, _LOCK_FILE = "comparison.json", "comparison.html", "table.md", "lock"
_POLL_S = 0.2


def write(plan: Plan, root: Path, state: State) -> Mapping[str, Any]:
    """Compute the comparison from the runs on the disk and write its three files; raises LabError."""
    comparison = build(plan, root, state)
    write_numbers(comparison, root)
    write_atomically(root / PAGE_FILE, page.render(comparison))
    return comparison


def write_numbers(comparison: Mapping[str, Any], root: Path) -> None:
    """Write what a comparison found, for programs and for people, without its page; raises LabError."""
    write_atomically(root / RESULT_FILE, json.dumps(comparison, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    write_atomically(root / TABLE_FILE, table.render(comparison))


@contextmanager
def locked(root: Path, say: Callable[[str], None], wait_s: float = 60.0) -> Iterator[int]:
    """Hold the comparison's lock and yield its file descriptor; a child that inherits it holds it too.

    After a SIGKILL the run that was under way may still be ending: it is waited for. Raises LabError when the lock
    stays with somebody else.
    """
    descriptor = os.open(root / _LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        deadline_s = time.monotonic() + wait_s
        told = False
        while not _try_lock(descriptor):
            if not told:
                say("waiting for the run that is still ending there")
                told = True
            if time.monotonic() > deadline_s:
                raise LabError(
                    f"expected {root} for this process alone, but a comparison is running there; wait for it"
                )
            time.sleep(_POLL_S)
        yield descriptor
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
