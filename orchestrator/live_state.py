"""What the terminal view knows: a run as far as its journals have been read, without any drawing or I/O."""

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence

from agent.telemetry import phase_at
from orchestrator import phases
from orchestrator.live_parts import AgentState, Event, Outcome, Rates, TaskState
from orchestrator.windows import Windows

CURVE_BINS = 240
"""The goodput curve has this many points over the duration: half a second each in a full-length run."""
_BAND_STEPS = 10
"""Windows of the baseline band begin so many times per length."""


class LiveState:
    """Fed with journal events in the order of their time; asked for what a frame shows.

    ``is_success(task, answer)`` grades an ``answer`` event by the conductor's ``task`` event.
    """

    def __init__(self, windows: Windows, agents: Sequence[str], is_success: Callable[[Event, Event], bool]) -> None:
        self.windows = windows
        self.agents = {name: AgentState(name) for name in agents}
        self.run: Event = {}
        self.start_s = math.inf
        """Journal time of the first event."""
        self.t0_s: float | None = None
        self.ended: str | None = None
        """Why the run is over: ``finished``, or the reason of an interruption; None while it goes on."""
        self.ended_at_s: float | None = None
        """Journal time of that."""
        self.killed: list[str] = []
        self.repairs = 0
        self.takeovers = 0
        self.curve = [0] * CURVE_BINS
        """Correct in-deadline answers per bin of the duration, by the time of the answer."""
        self.graded: Counter[tuple[Outcome, str]] = Counter()
        """Decided tasks by outcome and by the planned phase of their arrival."""
        self._phases = phases.planned(windows)
        self._correct_s: list[float] = []
        self._is_success = is_success
        self._tasks: dict[str, TaskState] = {}
        self._open: list[TaskState] = []
        self._ordered: set[str] = set()
        self._decided: list[tuple[float, bool]] = []
        self._handlers: dict[str, Callable[[Event], None]] = {
            "run_start": self._on_run_start,
            "roster": self._on_roster,
            "task": self._on_task,
            "t0": self._on_t0,
            "agent_start": self._on_agent_start,
            "init": self._on_init,
            "task_start": self._on_task_start,
            "answer": self._on_answer,
            "suspect": self._on_suspect,
            "alive": self._on_alive,
            "repair": self._on_repair,
            "adopt": self._on_adopt,
            "unadopt": self._on_unadopt,
            "order": self._on_order,
            "kill_call": self._on_kill_call,
            "fault_call": self._on_fault_call,
            "fault_failed": self._on_fault_failed,
            "heal_done": self._on_heal_done,
            "agent_lost": self._on_agent_lost,
            "run_end": self._on_run_end,
            "interrupted": self._on_interrupted,
        }

    def apply(self, event: Event) -> None:
        """Take one event; names that the view does not show are passed over."""
        self.start_s = min(self.start_s, event["t"])
        handler = self._handlers.get(event["ev"])
        if handler is not None:
            handler(event)

    def tick(self, now_s: float) -> None:
        """Close the tasks whose deadline has passed at this journal time: they count as failed."""
        if self.t0_s is None:
            return
        limit_s = now_s - self.t0_s - self.windows.task_deadline_s
        while self._open and (self._open[-1].ended_s is not None or self._open[-1].at_s < limit_s):
            task = self._open.pop()
            if task.ended_s is None:
                self._decide(task, task.at_s + self.windows.task_deadline_s, "expired")

    def since_t0(self, t_s: float) -> float | None:
        """Seconds from t0 to a journal time; None before the clock has started."""
        return None if self.t0_s is None else t_s - self.t0_s

    @property
    def planned_victims(self) -> list[str]:
        """Whom the scenario kills; empty in a control and before ``run_start`` was read."""
        return list(self.run.get("victims", ()))

    @property
    def is_control(self) -> bool:
        """Whether it is known that nobody will be killed."""
        return bool(self.run) and not self.planned_victims

    def observers_of(self, peer: str) -> int:
        """How many agents run and could hold an opinion about ``peer``."""
        return sum(agent.up for agent in self.agents.values()) - self.agents[peer].up

    def suspicions_of(self, peer: str) -> int:
        """How many running agents hold ``peer`` for dead."""
        return sum(self.agents[name].up for name in self.agents[peer].suspected_by if name != peer)

    def current(self, now_s: float) -> Rates:
        """Rates over the last steady-state window before a journal time, in which tasks still arrived."""
        t_s = self.since_t0(now_s)
        if t_s is None or t_s <= 0:
            return Rates()
        t_s = min(t_s, phases.last_arrival_s(self.windows))
        length_s = min(self.windows.steady_window_s, t_s)
        recent = [correct for ended_s, correct in self._decided if t_s - length_s < ended_s <= t_s]
        per_s = sum(recent) / length_s
        return Rates(per_s, sum(recent) / len(recent) if recent else None)

    def baseline(self, now_s: float) -> Rates:
        """Rates over the tasks that arrived in the baseline window, or in what has passed of it."""
        t_s = self.since_t0(now_s)
        start_s, end_s = phases.baseline(self.windows)
        if t_s is None or t_s <= start_s:
            return Rates()
        ended = [task for task in self._tasks.values() if start_s <= task.at_s < end_s and task.ended_s is not None]
        if not ended:
            return Rates()
        success = sum(task.correct for task in ended) / len(ended)
        scheduled = sum(1 for task in self._tasks.values() if start_s <= task.at_s < end_s)
        return Rates(success * scheduled / self.windows.rate_window_s, success)

    def baseline_band(self, now_s: float) -> tuple[float, float] | None:
        """Lowest and highest correct answers per second of the steady-state windows within the baseline so far."""
        t_s = self.since_t0(now_s)
        start_s, end_s = phases.baseline(self.windows)
        length_s = self.windows.steady_window_s
        if t_s is None or min(t_s, end_s) - start_s < length_s:
            return None
        times = sorted(self._correct_s)
        steps = int((min(t_s, end_s) - start_s - length_s) / length_s * _BAND_STEPS)
        ends = [start_s + length_s * (1 + step / _BAND_STEPS) for step in range(steps + 1)]
        rates = [(bisect_right(times, end) - bisect_right(times, end - length_s)) / length_s for end in ends]
        return min(rates), max(rates)

    def scheduled(self) -> Counter[str]:
        """Tasks of the schedule by the planned phase of their arrival."""
        return Counter(phase_at(self._phases, task.at_s) for task in self._tasks.values())

    def _decide(self, task: TaskState, ended_s: float, outcome: Outcome) -> None:
        correct = outcome == "correct"
        task.ended_s, task.correct = ended_s, correct
        self.graded[outcome, phase_at(self._phases, task.at_s)] += 1
        self._decided.append((ended_s, correct))
        if correct:
            self._correct_s.append(ended_s)
            bin_index = int(ended_s / self.windows.duration_s * CURVE_BINS)
            self.curve[min(max(bin_index, 0), CURVE_BINS - 1)] += 1

    def _on_run_start(self, event: Event) -> None:
        self.run = event

    def _on_roster(self, event: Event) -> None:
        for row in event["agents"]:
            self.agents[row["node_id"]].tool = row["tool"]

    def _on_task(self, event: Event) -> None:
        task = TaskState(event["at_s"], event)
        self._tasks[event["task"]] = task
        self._open.append(task)

    def _on_t0(self, event: Event) -> None:
        self.t0_s = event["t0"]
        # The next task to expire is the last of the list, so that closing one is a pop.
        self._open.sort(key=lambda task: task.at_s, reverse=True)

    def _on_agent_start(self, event: Event) -> None:
        agent = self.agents[event["node"]]
        agent.serving, agent.tool = True, event["tool"]
        if not agent.up:
            agent.down_at_s = None
            agent.adopted.clear()
            # A new process believes that everybody lives.
            for other in self.agents.values():
                other.suspected_by.discard(agent.name)

    def _on_init(self, event: Event) -> None:
        self.agents[event["node"]].stored = True

    def _on_task_start(self, event: Event) -> None:
        self.agents[event["node"]].owned += 1
        self.takeovers += bool(event["takeover"])

    def _on_answer(self, event: Event) -> None:
        self.agents[event["node"]].committed += 1
        task, ended_s = self._tasks.get(event["task"]), self.since_t0(event["t"])
        if task is None or task.ended_s is not None or ended_s is None:
            return
        if ended_s > task.at_s + self.windows.task_deadline_s:
            self._decide(task, ended_s, "expired")
        else:
            self._decide(task, ended_s, "correct" if self._is_success(task.plan, event) else "wrong")

    def _on_suspect(self, event: Event) -> None:
        self.agents[event["peer"]].suspected_by.add(event["node"])

    def _on_alive(self, event: Event) -> None:
        self.agents[event["peer"]].suspected_by.discard(event["node"])

    def _on_repair(self, _event: Event) -> None:
        self.repairs += 1

    def _on_adopt(self, event: Event) -> None:
        self.agents[event["node"]].adopted.append(event["tool"])

    def _on_unadopt(self, event: Event) -> None:
        adopted = self.agents[event["node"]].adopted
        if event["tool"] in adopted:
            adopted.remove(event["tool"])

    def _on_order(self, event: Event) -> None:
        """Chaos in another process tells of its kills when all are proven; until then the order speaks for them."""
        if event["action"] == "inject":
            for victim in event["victims"]:
                self.agents[victim].down_at_s = event["t"]
                self.killed.append(victim)
                self._ordered.add(victim)

    def _on_kill_call(self, event: Event) -> None:
        victim = event["victim"]
        self.agents[victim].down_at_s = event["t"]
        if victim in self._ordered:
            self._ordered.remove(victim)
        else:
            self.killed.append(victim)

    def _on_fault_call(self, event: Event) -> None:
        if event["effect"] != "weakens":
            self._on_kill_call(event)

    def _on_heal_done(self, event: Event) -> None:
        if "fault" in event:  # a killed agent tells itself that it serves again
            self.agents[event["victim"]].down_at_s = None

    def _on_fault_failed(self, event: Event) -> None:
        self.agents[event["victim"]].down_at_s = None

    def _on_agent_lost(self, event: Event) -> None:
        self.agents[event["victim"]].down_at_s = event["t"]

    def _on_run_end(self, event: Event) -> None:
        self.ended, self.ended_at_s = "finished", event["t"]

    def _on_interrupted(self, event: Event) -> None:
        self.ended, self.ended_at_s = f"interrupted: {event['reason']}", event["t"]
