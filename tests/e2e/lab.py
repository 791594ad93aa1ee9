"""One run of the lab as a user starts it, observed from outside."""

import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orchestrator.journal import JournalTail

CHECKOUT = Path(__file__).resolve().parents[2]
_POLL_S = 0.05

Event = dict[str, Any]


@dataclass
class Lab:
    """One run of the lab under way."""

    process: subprocess.Popen[str]
    folder: Path
    ports: range

    @property
    def run_dir(self) -> Path:
        """The folder of the run."""
        return (self.folder / "results" / "latest").resolve()

    def finish(self, timeout_s: float) -> tuple[int, str]:
        """Exit code and everything printed."""
        output, _ = self.process.communicate(timeout=timeout_s)
        return self.process.returncode, output

    def metrics(self) -> dict[str, Any]:
        """failstorm_metrics.json at the root."""
        found: dict[str, Any] = json.loads((self.folder / "failstorm_metrics.json").read_text())
        return found

    def journal(self) -> list[Event]:
        """The merged journal."""
        return [json.loads(line) for line in (self.run_dir / "journal.jsonl").read_text().splitlines()]

    def wait_for(self, wanted: Callable[[Event], bool], count: int = 1, timeout_s: float = 40) -> list[Event]:
        """The first ``count`` journal events that are wanted; fails when they do not come in time or the lab ends.

        It says what the lab printed: a lab that was refused at its start writes no event at all.
        """
        found: list[Event] = []
        tail: JournalTail | None = None

        def complete() -> bool:
            nonlocal tail
            if tail is None and (self.folder / "results" / "latest").exists():
                tail = JournalTail(self.run_dir)
            ended = self.process.poll() is not None  # asked first, so that its last events are read
            found.extend(dict(event) for event in (tail.read_new() if tail else []) if wanted(dict(event)))
            return len(found) >= count or ended

        self.wait_until(complete, timeout_s)
        if len(found) < count:
            if self.process.poll() is None:
                pytest.fail(f"expected {count} events within {timeout_s} s, got {len(found)}: {found[-3:]}")
            pytest.fail(f"expected {count} events, got {len(found)} before the lab ended: {self.finish(5)}")
        return found[:count]

    def wait_until(self, holds: Callable[[], bool], timeout_s: float) -> bool:
        """Whether the condition came true in time."""
        deadline = time.monotonic() + timeout_s
        never = threading.Event()
        while not holds():
            if time.monotonic() > deadline:
                return False
            never.wait(_POLL_S)
        return True

    def agent_pids(self) -> list[int]:
        """Process ids of all agents, as they journaled them."""
        return [event["pid"] for event in self.wait_for(lambda event: event["ev"] == "agent_start", count=8)]


def is_running(pid: int) -> bool:
    """Whether a process of this id exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def free(port: int) -> bool:
    """Whether nobody listens on the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
