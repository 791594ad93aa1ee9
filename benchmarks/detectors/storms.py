"""One run of the lab on local processes, followed through its journals, in which the benchmark freezes agents."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.ends import ROOT
from orchestrator.journal import Event, JournalTail
from orchestrator.ports import check_ports, plan_ports
from protocols.clock import Clock
from protocols.errors import ConfigError, LabError

AGENTS = 8
_START_S = 60.0
_END_S = 20.0
_CONSOLE = "console.log"
_POLL_S = 0.02
_FULL_LENGTH = ("scenario.step_work_ms=200", "scenario.task_deadline_s=5")
"""What a run of 120 s has, whatever the length of this one."""
_SHORTEST_S = 120
"""Planned length of a run at least, for that deadline to fit; it is interrupted earlier."""
_BASES = range(24_000, 32_000, 100)


class Run:
    """A control under way: ``events`` is all that its journals have said so far."""

    def __init__(self, folder: Path, process: "subprocess.Popen[bytes]", clock: Clock) -> None:
        self.events: list[Event] = []
        self._folder = folder
        self._process = process
        self._clock = clock
        self._tail: JournalTail | None = None
        self._never = threading.Event()

    def wait(self, until: Callable[[], bool], timeout_s: float) -> bool:
        """Follow the journals until this holds; False when it does not in time; raises LabError when the run ends."""
        deadline = self._clock.now() + timeout_s
        while True:
            self._follow()
            if until():
                return True
            if self._process.poll() is not None:
                raise LabError(f"expected a run that goes on, it ended: {self._last_words()}")
            if self._clock.now() >= deadline:
                return False
            self._never.wait(_POLL_S)

    def started(self) -> None:
        """Wait until the clock of all agents runs; raises LabError when it does not."""
        if not self.wait(lambda: len(named(self.events, "started")) == AGENTS, _START_S):
            raise LabError(
                f"expected {AGENTS} agents to start within {_START_S:g} s, got {len(named(self.events, 'started'))}"
            )

    def pids(self) -> Mapping[str, int]:
        """The process of each agent, as it said itself."""
        return {str(event["node"]): int(str(event["pid"])) for event in named(self.events, "agent_start")}

    def neighbours(self) -> Mapping[str, tuple[str, ...]]:
        """Who is linked to whom."""
        (roster,) = named(self.events, "roster")
        agents = roster["agents"]
        if not isinstance(agents, list):
            raise LabError("expected the roster's agents, got none; the journal is broken")
        return {member["node_id"]: tuple(member["neighbours"]) for member in agents}

    def end(self) -> None:
        """Interrupt the run and wait for its end."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(_END_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _last_words(self) -> str:
        lines = (self._folder / _CONSOLE).read_text("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else f"exit code {self._process.returncode}, nothing was printed"

    def _follow(self) -> None:
        latest = self._folder / "results" / "latest"
        if self._tail is None and latest.exists():
            self._tail = JournalTail(latest.resolve())
        if self._tail is not None:
            self.events += self._tail.read_new()


def at_least_s(wished_s: float) -> float:
    """The planned length of a run that is needed for so long: it is interrupted then, and short of it never ends."""
    return max(_SHORTEST_S, int(wished_s) + 20)


@contextmanager
def control(
    folder: Path,
    detector: Mapping[str, object],
    clock: Clock,
    planned_s: float,
    storm: Mapping[str, object] | None = None,
) -> Iterator[Run]:
    """Eight agents that nobody kills; the run is interrupted at the end of the block, and ends with this process.

    ``storm``: further settings of the scenario, such as its ``chaos``.
    """
    base = _free_base()
    settings = {
        **{f"detector.{key}": value for key, value in detector.items()},
        "network.base_port": base,
        "network.admin_base_port": base + 50,
        **(storm or {}),
    }
    flags = [f"{key}={value}" for key, value in settings.items()] + list(_FULL_LENGTH)
    command = [
        *(sys.executable, "-m", "orchestrator.compare.child", str(os.getpid()), "run", "--runtime", "local"),
        *("--config", str(ROOT / "config.yaml"), "--protocol", "json", "--agent-count", str(AGENTS)),
        *("--kill-fraction", "0", "--duration", str(planned_s)),
        *(word for flag in flags for word in ("--set", flag)),
    ]
    folder.mkdir(parents=True)
    with (folder / _CONSOLE).open("wb") as console:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command,
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
    run = Run(folder, process, clock)
    try:
        yield run
    finally:
        run.end()


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """SIGSTOP: nothing answers, nothing breaks; SIGCONT at the end, whatever happens."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def named(events: Iterable[Event], *names: str) -> list[Event]:
    """Those of these names."""
    return [event for event in events if event["ev"] in names]


def _free_base() -> int:
    for base in _BASES:
        try:
            check_ports(plan_ports(AGENTS, base, base + 50).all)
        except ConfigError:
            continue
        return base
    raise LabError(f"expected {2 * AGENTS} free ports from {_BASES.start} on, got none; end what holds them")
