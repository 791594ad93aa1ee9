"""Two ACP nodes that talk to each other, for tests."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from acp_sdk.client import Client
from acp_sdk.models import Run

from agent.tools import tool_named
from protocols.acp.adapter import AcpAdapter
from protocols.adapter import AdapterContext, Endpoint, Identity, Timeouts
from protocols.clock import MonotonicClock
from protocols.message import Message
from protocols.wire import ByteCounter
from tests.ports import reserved_port

_HOST = "127.0.0.1"
_PATIENT = Timeouts(connect_s=10.0, ack_s=20.0)
_NAMES = ("agent_1", "agent_2")

RunScenario = Callable[[Coroutine[Any, Any, None]], None]


class Pair:
    """Two nodes that talk to each other, and a bare HTTP client of the second."""

    def __init__(self, ports: dict[str, int], counters: tuple[ByteCounter, ByteCounter]) -> None:
        self.ports = ports
        self.requester, self.worker = (
            AcpAdapter(
                AdapterContext(
                    Identity(name, 7),
                    lambda peer: Endpoint(_HOST, ports[peer]),
                    MonotonicClock(),
                    counter,
                    Path(),
                    _PATIENT,
                    (tool_named("search").skill,),
                )
            )
            for name, counter in zip(_NAMES, counters, strict=True)
        )
        self.url = f"http://{_HOST}:{ports['agent_2']}"

    async def runs_of(self, run_id: Any) -> Run:
        """What the worker says about a run."""
        async with Client(base_url=self.url, timeout=20) as client:
            return await client.run_status(run_id=run_id)

    async def request(self, **changes: Any) -> Message:
        """A request that the worker has got."""
        request = message(kind="request", body={"task": "t1"}, **changes)
        await self.requester.send_message("agent_2", request)
        assert await self.worker.receive_message() == request
        return request


def message(**changes: Any) -> Message:
    """A message from the requester to the worker."""
    fields = {"message_id": "m1", "kind": "echo", "sender": "agent_1", "recipient": "agent_2", "traffic": "task"}
    return Message.model_validate(fields | changes)


def result(request: Message, message_id: str = "r1", **body: Any) -> Message:
    """The worker's answer to ``request``."""
    return message(
        message_id=message_id,
        kind="result",
        sender="agent_2",
        recipient="agent_1",
        in_reply_to=request.message_id,
        body=body,
    )


@asynccontextmanager
async def pair(
    counter: ByteCounter, served: ByteCounter | None = None, *, requester_serves: bool = True
) -> AsyncIterator[Pair]:
    """A started pair; ``served`` counts what the worker serves."""
    with reserved_port() as first, reserved_port() as second:
        made = Pair(dict(zip(_NAMES, (first, second), strict=True)), (counter, served or ByteCounter()))
        await made.worker.start()
        if requester_serves:
            await made.requester.start()
        try:
            yield made
        finally:
            await made.requester.close()
            await made.worker.close()


def tasks(word: str) -> int:
    """How many tasks run a coroutine whose name has ``word`` in it."""
    return sum(word in repr(task.get_coro()) for task in asyncio.all_tasks())


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until ``condition`` holds; bounded."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - no event tells of a task's end
            await asyncio.sleep(0)


async def cut(lab: Pair) -> None:
    """Cut the stream of the one request that is under way; returns when both sides know."""
    (link,) = lab.requester._streams.values()
    await link.cut()
    await until(lambda: bool(lab.requester._cut))
    await until(lambda: all(run.exchange.ended.is_set() for runs in lab.worker._acp._open.values() for run in runs))


def abort_served(adapter: AcpAdapter) -> None:
    """Abort every connection that ``adapter`` serves; it lives on."""
    assert adapter._server is not None
    for connection in list(adapter._server._server.server_state.connections):
        connection.transport.abort()
