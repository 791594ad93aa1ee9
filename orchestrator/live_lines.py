"""The story of a run in lines: which journal events a person wants to read, and in what words."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from agent.settings import EXIT_LAB
from orchestrator.live_parts import Event
from orchestrator.live_state import LiveState

Tone = Literal["plain", "storm", "good", "bad"]


@dataclass(frozen=True)
class Line:
    """One line of the story; ``t_s`` is journal time, ``detail`` marks what a storm on many agents can do without.

    ``log_only`` marks what the command itself says in the terminal.
    """

    t_s: float
    text: str
    tone: Tone = "plain"
    detail: bool = False
    log_only: bool = False


class Narrator:
    """Turns events into lines; a line about a victim is told once, when it happens first.

    A storm on 48 agents has hundreds of suspicions: only the first observer of a death and the moment of agreement
    are worth a line, and what holds for all victims gets one of its own. The journal keeps the rest.
    """

    def __init__(self, state: LiveState) -> None:
        self._state = state
        self._told: set[tuple[str, str]] = set()
        self._kill_at_s: dict[str, float] = {}
        self._order_at_s: dict[str, float] = {}
        self._heal_at_s: dict[str, float] = {}
        self._tellers: dict[str, Callable[[Event], Line | None]] = {
            "run_start": self._run_start,
            "agent_start": self._agent_start,
            "edge_check": self._edge_check,
            "broadcast": self._broadcast,
            "t0": self._t0,
            "order": self._order,
            "kill_call": self._kill_call,
            "death": self._death,
            "fault_call": self._fault_call,
            "abort": self._abort,
            "fault_failed": self._fault_failed,
            "agent_lost": self._agent_lost,
            "suspect": self._suspect,
            "alive": self._alive,
            "repair": self._repair,
            "task_start": self._task_start,
            "link_up": self._link_up,
            "adopt": self._adopt,
            "unadopt": self._unadopt,
            "heal_call": self._heal_call,
            "heal_done": self._heal_done,
            "run_end": self._run_end,
            "interrupted": self._interrupted,
        }

    def tell(self, event: Event) -> list[Line]:
        """Return the lines for an event that the state has already taken; most events need none."""
        teller = self._tellers.get(event["ev"])
        lines = [] if teller is None else [teller(event), self._milestone(event)]
        return [line for line in lines if line is not None]

    def _milestone(self, event: Event) -> Line | None:
        """Return the line that is due once something holds for every planned victim."""
        victims = self._state.planned_victims
        if len(victims) < 2:  # noqa: PLR2004 - one victim's own lines say it all
            return None
        since_first_kill_s = event["t"] - min(self._kill_at_s.values(), default=event["t"])
        after = f"kill +{since_first_kill_s:.3f} s"
        milestones: tuple[tuple[str, str, Tone], ...] = (
            ("kill", f"{len(victims)} kills sent within {1000 * since_first_kill_s:.1f} ms", "storm"),
            ("death", f"{len(victims)} deaths proven, {after}", "storm"),
            ("agreed", f"all {len(victims)} victims are dead to every survivor, {after}", "good"),
        )
        for topic, text, tone in milestones:
            done = all((topic, self._episode(victim)) in self._told for victim in victims)
            if done and self._first(f"all {topic}", str(len(self._state.killed))):
                return Line(event["t"], text, tone)
        return None

    def _first(self, topic: str, name: str) -> bool:
        """Whether this topic has not been told of that name yet."""
        known = (topic, name) in self._told
        self._told.add((topic, name))
        return not known

    def _first_of_storm(self, topic: str) -> bool:
        return self._first(f"first {topic}", str(len(self._state.killed)))

    def _after_kill(self, victim: str, t_s: float) -> str:
        if victim in self._kill_at_s:
            return f"kill +{t_s - self._kill_at_s[victim]:.3f} s"
        if victim in self._order_at_s:  # chaos has not answered yet
            return f"order +{t_s - self._order_at_s[victim]:.3f} s"
        return "no kill"

    def _run_start(self, event: Event) -> Line:
        victims = ", ".join(event["victims"])
        verb = "hit" if event["scenario"].get("chaos") else "kill"
        plan = f"the storm will {verb} {victims}" if victims else "a control: nobody will be killed"
        agents = len(self._state.agents)
        return Line(event["t"], f"run {event['run_id']}: {event['protocol']}, {agents} agents, {plan}")

    def _agent_start(self, event: Event) -> Line | None:
        serving = sum(agent.serving for agent in self._state.agents.values())
        if serving == len(self._state.agents) and self._first("serving", ""):
            return Line(event["t"], f"all {serving} agents serve their ports")
        return None

    def _edge_check(self, event: Event) -> Line:
        if event["failed"]:
            edges = "; ".join(f"{source} → {target}: {reason}" for source, target, reason in event["failed"])
            return Line(event["t"], f"edges that did not answer: {edges}", "bad")
        return Line(event["t"], f"all {event['edges']} edges deliver and answer")

    def _broadcast(self, event: Event) -> Line:
        return Line(event["t"], f"document acknowledged by all agents after {event['ms']:.0f} ms")

    def _t0(self, event: Event) -> Line:
        windows = self._state.windows
        storm = "no storm" if self._state.is_control else f"storm at {windows.kill_at_s:g} s"
        return Line(event["t0"], f"the clock starts: {storm}, evaluation at {windows.duration_s:g} s")

    def _order(self, event: Event) -> None:
        for victim in event["victims"] if event["action"] == "inject" else ():
            self._order_at_s[victim] = event["t"]
            self._kill_at_s.pop(victim, None)  # of an earlier storm

    def _kill_call(self, event: Event) -> Line:
        self._kill_at_s[event["victim"]] = event["t"]
        self._first("kill", self._episode(event["victim"]))
        return Line(event["t"], f"kill {event['victim']}", "storm", detail=True)

    def _death(self, event: Event) -> Line:
        victim = event["victim"]
        self._first("death", self._episode(victim))
        after = self._after_kill(victim, event["t"])
        return Line(event["t"], f"{victim} is dead, signal {event['signal']}, {after}", "storm", detail=True)

    def _fault_call(self, event: Event) -> Line:
        self._kill_at_s[event["victim"]] = event["t"]
        return Line(event["t"], f"{event['fault']} {event['victim']}", "storm")

    def _abort(self, event: Event) -> Line:
        return Line(event["t"], f"the storm is called off: {event['reason']}", "bad")

    def _fault_failed(self, event: Event) -> Line:
        return Line(event["t"], f"the fault did not land on {event['victim']}: {event['reason']}", "bad")

    def _agent_lost(self, event: Event) -> Line:
        gave_up = event["status"] == EXIT_LAB  # which ends the run, by a line of its own
        return Line(
            event["t"],
            f"{event['victim']} ended and nobody killed it: status {event['status']}",
            "bad",
            log_only=gave_up,
        )

    def _suspect(self, event: Event) -> Line | None:
        t_s, node, peer, mechanism = event["t"], event["node"], event["peer"], event["mechanism"]
        count, observers = self._state.suspicions_of(peer), self._state.observers_of(peer)
        if self._state.agents[peer].up:
            return Line(t_s, f"{node} suspects {peer} ({mechanism}), which runs: {count} of {observers}", "bad")
        after = self._after_kill(peer, t_s)
        newly_detected = self._first("detected", self._episode(peer))
        if count == observers and self._first("agreed", self._episode(peer)):
            text = f"{peer} is dead to all {observers} survivors, {after}"
            return Line(t_s, text, "good", detail=True)
        if newly_detected:
            text = f"{peer} is first suspected by {node} ({mechanism}), {after}"
            return Line(t_s, text, detail=not self._first_of_storm("detected"))
        return None

    def _alive(self, event: Event) -> Line | None:
        if self._state.suspicions_of(event["peer"]) == 0:
            return Line(event["t"], f"{event['peer']} is alive to everybody again", "good")
        return None

    def _repair(self, event: Event) -> Line | None:
        victim, _ = event["cause"]
        # A step done by its asker after all is no message, and no recovery_ms.
        if event["link"] == "self" or not self._first("repair", self._episode(victim)):
            return None
        after = self._after_kill(victim, event["t"])
        hop = f"{event['kind']} {event['node']} → {event['peer']} ({event['link']})"
        text = f"first repair for {victim}: {hop}, {after}"
        return Line(event["t"], text, "good", detail=not self._first_of_storm("repair"))

    def _task_start(self, event: Event) -> Line | None:
        if not event["takeover"] or "cause" not in event:
            return None
        victim, _ = event["cause"]
        if not self._first("takeover", self._episode(victim)):
            return None
        after = self._after_kill(victim, event["t"])
        text = f"first task of {victim} taken over by {event['node']}, {after}"
        return Line(event["t"], text, "good", detail=not self._first_of_storm("takeover"))

    def _link_up(self, event: Event) -> Line | None:
        if event["reason"] == "start":
            return None
        why = "after its return" if event["reason"] == "rejoin" else "in place of a dead neighbour"
        text = f"{event['node']} connects to {event['peer']} {why}, {event['ms']:.1f} ms"
        return Line(event["t"], text, detail=True)

    def _adopt(self, event: Event) -> Line:
        return Line(event["t"], f"{event['node']} adopts the tool {event['tool']}", "good")

    def _unadopt(self, event: Event) -> Line:
        return Line(event["t"], f"{event['node']} gives the tool {event['tool']} back")

    def _heal_call(self, event: Event) -> Line:
        self._heal_at_s[event["victim"]] = event["t"]
        verb = f"heal {event['victim']} of the {event['fault']}" if "fault" in event else f"restart {event['victim']}"
        return Line(event["t"], verb, "storm")

    def _heal_done(self, event: Event) -> Line:
        victim = event["victim"]
        took = f", {event['t'] - self._heal_at_s[victim]:.3f} s after the call" if victim in self._heal_at_s else ""
        return Line(event["t"], f"{victim} serves again{took}", "good")

    def _run_end(self, event: Event) -> Line:
        return Line(event["t"], "the planned end is reached")

    def _interrupted(self, event: Event) -> Line:
        return Line(event["t"], f"interrupted: {event['reason']}", "bad", log_only=True)

    def _episode(self, victim: str) -> str:
        """Name a victim's story; one that is restarted and killed again begins a new one."""
        return f"{victim} {self._state.killed.count(victim)}"
