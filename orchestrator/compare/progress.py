"""Shows how far a comparison is and how long it will take: a bar on a terminal, plain lines elsewhere."""

from collections.abc import Mapping
from statistics import median
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from orchestrator.compare.plan import Plan, Slot
from orchestrator.compare.state import Finished
from orchestrator.report import METRICS_FILE
from orchestrator.run_dir import SCENARIO_FILE
from protocols.clock import Clock

_OVERHEAD_S = 12.0
"""Start, broadcast, end and report of a run whose like has not been seen yet."""


class Display:
    """Tells of a comparison; to be used as a context."""

    def __init__(self, plan: Plan, console: Console, clock: Clock) -> None:
        self._plan = plan
        self._console = console
        self._clock = clock
        self._begun_s = 0.0
        self._left = 0
        self._each_s = 0.0
        self._bar = Progress(
            TextColumn("{task.completed:.0f} of {task.total:.0f}"),
            BarColumn(),
            TextColumn("{task.description}", markup=False),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=len(plan.slots))

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def say(self, line: str) -> None:
        """One line of its own, above the bar."""
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def begin(self, slot: Slot, done: Mapping[Slot, Finished]) -> None:
        """A run begins."""
        self._begun_s = self._clock.now()
        self._left = len(self._plan.slots) - len(done)
        self._each_s = run_s(self._plan, done)
        self._update(slot, len(done))
        if self._bar.disable:
            number = f"{len(done) + 1} of {len(self._plan.slots)}"
            self.say(f"{number}: {slot.name}, {in_time(self._left * self._each_s)} left")

    def tick(self, slot: Slot, done: Mapping[Slot, Finished]) -> None:
        """The run goes on."""
        self._update(slot, len(done))

    def end(self, slot: Slot, run: Finished) -> None:
        """A run has come to its end."""
        verdict = run.content["verdict"]
        reasons = f": {'; '.join(verdict['reasons'])}" if verdict["reasons"] else ""
        tags = f" ({', '.join(verdict['tags'])})" if verdict["tags"] else ""
        self.say(f"{slot.name}: {verdict['status']}{tags}{reasons}")

    def _update(self, slot: Slot, finished: int) -> None:
        left_s = max(0.0, self._left * self._each_s - (self._clock.now() - self._begun_s))
        self._bar.update(self._task, completed=finished, description=f"{slot.name}, {in_time(left_s)} left")


def run_s(plan: Plan, done: Mapping[Slot, Finished]) -> float:
    """How long a run takes, from its first file to its last: the median of those that there are."""
    seen = []
    for run in done.values():
        begin, end = run.path / SCENARIO_FILE, run.path / METRICS_FILE
        if begin.exists() and end.exists():
            seen.append(end.stat().st_mtime - begin.stat().st_mtime)
    return median(seen) if seen else float(plan.base["scenario"]["duration"]) + _OVERHEAD_S


def in_time(seconds: float) -> str:
    """``about 3 min``, ``about 2 h 05 min``."""
    minutes = max(1, round(seconds / 60))
    hours, rest = divmod(minutes, 60)
    return f"about {hours} h {rest:02} min" if hours else f"about {rest} min"
