"""Whether a detector wrongs the living: a run in which nobody is hurt, alone or beside a program on all cores."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import cast

import psutil

from benchmarks.detectors.results import Calm
from benchmarks.detectors.storms import AGENTS, at_least_s, control, named
from orchestrator.journal import Event
from protocols.clock import Clock
from protocols.message import Traffic

_STEP_S = 1.0
_COSTS = (Traffic.HEARTBEAT, Traffic.MEMBERSHIP)
_SPIN = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n    sum(range(100_000))\n"
"""Never pauses; ends with who started it."""


def measure(kind: str, folder: Path, clock: Clock, *, duration_s: float, loaded: bool) -> Calm:
    """Let eight agents run for so long after their start; raises LabError when the run breaks."""
    with control(folder, {"kind": kind}, clock, at_least_s(duration_s)) as run:
        run.started()
        before = len(run.events)
        with _busy_cores(enabled=loaded):
            begin = clock.now()
            while clock.now() < begin + duration_s:
                run.wait(lambda: False, min(_STEP_S, begin + duration_s - clock.now()))
            took_s = clock.now() - begin
        events = run.events[before:]
    cpu = [float(str(event["cpu_percent"])) for event in named(events, "host")]
    return Calm(
        kind=kind,
        loaded=loaded,
        duration_s=took_s,
        agents=AGENTS,
        suspicions=len(named(events, "suspect")),
        doubts=len(named(events, "doubt")),
        excused=len(named(events, "excused")),
        cost_bytes_per_s=cost_bytes(events) / took_s / AGENTS,
        cpu_percent=median(cpu) if cpu else 0.0,
    )


def cost_bytes(events: Sequence[Event]) -> int:
    """Bytes of the exchanges that finding the dead takes, each counted at the agent that opened it."""
    rows = [row for event in named(events, "bytes") for row in cast("list[list[object]]", event["rows"])]
    return sum(
        int(str(sent)) + int(str(received))
        for role, _, traffic, sent, received in rows
        if role == "client" and traffic in _COSTS
    )


@contextmanager
def _busy_cores(*, enabled: bool) -> Iterator[None]:
    count = psutil.cpu_count() or 1
    command = [sys.executable, "-c", _SPIN]
    programs = [subprocess.Popen(command) for _ in range(count if enabled else 0)]  # noqa: S603 - our own interpreter
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()
