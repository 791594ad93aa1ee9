"""What both directions of A2A's interoperability tests need."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from protocols.a2a.adapter import A2AAdapter, A2ARestAdapter
from protocols.adapter import AdapterContext, Endpoint, Identity, Timeouts
from protocols.clock import MonotonicClock
from protocols.message import Message
from protocols.wire import ByteCounter, counting_loop

HOST = "127.0.0.1"
BINDINGS = {"JSONRPC": A2AAdapter, "HTTP+JSON": A2ARestAdapter}
"""Each transport that we speak."""
_BOUND_S = 30.0


def run(scenario: Coroutine[Any, Any, None]) -> None:
    """Run ``scenario`` in a counting loop; bounded."""

    async def bounded() -> None:
        async with asyncio.timeout(_BOUND_S):
            await scenario

    with asyncio.Runner(loop_factory=lambda: counting_loop(ByteCounter())) as runner:
        runner.run(bounded())


def adapter(binding: str, name: str, ports: dict[str, int]) -> A2AAdapter:
    """A node of ours, not started."""
    return BINDINGS[binding](
        AdapterContext(
            Identity(name, 3),
            lambda peer: Endpoint(HOST, ports[peer]),
            MonotonicClock(),
            ByteCounter(),
            Path(),
            Timeouts(10, 10),
        )
    )


def result(request: Message, **body: Any) -> Message:
    """What ``b`` answers to ``request``."""
    return Message.model_validate(
        {"message_id": f"x-{request.message_id}", "kind": "result", "sender": "b", "recipient": request.sender}
        | {"traffic": "task", "in_reply_to": request.message_id, "body": body}
    )
