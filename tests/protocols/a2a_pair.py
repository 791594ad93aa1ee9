"""Two A2A nodes on ports of their own, and the ways to disturb them."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx
from a2a.types import ListTasksRequest, TaskState

from agent.tools import tool_named
from protocols.a2a.adapter import A2AAdapter
from protocols.adapter import AdapterContext, Endpoint, Identity, Timeouts
from protocols.clock import MonotonicClock
from protocols.message import Message, Traffic
from protocols.wire import ByteCounter, classify

HOST = "127.0.0.1"
_PATIENT = Timeouts(connect_s=10.0, ack_s=10.0)

RunScenario = Callable[[Coroutine[Any, Any, None]], None]


@dataclass
class Pair:
    """The requester ``a`` and the worker ``b``; each counts its own served bytes, the loop counts what leaves."""

    ports: dict[str, int]
    nodes: list[A2AAdapter] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where ``b`` is served."""
        return f"http://{HOST}:{self.ports['b']}"

    async def node(self, name: str, incarnation: int = 7, timeouts: Timeouts = _PATIENT) -> A2AAdapter:
        """A started node."""
        context = AdapterContext(
            Identity(name, incarnation),
            lambda peer: Endpoint(HOST, self.ports[peer]),
            MonotonicClock(),
            ByteCounter(),
            Path(),
            timeouts,
            skills=(tool_named("search").skill,),
        )
        adapter = A2AAdapter(context)
        self.nodes.append(adapter)
        await adapter.start()
        return adapter


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[A2AAdapter, A2AAdapter, Pair]]:
    """``a`` linked to ``b``; whatever was started ends with the block, and leaves no task behind."""
    with ExitStack() as held:
        lab = Pair({name: held.enter_context(_Port()).number for name in ("a", "b", "c")})
        a, b = await lab.node("a"), await lab.node("b")
        try:
            with classify(Traffic.HANDSHAKE, "b"):
                await a.connect("b")
            yield a, b, lab
        finally:
            await asyncio.gather(*(node.close() for node in lab.nodes))
            await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})


@asynccontextmanager
async def bare(lab: Pair) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client that knows nothing of A2A, at ``b``."""
    headers = {"A2A-Version": "1.0", "content-type": "application/json"}
    async with httpx.AsyncClient(base_url=lab.url, headers=headers, trust_env=False, timeout=20) as client:
        yield client


def message(message_id: str = "m1", **changes: Any) -> Message:
    """An echo from ``a`` to ``b``."""
    fields = {"message_id": message_id, "kind": "echo", "sender": "a", "recipient": "b", "traffic": "task"} | changes
    return Message.model_validate(fields)


def request(message_id: str = "r1", **body: Any) -> Message:
    """A request from ``a`` to ``b``."""
    return message(message_id, kind="request", body=body)


def result(request_id: str = "r1", message_id: str = "x1", **body: Any) -> Message:
    """The result that ``b`` sends back."""
    return message(message_id, kind="result", sender="b", recipient="a", in_reply_to=request_id, body=body)


async def send(adapter: A2AAdapter, content: Message) -> None:
    """Send, classified as the mesh does it."""
    with classify(content.traffic, content.recipient):
        await adapter.send_message(content.recipient, content)


async def tasks_of(a: A2AAdapter) -> list[tuple[str, str]]:
    """Id and state of all tasks that ``b`` tells its callers of."""
    listed = await a._link("b").unary.list_tasks(ListTasksRequest())
    return [(task.id, TaskState.Name(task.status.state)) for task in listed.tasks]


def cut(adapter: A2AAdapter) -> None:
    """Abort every connection that ``adapter`` serves; it lives on."""
    assert adapter._server is not None
    for connection in list(adapter._server._server.server_state.connections):
        connection.transport.abort()


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until ``condition`` holds; bounded by the scenario's own bound."""
    while not condition():  # noqa: ASYNC110 - no event tells of it
        await asyncio.sleep(0)


class _Port:
    """A port that only who sets SO_REUSEADDR, as our listener does, can have meanwhile."""

    def __enter__(self) -> Self:
        self._held = socket.socket()
        self._held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._held.bind((HOST, 0))
        self.number: int = self._held.getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()
