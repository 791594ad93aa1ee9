"""The lab's own message, which every adapter carries over its protocol's wire."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue


class Traffic(StrEnum):
    """What an exchange is for; the policy in ``agent/`` sets it, the byte counts are split by it."""

    TASK = "task"
    RETRY = "retry"
    HEARTBEAT = "heartbeat"
    MEMBERSHIP = "membership"
    HANDSHAKE = "handshake"
    DISCOVERY = "discovery"
    RESUME = "resume"
    BROADCAST = "broadcast"
    STRAY = "stray"
    """What came to a protocol port and was no request of the mesh: noise, a port scanner, a call cut at its start."""
    MODEL = "model"
    """An agent's talk with its language model: an exchange with somebody outside of the mesh."""
    UNCLASSIFIED = "unclassified"


Name = Annotated[str, Field(min_length=1, max_length=200)]
"""An id of a node or a message: it is kept by receivers, so its length is bounded."""

Kind = Literal[
    "broadcast",
    "echo",
    "hello",
    "request",
    "result",
    "commit",
    "membership",
    "ping-req",
    "ping-ack",
    "fetch",
    "copy",
    "holding",
    "risk",
]


class Cause(BaseModel):
    """What a repairing message repairs: the victim, and the request or edge that its death broke."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    victim: Name
    request: Name


class Message(BaseModel):
    """One message between two nodes, independent of the protocol that carries it.

    A message keeps its ``message_id`` when it is sent again, to the same peer or to another, so that receivers can
    drop duplicates and callers can match late answers. ``in_reply_to`` is the ``message_id`` of the request that a
    result answers; protocols with tasks of their own may let the result travel on that task.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    message_id: Name
    kind: Kind
    sender: Name
    recipient: Name
    traffic: Traffic
    in_reply_to: Name | None = None
    cause: Cause | None = None
    body: dict[str, JsonValue] = Field(default_factory=dict)

    def to_json(self) -> bytes:
        """The message as UTF-8 JSON (RFC 8259), without the fields that are at their default."""
        return self.model_dump_json(exclude_defaults=True).encode()

    @classmethod
    def from_json(cls, payload: bytes | str) -> "Message":
        """Parse and validate; raises ``pydantic.ValidationError`` on anything else."""
        return cls.model_validate_json(payload)
