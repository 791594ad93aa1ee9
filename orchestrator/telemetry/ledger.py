"""What the mesh did, counted as the journals grow: blows, detections, repairs, work done twice."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.live_parts import Event

Pair = tuple[str, str]
"""(survivor, victim)."""


@dataclass(frozen=True, slots=True)
class Detection:
    """A suspicion in force: when it began (monotonic s) and what brought it about."""

    at: float
    mechanism: str


class Ledger:
    """Fed with journal events in the order of their time; all times are monotonic seconds.

    The same definitions as in ``orchestrator/metrics``, as far as they can be told while the run goes on.
    """

    def __init__(self, agents: Sequence[str]) -> None:
        self.agents = tuple(agents)
        self.killed: dict[str, float] = {}
        self.dead: dict[str, float] = {}
        self.lost: dict[str, float] = {}
        self.restarted: dict[str, float] = {}
        self.recovered_at: float | None = None
        """The first acknowledged message that repaired what the kill broke."""
        self.active_at: dict[str, float] = {}
        """When an agent last noticed a death or repaired something."""
        self.repairs: Counter[str] = Counter()
        self.takeovers = 0
        self.retries = 0
        self.duplicates = 0
        self.false_suspicions = 0
        self.cpu_percent = math.nan
        self._clock_started = False
        self._ordered: set[str] = set()
        self._held: dict[Pair, Detection] = {}
        self._settled: dict[Pair, Detection] = {}
        self._started: set[tuple[str, str]] = set()
        self._handlers: Mapping[str, Callable[[Event], None]] = {
            "t0": self._on_t0,
            "order": self._on_order,
            "kill_call": self._on_kill_call,
            "fault_call": self._on_fault_call,
            "fault_failed": self._on_fault_failed,
            "death": self._on_death,
            "heal_call": self._on_heal_call,
            "heal_done": self._on_heal_done,
            "agent_lost": self._on_agent_lost,
            "suspect": self._on_suspect,
            "alive": self._on_alive,
            "repair": self._on_repair,
            "task_start": self._on_task_start,
            "request": self._on_request,
            "step_start": self._on_step_start,
            "host": self._on_host,
        }

    def apply(self, event: Event) -> None:
        """Take one event; names that are not counted here are passed over."""
        handler = self._handlers.get(event["ev"])
        if handler is not None:
            handler(event)

    @property
    def storm_at(self) -> float | None:
        """The first kill call; None before it."""
        return min(self.killed.values(), default=None)

    @property
    def survivors(self) -> tuple[str, ...]:
        """Agents that were neither struck nor lost; a healed victim is none."""
        return tuple(node for node in self.agents if node not in self.killed and node not in self.lost)

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """Each survivor with each victim."""
        return tuple((survivor, victim) for survivor in self.survivors for victim in self.killed)

    @property
    def detections(self) -> dict[Pair, Detection]:
        """The suspicions in force, at the victim's restart where it had one."""
        in_force = self._held | self._settled
        return {pair: in_force[pair] for pair in self.pairs if pair in in_force}

    @property
    def agreed_at(self) -> float | None:
        """When the last survivor began to hold the last victim for dead; None as long as one does not."""
        found = self.detections
        if not found or len(found) < len(self.pairs):
            return None
        return max(*(detection.at for detection in found.values()), self.storm_at or -math.inf)

    def _is_up(self, node: str) -> bool:
        return node not in self.lost and (node not in self.killed or node in self.restarted)

    def _on_t0(self, _event: Event) -> None:
        self._clock_started = True

    def _on_order(self, event: Event) -> None:
        """Chaos in another process tells of its kills when all are proven; until then the order speaks for them."""
        for victim in event["victims"] if event["action"] == "inject" else ():
            if victim not in self.killed:
                self.killed[victim] = event["t"]
                self._ordered.add(victim)

    def _on_kill_call(self, event: Event) -> None:
        if event["victim"] in self._ordered:
            self._ordered.remove(event["victim"])
            self.killed[event["victim"]] = event["t"]
        self.killed.setdefault(event["victim"], event["t"])
        self.restarted.pop(event["victim"], None)
        self._settled = {pair: found for pair, found in self._settled.items() if pair[1] != event["victim"]}

    def _on_fault_call(self, event: Event) -> None:
        if event["effect"] != "weakens":
            self._on_kill_call(event)

    def _on_fault_failed(self, event: Event) -> None:
        self.killed.pop(event["victim"], None)

    def _on_death(self, event: Event) -> None:
        self.dead.setdefault(event["victim"], event["t"])

    def _on_heal_call(self, event: Event) -> None:
        victim = event["victim"]
        self._settled.update({pair: found for pair, found in self._held.items() if pair[1] == victim})
        if event.get("fault", "restart") != "restart":
            return
        # Its next life begins without a view of its own.
        self._held = {pair: found for pair, found in self._held.items() if pair[0] != victim}

    def _on_heal_done(self, event: Event) -> None:
        self.restarted[event["victim"]] = event["t"]

    def _on_agent_lost(self, event: Event) -> None:
        self.lost[event["victim"]] = event["t"]

    def _on_suspect(self, event: Event) -> None:
        node, peer = event["node"], event["peer"]
        if self._is_up(peer):
            # Who is cut off, or wakes from a freeze, cannot tell itself from the others: no mistake.
            self.false_suspicions += self._clock_started and self._is_up(node)
        else:
            self.active_at[node] = event["t"]
        self._held.setdefault((node, peer), Detection(event["t"], event["mechanism"]))

    def _on_alive(self, event: Event) -> None:
        self._held.pop((event["node"], event["peer"]), None)

    def _on_repair(self, event: Event) -> None:
        self.repairs[event["kind"]] += 1
        self.active_at[event["node"]] = event["t"]
        # What an agent does itself after all is no message.
        if self.recovered_at is None and event["link"] != "self" and event["cause"][0] in self.killed:
            self.recovered_at = event["t"]

    def _on_task_start(self, event: Event) -> None:
        self.takeovers += bool(event["takeover"])

    def _on_request(self, event: Event) -> None:
        self.retries += event["attempt"] > 1

    def _on_step_start(self, event: Event) -> None:
        step = (event["task"], event["step"])
        self.duplicates += step in self._started
        self._started.add(step)

    def _on_host(self, event: Event) -> None:
        self.cpu_percent = event["cpu_percent"]
