"""Our message as parts of an ACP message, and the names ACP has for what we know."""

import uuid
from collections.abc import Iterable

from acp_sdk.models import Message as AcpMessage
from acp_sdk.models import MessagePart

from protocols.message import Message

PRESENCE = "presence"
"""The agent every node serves besides its own: a run of it goes on for as long as the node lives."""
_WATCHER = "watcher"
_ENVELOPE = "fail-storm"
_JSON = "application/json"
_TASKS = uuid.UUID("5d3c9a52-0f43-5b6e-9d0f-6a1f6f0a7c21")


def agent_name(node_id: str) -> str:
    """The node's name as ACP wants it: a DNS label (ACP specification, AgentName; RFC 1123)."""
    return node_id.replace("_", "-").lower()


def session_id(content: Message) -> uuid.UUID | None:
    """The session of the task that ``content`` belongs to, alike at every node (RFC 9562, version 5), or None."""
    task = content.body.get("task")
    return uuid.uuid5(_TASKS, task) if isinstance(task, str) else None


def packed(content: Message) -> MessagePart:
    """The named part that carries ``content``, its ids included."""
    return MessagePart(name=_ENVELOPE, content_type=_JSON, content=content.to_json().decode())


def watcher(node_id: str) -> MessagePart:
    """The named part that says who watches."""
    return MessagePart(name=_WATCHER, content=node_id)


def unpacked(output: Iterable[AcpMessage]) -> Message | None:
    """The message that ``output`` carries, or None; raises ``pydantic.ValidationError`` on a spoilt one."""
    for message in output:
        for part in message.parts:
            if part.name == _ENVELOPE and part.content is not None:
                return Message.from_json(part.content)
    return None


def envelope_in(body: object) -> str | None:
    """What the named part holds, if that part is all the input of a ``POST /runs``; None otherwise."""
    match body:
        case {"input": [{"parts": [{"name": str(name), "content": str(content)}]}]} if name == _ENVELOPE:
            return content
    return None


def watcher_in(body: object) -> str | None:
    """Who watches, if the body of a ``POST /runs`` is a stream of presence; None otherwise."""
    match body:
        case {
            "agent_name": str(agent),
            "mode": "stream",
            "input": [{"parts": [{"name": str(name), "content": str(node_id)}]}],
        } if (agent, name) == (PRESENCE, _WATCHER):
            return node_id
    return None
