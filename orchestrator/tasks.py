"""The tasks of a run and what became of them, from its schedule and its answers."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from orchestrator.events.agents import Answer
from orchestrator.events.conductor import Scheduled
from orchestrator.success import is_success
from orchestrator.windows import Windows

Phase = Literal["warmup", "pre", "inflight", "post", "tail"]


@dataclass(frozen=True)
class Task:
    """One scheduled task and what became of it; times in seconds since T0, unless said otherwise."""

    task: str
    at_s: float
    """Arrival, seconds after t0."""
    arrival: float
    phase: Phase
    plan: Scheduled
    key: str
    shards: tuple[int, ...]
    fragments: tuple[str, ...]
    """Ids of the fragments that the answer needs; empty where nobody knows."""
    commits: tuple[Answer, ...]
    """Answers in the order of time; the first one is the answer of the task."""
    success: bool
    """The first answer is a success (``orchestrator.success``), committed by arrival + D; an unfinished task failed."""
    decided: bool
    """Its deadline passed before the evidence ends. What is open when a run breaks off counts nowhere."""

    @property
    def latency_s(self) -> float | None:
        """From the scheduled arrival to the first answer; None without one."""
        return round(self.commits[0].t - self.arrival, 6) if self.commits else None


def tasks_of(
    scheduled: Iterable[Scheduled], given: Iterable[Answer], windows: Windows, t0_s: float, end_s: float
) -> tuple[Task, ...]:
    """The tasks in the order of their arrival; ``t0_s`` and ``end_s`` of the evidence are seconds since T0."""
    phase = _phase(windows)
    commits: dict[str, list[Answer]] = {}
    for row in given:
        commits.setdefault(row.task, []).append(row)
    tasks = []
    for plan in scheduled:
        answers = tuple(commits.get(plan.task, ()))
        arrival = round(t0_s + plan.at_s, 6)
        due = round(arrival + windows.task_deadline_s, 6)
        success = bool(answers) and answers[0].t <= due and is_success(plan, answers[0])
        tasks.append(Task(
            task=plan.task, at_s=plan.at_s, arrival=arrival, phase=phase(arrival), plan=plan, key=plan.answer,
            shards=plan.shards, fragments=plan.fragments, commits=answers, success=success, decided=due <= end_s,
        ))  # fmt: skip
    return tuple(sorted(tasks, key=lambda task: (task.arrival, task.task)))


def _phase(windows: Windows) -> Callable[[float], Phase]:
    deadline_s, rate_s = windows.task_deadline_s, windows.rate_window_s
    starts: tuple[tuple[float, Phase], ...] = (
        (rate_s, "tail"), (0.0, "post"), (-deadline_s, "inflight"), (round(-deadline_s - rate_s, 6), "pre"),
    )  # fmt: skip

    def phase(arrival: float) -> Phase:
        return next((name for start, name in starts if arrival >= start), "warmup")

    return phase
