"""What both directions of the ACP interoperability tests say to each other."""

import asyncio
from pathlib import Path
from typing import Any

from acp_sdk.models import MessagePart as AcpPart

from protocols.acp.adapter import AcpAdapter
from protocols.adapter import AdapterContext, Endpoint, Identity, Timeouts
from protocols.clock import MonotonicClock
from protocols.message import Message
from protocols.wire import ByteCounter, counting_loop

HOST = "127.0.0.1"
_BOUND_S = 60.0


def run(scenario: Any) -> None:
    """Run ``scenario`` in a counting loop; bounded."""

    async def bounded() -> None:
        async with asyncio.timeout(_BOUND_S):
            await scenario()

    with asyncio.Runner(loop_factory=lambda: counting_loop(ByteCounter())) as runner:
        runner.run(bounded())


def adapter(name: str, ports: dict[str, int]) -> AcpAdapter:
    """An adapter of ours that knows these ports."""
    return AcpAdapter(
        AdapterContext(
            Identity(name, 3),
            lambda peer: Endpoint(HOST, ports[peer]),
            MonotonicClock(),
            ByteCounter(),
            Path(),
            Timeouts(connect_s=10.0, ack_s=20.0),
        )
    )


def message(kind: str, message_id: str, **changes: Any) -> Message:
    """A message from agent_1 to agent_2."""
    fields = {"message_id": message_id, "kind": kind, "sender": "agent_1", "recipient": "agent_2", "traffic": "task"}
    return Message.model_validate(fields | changes)


def result(request: Message) -> Message:
    """The answer of agent_2."""
    return Message.model_validate(
        {
            "message_id": f"result of {request.message_id}",
            "kind": "result",
            "sender": "agent_2",
            "recipient": "agent_1",
            "traffic": "task",
            "in_reply_to": request.message_id,
            "body": {"ok": True},
        }
    )


def part(content: Message) -> AcpPart:
    """What the documentation of our wire format asks of a client of other origin."""
    return AcpPart(name="fail-storm", content_type="application/json", content=content.to_json().decode())
