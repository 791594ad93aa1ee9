"""The events that an agent writes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from orchestrator.events.row import Row

Cause = tuple[str, str]
"""(victim, request): what the fault broke."""


@dataclass(frozen=True, slots=True)
class LinkUp(Row):
    """``node`` has made a warm link to ``peer``."""

    ev = "link_up"
    peer: str


@dataclass(frozen=True, slots=True)
class LinkDown(Row):
    """``node`` has given its link to ``peer`` up."""

    ev = "link_down"
    peer: str


@dataclass(frozen=True, slots=True)
class TaskStart(Row):
    """An owner begins a task."""

    ev = "task_start"
    task: str
    takeover: bool
    cause: Cause | None = None


@dataclass(frozen=True, slots=True)
class TaskFailed(Row):
    """An owner gives a task up."""

    ev = "task_failed"
    task: str


@dataclass(frozen=True, slots=True)
class Answer(Row):
    """An owner commits an answer."""

    ev = "answer"
    task: str
    answer: str | None
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Request(Row):
    """One attempt to have a step done."""

    ev = "request"
    task: str
    step: str
    req: str
    peer: str


@dataclass(frozen=True, slots=True)
class Repair(Row):
    """A message with a cause was acknowledged."""

    ev = "repair"
    cause: Cause
    kind: str
    peer: str
    link: str


@dataclass(frozen=True, slots=True)
class StepStart(Row):
    """A worker begins a step."""

    ev = "step_start"
    task: str
    step: str
    req: str


@dataclass(frozen=True, slots=True)
class StepDone(Row):
    """A worker ended a step."""

    ev = "step_done"
    task: str
    step: str
    req: str
    ok: bool


@dataclass(frozen=True, slots=True)
class Suspect(Row):
    """From now on ``node`` holds ``peer`` for dead."""

    ev = "suspect"
    peer: str
    mechanism: str


@dataclass(frozen=True, slots=True)
class WatchBroke(Row):
    """A connection to ``peer`` that ``node`` watched has broken."""

    ev = "watch_broke"
    peer: str
    mechanism: str
    probes: bool
    """Whether this called for the confirming probe; if not, one was under way, or ``peer`` was held for dead."""
    eof_ms: float | None = None
    """How long before the line the connection's end had been read at its socket; None where its end is not known."""
    port: int | None = None
    """The node's own end of the connection."""
    peer_port: int | None = None
    lag_ms: float | None = None
    """How late the event loop was at most, from 50 ms before that on."""


@dataclass(frozen=True, slots=True)
class Alive(Row):
    """From now on ``node`` holds ``peer`` for alive again."""

    ev = "alive"
    peer: str
    peer_inc: int
    """Under which incarnation it is back."""


@dataclass(frozen=True, slots=True)
class Adopt(Row):
    """``node`` stands in for a tool that no live agent has."""

    ev = "adopt"
    tool: str


@dataclass(frozen=True, slots=True)
class Unadopt(Row):
    """``node`` gives the tool back."""

    ev = "unadopt"
    tool: str


@dataclass(frozen=True, slots=True)
class ModelCall(Row):
    """A step was, or was to be, reasoned by a language model."""

    ev = "model_call"
    task: str
    step: str
    outcome: str
    ms: float
    attempts: int
    prompt_tokens: int
    completion_tokens: int
    cost: float
    fallback: bool


class Traffic(NamedTuple):
    """What moved at one agent's sockets since its last line; for one role, peer and class."""

    role: Literal["client", "server"]
    peer: str | None
    traffic: str
    sent: int
    received: int


@dataclass(frozen=True, slots=True)
class Bytes(Row):
    """The rows of one 0.1 s, which ends at ``t``."""

    ev = "bytes"
    rows: tuple[Traffic, ...]


@dataclass(frozen=True, slots=True)
class Rejected(Row):
    """What the protocol port refused since the last such line, by reason."""

    ev = "rejected"
    reasons: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class LoopLag(Row):
    """How late the event loop was, over the last second."""

    ev = "loop_lag"
    max_ms: float
    p99_ms: float
    stall_ms: float | None = None
    """The longest that what arrived at a socket had to wait."""
