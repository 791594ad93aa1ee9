"""What the journal had counted at any instant of each agent's life, to compare with what a scrape saw then."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import accumulate

from agent.membership import RESTART_STEP
from agent.settings import CONDUCTOR
from orchestrator.events import ROWS, parse
from orchestrator.events.agents import Answer, Bytes, TaskFailed, TaskStart
from orchestrator.events.conductor import AgentLost, FaultCall, FaultFailed, HealDone, KillCall, RunStart
from orchestrator.events.row import Row

Life = tuple[str, str]
"""(node, life): the labels of a series of counters that never go back."""
_MOVED = "bytes"
_TASKS = "tasks"
Key = tuple[str, str]
"""(what is counted, label): ("bytes", class) or ("tasks", outcome)."""
_KINDS = (Bytes, TaskStart, Answer, TaskFailed, KillCall, FaultCall, FaultFailed, HealDone, AgentLost, RunStart)


class Curve:
    """A counter over time: steps at monotonic seconds, in the order of time."""

    def __init__(self, steps: Iterable[tuple[float, float]]) -> None:
        ordered = sorted(steps)
        self._at = [at for at, _ in ordered]
        self._total = [0.0, *accumulate(amount for _, amount in ordered)]

    def value(self, at: float) -> float:
        """The count at an instant."""
        return self._total[bisect_right(self._at, at)]


class Tally:
    """The counters of all agents, and when each was up; times are monotonic seconds."""

    def __init__(self, events: Iterable[Mapping[str, object]]) -> None:
        self.killed: dict[str, float] = {}
        """First blow upon each victim, unless it was only weakened."""
        self.begun: dict[Life, float] = {}
        """First journal line of each life."""
        self._changes: dict[str, list[tuple[float, bool]]] = {}
        self._runtime = "local"
        steps: dict[Key, dict[Life, list[tuple[float, float]]]] = {}
        for event in events:
            kind = ROWS.get(str(event["ev"]))
            if event["node"] != CONDUCTOR:
                life = (str(event["node"]), str(int(str(event["inc"])) // RESTART_STEP))
                self.begun.setdefault(life, float(str(event["t"])))
            if kind in _KINDS:
                row = parse(event, kind)
                self._note(row)
                for key, amount in _counted(row).items():
                    life = (row.node, str(row.inc // RESTART_STEP))
                    steps.setdefault(key, {}).setdefault(life, []).append((row.t, amount))
        self.curves = {key: {life: Curve(found) for life, found in lives.items()} for key, lives in steps.items()}
        """What was counted → each life's curve."""

    def is_up(self, node: str, at: float) -> bool:
        """Whether the agent ran at that time, as the journal has it."""
        up = self.begun.get((node, "0"), at) <= at
        for changed_at, now_up in sorted(self._changes.get(node, [])):
            if changed_at <= at:
                up = now_up
        return up

    def _note(self, row: Row) -> None:
        match row:
            case KillCall():
                self.killed.setdefault(row.victim, row.t)
                self._changes.setdefault(row.victim, []).append((row.t, False))
            case RunStart():
                self._runtime = row.runtime
            case FaultCall() if row.effect != "weakens":
                self.killed.setdefault(row.victim, row.t)
                # The proxy cuts the agents' own traffic; off its network a container cannot be scraped either.
                if row.effect == "ends" or row.fault == "pause" or self._runtime == "docker":
                    self._changes.setdefault(row.victim, []).append((row.t, False))
            case FaultFailed():
                self.killed.pop(row.victim, None)
                self._changes.pop(row.victim, None)
            case AgentLost():
                self._changes.setdefault(row.victim, []).append((row.t, False))
            case HealDone():
                self._changes.setdefault(row.victim, []).append((row.t, True))
            case _:
                pass


def _counted(row: Row) -> Counter[Key]:
    found: Counter[Key] = Counter()
    match row:
        case Bytes():
            for entry in row.rows:
                found[_MOVED, entry.traffic] += entry.sent + entry.received
        case TaskStart():
            found[_TASKS, "taken_over" if row.takeover else "started"] += 1
        case Answer():
            found[_TASKS, "answered"] += 1
        case TaskFailed():
            found[_TASKS, "failed"] += 1
        case _:
            pass
    return found
