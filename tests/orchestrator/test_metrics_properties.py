"""What holds for the metrics of any journal, however odd."""

import json
import random
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.evidence import Evidence
from orchestrator.metrics import Value, evaluate
from orchestrator.metrics.agreement import disagreements
from orchestrator.metrics.definition import quantile
from orchestrator.metrics.steady import Bars, steady_from
from orchestrator.tasks import Task
from orchestrator.verdict import judge

Event = dict[str, Any]
T0_S = 100.0
WINDOWS = {"scale": 0.1, "duration_s": 20.0, "warmup_s": 1.0, "kill_at_s": 8.0, "task_deadline_s": 1.0,
           "rate_window_s": 4.0, "byte_window_s": 4.0, "steady_window_s": 2.0, "steady_hold_s": 3.0}  # fmt: skip
TOOLS = ("search", "extract", "triple", "reason")
HEAL_AT_S = 12.0
CLASSES = ("task", "heartbeat", "handshake", "unclassified")


class RandomStorm:
    """A journal that obeys docs/journal.md and otherwise does what it likes; its times are whole milliseconds."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.names = [f"agent_{number}" for number in range(1, rng.randint(2, 5) + 1)]
        self.victims = rng.sample(self.names, rng.randint(0, min(2, len(self.names) - 1)))
        self.events: list[Event] = []

    def build(self) -> list[Event]:
        """All events, in the order of time."""
        self._plan()
        self._storm()
        spacing = self._rng.choice((0.25, 0.4, 1.0))
        for number in range(int(19.0 / spacing)):
            self._task(f"q{number}", round(number * spacing, 3))
        for _ in range(self._rng.randint(0, 25)):
            self._noise()
        return sorted(self.events, key=lambda event: event["t"])

    def _add(self, since_t0_s: float, node: str, ev: str, **fields: object) -> None:
        inc = 1000 if node in self.victims and since_t0_s > HEAL_AT_S else 0
        self.events.append({"t": round(T0_S + since_t0_s, 3), "node": node, "inc": inc, "ev": ev, **fields})

    def _plan(self) -> None:
        self._add(-5, "orchestrator", "run_start", run_id="r", protocol="json", runtime="local", seed=1, scenario={},
                  windows=WINDOWS, victims=self.victims, host={}, versions={})  # fmt: skip
        agents = [{"node_id": name, "tool": self._rng.choice(TOOLS), "neighbours": []} for name in self.names]
        self._add(-4, "orchestrator", "roster", agents=agents)
        holders = [self._rng.sample(self.names, min(2, len(self.names))) for _ in range(3)]
        self._add(-4, "orchestrator", "placement", holders=holders)
        self._add(-1, "orchestrator", "edge_check", edges=1, failed=[])
        self._add(0, "orchestrator", "t0", t0=T0_S)
        if self._rng.random() < 0.9:  # one run in ten breaks off
            self._add(20, "orchestrator", "run_end")

    def _storm(self) -> None:
        heals = self._rng.random() < 0.5  # every second run
        for number, victim in enumerate(self.victims):
            self._add(8.0 + number / 1000, "orchestrator", "kill_call", victim=victim)
            self._add(8.01, "orchestrator", "death", victim=victim, signal=9)
            if heals:
                self._add(HEAL_AT_S, "orchestrator", "heal_call", victim=victim)
                self._add(HEAL_AT_S + 0.5, "orchestrator", "heal_done", victim=victim)
            for name in self.names:
                if name not in self.victims and self._rng.random() < 0.9:
                    self._add(8 + self._when(2.0), name, "suspect", peer=victim, peer_inc=0, mechanism="probe")
                    if heals:
                        back_s = HEAL_AT_S + self._when(1.0)
                        self._add(back_s, name, "alive", peer=victim, peer_inc=1000, mechanism="gossip")

    def _when(self, longest_s: float) -> float:
        return self._rng.randint(1, int(longest_s * 1000)) / 1000

    def _task(self, task: str, at_s: float) -> None:
        rng, owner = self._rng, self._rng.choice(self.names)
        self._add(-3, "orchestrator", "task", task=task, at_s=at_s, answer="Ada", shards=[rng.randrange(3)])
        self._add(at_s, owner, "task_start", task=task, takeover=False)
        names = {"task": task, "step": "s", "req": f"{task}r"}
        for attempt in range(rng.choice((1, 1, 1, 2))):
            worker = rng.choice(self.names)
            self._add(at_s, owner, "request", **names, peer=worker, attempt=attempt, link="warm")
            self._add(at_s + 0.01, worker, "step_start", **names)
            self._add(at_s + 0.1, worker, "step_done", **names, ok=rng.random() < 0.9)
        for _ in range(rng.choice((0, 1, 1, 1, 1, 1, 1, 1, 2))):
            answer = rng.choice(("Ada", "Ada", "Ada", "Ada", "Ada", "Ada", "Bob"))
            self._add(at_s + self._when(1.05), owner, "answer", task=task, answer=answer, evidence=[])

    def _noise(self) -> None:
        rng = self._rng
        node, peer = rng.choice(self.names), rng.choice([*self.names, "orchestrator"])
        at_s = rng.randint(0, 20_000) / 1000
        match rng.randrange(5):
            case 0:
                ev = rng.choice(("suspect", "alive"))
                other = rng.choice([name for name in self.names if name != node])
                self._add(at_s, node, ev, peer=other, peer_inc=0, mechanism="gossip")
            case 1 | 2:
                sizes = (rng.randint(0, 99), rng.randint(0, 99))
                role = rng.choice(("client", "server"))
                self._add(at_s, node, "bytes", rows=[[role, peer, rng.choice(CLASSES), *sizes]])
            case 3:
                cause = [rng.choice(self.victims or self.names), f"r{rng.randrange(3)}"]
                link = rng.choice(("warm", "new", "self"))
                self._add(at_s, node, "repair", cause=cause, kind="request", peer=node, link=link)
            case _:
                self._add(at_s, node, "adopt", tool=rng.choice(TOOLS))


seeds = st.integers(0, 2**32)


def storm(seed: int) -> list[Event]:
    """The journal of a seed; a failing example is one number."""
    return RandomStorm(random.Random(seed)).build()


def values_of(events: list[Event]) -> dict[str, Value]:
    """All metrics of a journal."""
    return evaluate(Evidence.from_events(events))


@settings(deadline=None, max_examples=40)
@given(seed=seeds, by_ms=st.integers(-90_000, 10_000_000))
def test_a_shift_of_the_clock_changes_nothing(seed: int, by_ms: int) -> None:
    """The monotonic clock may start anywhere: adding a constant to every time leaves every number as it is."""
    events = storm(seed)
    moved = [event | {"t": event["t"] + by_ms / 1000} for event in events]
    moved = [event | {"t0": event["t0"] + by_ms / 1000} if event["ev"] == "t0" else event for event in moved]
    assert values_of(moved) == values_of(events)


@settings(deadline=None, max_examples=40)
@given(seed=seeds, rng=st.randoms(use_true_random=False))
def test_the_order_of_simultaneous_lines_changes_nothing(seed: int, rng: random.Random) -> None:
    """Lines of different nodes may come in any order; only what one node wrote at one instant keeps its own."""
    events = storm(seed)
    groups: dict[tuple[float, str], list[Event]] = {}
    for event in events:
        groups.setdefault((event["t"], event["node"]), []).append(event)
    shuffled = rng.sample(list(groups.values()), len(groups))
    assert values_of([event for group in shuffled for event in group]) == values_of(events)


def numbers(value: object) -> list[float]:
    """All numbers inside a value."""
    if isinstance(value, Mapping):
        return [found for item in value.values() for found in numbers(item)]
    if isinstance(value, list | tuple):
        return [found for item in value for found in numbers(item)]
    return [float(value)] if isinstance(value, int | float) else []


@settings(deadline=None, max_examples=60)
@given(seed=seeds)
def test_values_stay_within_their_bounds(seed: int) -> None:
    """Shares are shares, times do not precede T0, a drop is at most 1 and lies in its interval, bytes add up."""
    found = values_of(storm(seed))
    for name in ("duplicate_work_ratio", "redundant", "unavoidable_drop", "depth"):
        assert all(0 <= number <= 1 for number in numbers(found[name].value))
    for name in ("recovery_ms", "steady_state_ms", "agreement_ms", "reroute_ms", "reconnect_ms", "degradation_area_s"):
        assert all(number >= 0 for number in numbers(found[name].value))
    drop = found["success_rate_drop"]
    if isinstance(drop.value, float):
        low, high = drop.detail["interval"]
        assert low - 1e-9 <= drop.value <= high + 1e-9
        assert drop.value <= 1
        assert high <= 1
    suspicions = found["false_suspicions"].value
    assert isinstance(suspicions, dict)
    assert 0 <= (suspicions["query_accuracy"] or 0) <= 1 + 1e-9
    if isinstance(found["bytes_by_class"].value, dict):
        assert sum(found["bytes_by_class"].value.values()) == found["bytes_reconnect"].value


@settings(deadline=None, max_examples=40)
@given(seed=seeds)
def test_values_are_json_and_a_null_has_its_reason(seed: int) -> None:
    """Every value and detail can be written as strict JSON; a reason is there for a null, and only for a null."""
    evidence = Evidence.from_events(storm(seed))
    found = evaluate(evidence)
    for value in found.values():
        json.dumps([value.value, value.reason, dict(value.detail)], allow_nan=False)
        assert (value.value is None) == bool(value.reason)
        assert "could not be computed" not in (value.reason or "")
    assert judge(evidence, found).status in {"valid", "invalid", "unknown"}


def passes(evidence: Evidence, tasks: list[Task], start: float, bars: Bars) -> bool:
    """Whether the window [start, start + w) passes, by the letter of METRICS.md."""
    pre = evidence.decided("pre")
    baseline = sum(task.success for task in pre) / len(pre)
    slowest_s = bars.latency * quantile([task.latency_s for task in pre if task.latency_s is not None], 0.95)
    end = round(start + evidence.windows.steady_window_s, 6)
    inside = [task for task in tasks if start <= task.arrival < end]
    rate = sum(task.success for task in inside) / len(inside)
    latencies = [task.latency_s for task in inside if task.latency_s is not None]
    tolerance = max(bars.success_drop, bars.failures / len(inside))

    def reaches(one: float, other: float) -> bool:
        return one > other or one == pytest.approx(other, abs=1e-9)

    return (
        reaches(rate, bars.goodput * baseline)
        and reaches(rate, baseline - tolerance)
        and bool(latencies)
        and reaches(slowest_s, quantile(latencies, 0.95))
    )


def steady_by_the_letter(evidence: Evidence, bars: Bars) -> float | None:
    """Try every candidate against every window."""
    tasks = [task for task in evidence.tasks if task.decided]
    hold_s, width_s = evidence.windows.steady_hold_s, evidence.windows.steady_window_s
    wrong = disagreements(evidence)
    for t in sorted({0.0, *(task.arrival for task in tasks), *(end for _, end in wrong)}):
        until = round(t + hold_s, 6)
        if t < 0 or until > evidence.arrivals_end_s or any(begin <= until and end > t for begin, end in wrong):
            continue
        starts = [task.arrival for task in tasks if t <= task.arrival and round(task.arrival + width_s, 6) <= until]
        if starts and all(passes(evidence, tasks, start, bars) for start in starts):
            return t
    return None


@settings(deadline=None, max_examples=150)
@given(seed=seeds, goodput=st.sampled_from([0.2, 0.5, 0.9]), latency=st.sampled_from([0.9, 1.0, 1.2, 3.0]))
def test_the_fast_steady_state_equals_the_definition(seed: int, goodput: float, latency: float) -> None:
    """The vectorised search finds the same instant as trying every candidate against every window."""
    evidence = Evidence.from_events(storm(seed))
    bars = Bars(goodput=goodput, latency=latency)
    if any(task.success for task in evidence.decided("pre")):
        assert steady_from(evidence, bars) == steady_by_the_letter(evidence, bars)
    else:
        with pytest.raises(ValueError, match="before T0"):
            steady_from(evidence, bars)
