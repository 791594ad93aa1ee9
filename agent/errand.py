"""One step that somebody is asked to do, and how that may end."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pydantic import JsonValue

from agent.retries import Backoff
from protocols.errors import FailstormError
from protocols.message import Cause

JsonObject = dict[str, JsonValue]

PATIENCE_IN_DEADLINES = 3
"""A late answer earns nothing, but it is not a lost task; after three deadlines nobody waits any more."""


class StepFailedError(FailstormError):
    """A step could not be done by anybody in time; ``reason`` is one word for the journal."""

    def __init__(self, step: str, reason: str) -> None:
        super().__init__(f"expected {step} to be done, got: {reason}")
        self.reason = reason


class UnansweredError(FailstormError):
    """One attempt came to nothing."""


class OutOfReachError(FailstormError):
    """A fragment that the step needs has no holder in reach of whoever tried."""


@dataclass(frozen=True)
class Step:
    """One piece of work of a task; ``step_id`` stays the same however often it is tried."""

    task_id: str
    step_id: str
    tool: str
    input: JsonObject
    give_up_at: float
    """Monotonic second after which nobody wants the result any more."""
    candidates: Callable[[], Sequence[str]]
    """Who can do it now, asked again before each attempt."""
    cause: Cause | None = None
    """What it repairs, while it is done here: messages that it calls for carry it on."""


@dataclass
class Errand:
    """One step under way: its message keeps its id over all attempts, so late answers still count."""

    step: Step
    request_id: str
    cause: Cause | None
    result: asyncio.Future[JsonObject]
    backoff: Backoff
    peer: str | None = None
    lost: asyncio.Event = field(default_factory=asyncio.Event)
    attempts: int = 0
    asked_at: dict[str, float] = field(default_factory=dict)
    """When each peer was asked last."""
    timeouts: int = 0
    """Attempts that were acknowledged and not answered in time."""
    passed_over: list[str] = field(default_factory=list)
    rejected_by: list[str] = field(default_factory=list)
    rejection: str = ""
