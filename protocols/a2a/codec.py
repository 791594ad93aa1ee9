"""The lab's messages and identities in the data model of A2A 1.0 (``a2a.types``)."""

from collections.abc import Iterable
from typing import Any

from a2a.extensions.common import find_extension_by_uri
from a2a.types import (
    AgentCapabilities,
    AgentCard,
    AgentExtension,
    AgentInterface,
    AgentSkill,
    Artifact,
    Part,
    Role,
)
from a2a.types import Message as A2AMessage
from a2a.utils.constants import PROTOCOL_VERSION_1_0
from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped]
from google.protobuf.struct_pb2 import Struct  # type: ignore[import-untyped]
from pydantic_core import from_json, to_json

from protocols.adapter import Identity
from protocols.message import Message
from protocols.skills import Skill

EXTENSION = "urn:fail-storm:message:1"
"""Our extension of A2A: its params in the card carry the incarnation, its metadata a message's kind and route.

The metadata is a JSON object, or one in a string, as we send it.
"""

TOOLS_EXTENSION = "urn:fail-storm:tools:1"
"""Its params in the card are an MCP list of the node's tools: an A2A skill has no place for schemas."""

# A data part holds a google.protobuf.Value, whose numbers are doubles (2**53 + 1 would arrive changed), and which the
# SDK walks field by field in Python (1 s for a broadcast of 170 KB, 15 ms as text; 0.1 ms for five fields of metadata).
_JSON = "application/json"
_NO_SKILL = ("relay", "Takes messages and has no tool")
"""A card must have a skill."""
# The SDK's client reads a stream by httpx's aiter_lines, which ends a line at each of these, JSON string or not.
_LINE_ENDS = (("\x85", r"\u0085"), ("\u2028", r"\u2028"), ("\u2029", r"\u2029"))


def to_a2a(content: Message) -> A2AMessage:
    """``content`` as a user's message; its context is the lab's task, if it belongs to one."""
    task = content.body.get("task")
    return A2AMessage(
        message_id=content.message_id,
        role=Role.ROLE_USER,
        context_id=task if isinstance(task, str) else "",
        parts=[_body_part(content)],
        metadata=_metadata(content, {"message_id", "body"}),
    )


def from_a2a(message: A2AMessage) -> Message | None:
    """The lab's message in ``message``, None when it carries none; raises ValueError for a malformed one."""
    if not is_of_the_lab(message):
        return None
    return _assemble(message.metadata, message.parts, {"message_id": message.message_id})


def to_artifact(result: Message) -> Artifact:
    """``result`` as the artifact of the task that its request opened."""
    return Artifact(
        artifact_id=result.message_id,
        parts=[_body_part(result)],
        metadata=_metadata(result, {"message_id", "body"}),
    )


def is_of_the_lab(carrier: A2AMessage | Artifact) -> bool:
    """Whether a message or an artifact carries one of ours."""
    return EXTENSION in carrier.metadata.fields


def from_artifact(artifact: Artifact) -> Message:
    """The lab's result in ``artifact``; raises ValueError for a malformed one."""
    return _assemble(artifact.metadata, artifact.parts, {"message_id": artifact.artifact_id})


def foreign_result(request: Message, task_id: str, parts: Iterable[Part], state: str) -> Message:
    """How a task ended that brought no result of the lab, told in our terms: its parts and its state, as in A2A."""
    return Message(
        message_id=task_id,
        kind="result",
        sender=request.recipient,
        recipient=request.sender,
        traffic=request.traffic,
        in_reply_to=request.message_id,
        body={"state": state, "parts": [MessageToDict(part) for part in parts]},
    )


def agent_card(identity: Identity, url: str, binding: str, skills: tuple[Skill, ...]) -> AgentCard:
    """The card of a node that serves ``binding`` at ``url``."""
    media_types = [_JSON, "text/plain"]
    return AgentCard(
        name=identity.node_id,
        description="A node of a Fail-Storm mesh",
        version="1.0.0",
        supported_interfaces=[AgentInterface(url=url, protocol_binding=binding, protocol_version=PROTOCOL_VERSION_1_0)],
        capabilities=AgentCapabilities(
            streaming=True,
            push_notifications=False,
            extended_agent_card=False,
            extensions=[
                AgentExtension(uri=EXTENSION, params=_struct({"incarnation": identity.incarnation})),
                *_tools(skills),
            ],
        ),
        default_input_modes=media_types,
        default_output_modes=media_types,
        skills=[
            AgentSkill(id=name, name=name, description=description, tags=["fail-storm"])
            for name, description in [(skill.name, skill.description) for skill in skills] or [_NO_SKILL]
        ],
    )


def _tools(skills: tuple[Skill, ...]) -> list[AgentExtension]:
    listed = {"tools": [skill.listed() for skill in skills]}
    return [AgentExtension(uri=TOOLS_EXTENSION, params=_struct(listed))] if skills else []


def identity_of(card: AgentCard) -> Identity:
    """Who the card says it is; an agent that publishes no incarnation has but one life."""
    extension = find_extension_by_uri(card, EXTENSION)
    life: dict[str, Any] = MessageToDict(extension.params) if extension is not None else {}
    return Identity(card.name, int(life.get("incarnation", 0)))


def _body_part(content: Message) -> Part:
    text = to_json(content.body).decode()
    for end, escaped in _LINE_ENDS:
        text = text.replace(end, escaped)
    return Part(text=text, media_type=_JSON)


def _metadata(content: Message, without: set[str]) -> Struct:
    return _struct({EXTENSION: content.model_dump_json(exclude_defaults=True, exclude=without)})


def _struct(fields: dict[str, Any]) -> Struct:
    struct = Struct()
    struct.update(fields)
    return struct


def _assemble(metadata: Struct, parts: Any, fields: dict[str, Any]) -> Message:
    value = metadata.fields[EXTENSION]
    envelope = from_json(value.string_value) if value.HasField("string_value") else MessageToDict(value)
    if not isinstance(envelope, dict):
        raise ValueError(f"expected an object under {EXTENSION}, got {str(envelope)[:99]!r}")  # noqa: TRY004 - as all faults
    body = next((part.text for part in parts if part.media_type == _JSON), None)
    if body is None:
        raise ValueError(f"expected a text part of {_JSON}, got none")
    return Message.model_validate(envelope | fields | {"body": from_json(body)})
