"""The events that the orchestrator writes."""

from dataclasses import dataclass
from typing import Any, Literal

from orchestrator.events.row import Row
from orchestrator.windows import Windows
from orchestrator.workload.document import Grader


@dataclass(frozen=True, slots=True)
class RunStart(Row):
    """The conductor begins; everything that was settled before the run."""

    ev = "run_start"
    run_id: str
    protocol: str
    runtime: str
    seed: int
    scenario: dict[str, Any]
    windows: Windows
    victims: tuple[str, ...]
    """Whom the plan kills; empty in a control."""
    host: Any
    versions: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Member:
    """One agent of the roster."""

    node_id: str
    tool: str
    neighbours: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Roster(Row):
    """All agents, in the order of their numbers."""

    ev = "roster"
    agents: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Placement(Row):
    """Who holds each shard."""

    ev = "placement"
    holders: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Scheduled(Row):
    """A task of the schedule, with its answer key."""

    ev = "task"
    task: str
    at_s: float
    answer: str
    shards: tuple[int, ...]
    fragments: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    grader: Grader = "exact_match"
    success_by: Literal["key", "reference", "answered"] = "key"
    reference: str | None = None
    """What the same model answers with the whole document in one process; None for nothing, or for not known."""
    sources: tuple[str, ...] | None = None
    """The fragments whose text holds the answer; None where nobody has looked, or the answer is no span."""


@dataclass(frozen=True, slots=True)
class EdgeCheck(Row):
    """Whether each topology edge delivered and answered a message before the start."""

    ev = "edge_check"
    failed: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class Broadcast(Row):
    """All agents have the document."""

    ev = "broadcast"
    ms: float


@dataclass(frozen=True, slots=True)
class BaselineCheck(Row):
    """What of ``expect`` the baseline must keep was looked at, just before the storm."""

    ev = "baseline_check"
    bounds: tuple[tuple[str, str, float | None, bool], ...]
    """(key of ``expect``, bound, value, whether it is kept)."""


@dataclass(frozen=True, slots=True)
class ClockStart(Row):
    """The start instant, ``t0`` in monotonic seconds."""

    ev = "t0"
    t0: float


@dataclass(frozen=True, slots=True)
class KillCall(Row):
    """Just before the kill is sent."""

    ev = "kill_call"
    victim: str
    wave: int = 0


@dataclass(frozen=True, slots=True)
class FaultCall(Row):
    """Just before a victim is hurt by another fault than the kill."""

    ev = "fault_call"
    victim: str
    fault: str
    effect: Literal["ends", "silences", "weakens"]
    wave: int = 0


@dataclass(frozen=True, slots=True)
class FaultDone(Row):
    """Proof that it landed."""

    ev = "fault_done"
    victim: str
    fault: str


@dataclass(frozen=True, slots=True)
class Abort(Row):
    """The storm was called off."""

    ev = "abort"
    reason: str


@dataclass(frozen=True, slots=True)
class CanaryEof(Row):
    """The victim's canary connection broke."""

    ev = "canary_eof"
    victim: str


@dataclass(frozen=True, slots=True)
class Death(Row):
    """Proof that the victim ended."""

    ev = "death"
    victim: str
    signal: int | None = None


@dataclass(frozen=True, slots=True)
class FaultFailed(Row):
    """The fault did not land."""

    ev = "fault_failed"
    victim: str
    reason: str


@dataclass(frozen=True, slots=True)
class HealCall(Row):
    """The victim is being restarted, thawed, or put back."""

    ev = "heal_call"
    victim: str
    fault: str | None = None
    """None for the kill."""


@dataclass(frozen=True, slots=True)
class HealDone(Row):
    """The restarted victim serves again, or the fault is undone."""

    ev = "heal_done"
    victim: str
    fault: str | None = None
    """None for the kill."""


@dataclass(frozen=True, slots=True)
class AgentLost(Row):
    """An agent ended that nobody killed."""

    ev = "agent_lost"
    victim: str
    status: Any = None


@dataclass(frozen=True, slots=True)
class HostLoad(Row):
    """The CPU use of the whole machine over the last second."""

    ev = "host"
    cpu_percent: float


@dataclass(frozen=True, slots=True)
class RunEnd(Row):
    """The planned end was reached."""

    ev = "run_end"


@dataclass(frozen=True, slots=True)
class Interrupted(Row):
    """The run ended early."""

    ev = "interrupted"
    reason: str
