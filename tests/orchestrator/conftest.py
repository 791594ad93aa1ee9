"""A made-up storm in the journal's own words, for everything that shows or writes results."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from orchestrator.phases import Wishes, fit

Event = dict[str, Any]
T0_S = 1003.0
TOOLS = ("search", "extract", "triple", "reason")
DETECT_S = (2.05, 2.10, 2.15, 2.20, 2.25, 2.30)
CONDUCTOR = "orchestrator"


class StormBuilder:
    """Writes the events of one run: every step takes 0.2 s, every task four steps, victims die at the kill.

    Each survivor detects each victim ``DETECT_S`` after the kill, in turn; what the kill broke is repaired 0.05 s
    after the first detection.
    """

    def __init__(self, agent_count: int, victim_numbers: tuple[int, ...], duration_s: float) -> None:
        self.windows = fit(Wishes(duration_s))
        self.names = [f"agent_{number}" for number in range(1, agent_count + 1)]
        self.victims = [f"agent_{number}" for number in victim_numbers]
        self.survivors = [name for name in self.names if name not in self.victims]
        self.kill_s = T0_S + self.windows.kill_at_s
        self.events: list[Event] = []
        self._requests = 0

    def build(self) -> list[Event]:
        """All events in the order of time."""
        self._conductor()
        for number, name in enumerate(self.names):
            self._agent(number, name)
        for victim in self.victims:
            self._storm(victim)
        self._adoption()
        rate = 8.0
        count = int((self.windows.duration_s - self.windows.task_deadline_s) * rate)
        for index in range(count):
            self._task(index, index / rate)
        return sorted(self.events, key=lambda event: event["t"])

    def _add(self, t_s: float, node: str, ev: str, **fields: Any) -> None:
        if node in self.victims and t_s > self.kill_s:
            return
        self.events.append({"t": round(t_s, 6), "node": node, "inc": 0, "ev": ev, **fields})

    def _tool(self, name: str) -> str:
        return TOOLS[self.names.index(name) % len(TOOLS)]

    def _neighbours(self, number: int) -> list[str]:
        count = len(self.names)
        offsets = (-2, -1, 1, 2) if count > 4 else tuple(range(1, count))
        return [self.names[(number + offset) % count] for offset in offsets]

    def _conductor(self) -> None:
        scenario = {"scenario": {"agent_count": len(self.names), "kill_fraction": 0.3, "heal": None},
                    "detector": {"mode": "common", "interval_s": 1.0}, "expect": {}}  # fmt: skip
        self._add(1000.0, CONDUCTOR, "run_start", run_id="20300101-000000-json-1", protocol="json", runtime="local",
                  seed=1, scenario=scenario, windows=self.windows.model_dump(), victims=self.victims,
                  host={"cpus": 2, "system": "Linux"}, versions={"python": "3.11.9", "httpx": "0.28.1"})  # fmt: skip
        agents = [{"node_id": name, "tool": self._tool(name), "neighbours": self._neighbours(number)}
                  for number, name in enumerate(self.names)]  # fmt: skip
        self._add(1000.1, CONDUCTOR, "roster", agents=agents)
        count = len(self.names)
        self._add(1000.1, CONDUCTOR, "placement",
                  holders=[[self.names[i], self.names[(i + 1) % count]] for i in range(count)])  # fmt: skip
        self._add(1002.5, CONDUCTOR, "edge_check", edges=2 * count, failed=[])
        self._add(1002.9, CONDUCTOR, "broadcast", ms=180.5)
        self._add(1002.95, CONDUCTOR, "t0", t0=T0_S)
        for second in range(int(self.windows.duration_s)):
            self._add(T0_S + second, CONDUCTOR, "host", cpu_percent=30.0)
        self._add(T0_S + self.windows.duration_s, CONDUCTOR, "run_end")

    def _agent(self, number: int, name: str) -> None:
        self._add(1001.0 + number / 100, name, "agent_start", pid=100 + number, protocol="json",
                  tool=self._tool(name), host="127.0.0.1", port=9001 + number)  # fmt: skip
        for peer in self._neighbours(number):
            self._add(1001.5, name, "link_up", peer=peer, reason="start", ms=2.5)
        self._add(1002.8, name, "init", shards=2, fragments=10, tasks=100)
        self._add(1002.96, name, "started", t0=T0_S)
        for half in range(int(self.windows.duration_s * 2)):
            at_s = T0_S + half / 2
            peer = self.names[number - 1]
            rows = [["client", peer, "heartbeat", 100, 80], ["client", peer, "task", 900, 700]]
            if self.victims and 2 <= at_s - self.kill_s < 4:
                rows.append(["client", peer, "handshake", 400, 300])
            self._add(at_s, name, "bytes", rows=rows)
            if half % 2 == 0:
                self._add(at_s, name, "loop_lag", max_ms=2.0, p99_ms=1.5, n=100)

    def _storm(self, victim: str) -> None:
        self._add(self.kill_s, CONDUCTOR, "kill_call", victim=victim)
        self._add(self.kill_s + 0.002, CONDUCTOR, "canary_eof", victim=victim)
        self._add(self.kill_s + 0.004, CONDUCTOR, "death", victim=victim, signal=9)
        for index, name in enumerate(self.survivors):
            mechanism = "probe" if index == 0 else "gossip"
            self._add(self.kill_s + DETECT_S[index % len(DETECT_S)], name, "suspect", peer=victim, peer_inc=0,
                      mechanism=mechanism)  # fmt: skip
        first, second = self.survivors[0], self.survivors[1]
        self._add(self.kill_s + 2.115, first, "link_up", peer=second, reason="repair", ms=8.0, cause=[victim, "e1"])
        self._add(self.kill_s + 2.12, first, "repair", cause=[victim, "e1"], kind="edge", peer=second, link="new")

    def _adoption(self) -> None:
        held = [self._tool(name) for name in self.survivors]
        for tool in TOOLS:
            if tool not in held:
                self._add(self.kill_s + 2.4, self.survivors[-1], "adopt", tool=tool)

    def _worker(self, tool: str, turn: int, at_s: float) -> str:
        up = self.names if at_s < self.kill_s + DETECT_S[0] else self.survivors
        able = [name for name in up if self._tool(name) == tool] or [self.survivors[-1]]
        return able[turn % len(able)]

    def _task(self, index: int, at_s: float) -> None:
        task = f"task_{index:05d}"
        self._add(1000.2, CONDUCTOR, "task", task=task, at_s=at_s, answer="Ada", shards=[index % len(self.names)])
        start_s = T0_S + at_s + 0.001
        owner = self.names[index % len(self.names)]
        if owner in self.victims and start_s + 4 * 0.2 > self.kill_s:
            if start_s <= self.kill_s:
                self._add(start_s, owner, "task_start", task=task, takeover=False)
                self._steps(task, owner, start_s, index)
            start_s = max(start_s, self.kill_s + DETECT_S[0] + 0.05)
            cause = [owner, task]
            owner = self.survivors[index % len(self.survivors)]
            self._add(start_s, owner, "task_start", task=task, takeover=True, cause=cause)
        else:
            self._add(start_s, owner, "task_start", task=task, takeover=False)
        end_s = self._steps(task, owner, start_s, index)
        self._add(end_s, owner, "answer", task=task, answer="Ada", evidence=["f1"])

    def _steps(self, task: str, owner: str, start_s: float, index: int) -> float:
        at_s = start_s
        for turn, step in enumerate(TOOLS):
            worker = self._worker(step, index + turn, at_s)
            attempt, cause = 1, {}
            if worker in self.victims and at_s + 0.2 > self.kill_s:
                self._request(at_s, owner, task, step, worker, attempt, {})
                self._add(at_s, worker, "step_start", task=task, step=step, req=f"r{self._requests}")
                at_s, attempt = self.kill_s + DETECT_S[0] + 0.02, 2
                cause = {"cause": [worker, f"r{self._requests}"]}
                worker = self._worker(step, index + turn, at_s)
            self._request(at_s, owner, task, step, worker, attempt, cause)
            if cause:
                self._add(at_s + 0.01, owner, "repair", kind="request", peer=worker, link="warm", **cause)
            self._add(at_s, worker, "step_start", task=task, step=step, req=f"r{self._requests}")
            at_s += 0.2
            self._add(at_s, worker, "step_done", task=task, step=step, req=f"r{self._requests}", ok=True)
        return at_s

    def _request(self, at_s: float, owner: str, task: str, step: str, worker: str, attempt: int,
                 cause: Event) -> None:  # fmt: skip
        self._requests += 1
        link = "self" if worker == owner else "warm"
        self._add(at_s, owner, "request", task=task, step=step, req=f"r{self._requests}", peer=worker,
                  attempt=attempt, link=link, **cause)  # fmt: skip


@pytest.fixture
def storm_events() -> Callable[..., list[Event]]:
    """Return a function (agents, victim numbers, duration in s) → the events of a whole run."""

    def build(agent_count: int = 8, victims: tuple[int, ...] = (3, 6), duration_s: float = 120.0) -> list[Event]:
        return StormBuilder(agent_count, victims, duration_s).build()

    return build


@pytest.fixture
def short_storm(storm_events: Callable[..., list[Event]]) -> Callable[..., list[Event]]:
    """Storms of 24 s, which is enough for results and quicker to compute."""
    return partial(storm_events, duration_s=24.0)


@pytest.fixture
def write_run() -> Callable[[Path, list[Event]], None]:
    """Return a function that writes events where a run would have left them."""

    def write(run_dir: Path, events: list[Event]) -> None:
        files: dict[Path, list[str]] = {}
        for event in events:
            node = event["node"]
            path = run_dir / "conductor.jsonl"
            if node != CONDUCTOR:
                path = run_dir / "workspaces" / node / "journal.jsonl"
            files.setdefault(path, []).append(json.dumps(event) + "\n")
        for path, lines in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(lines))

    return write
