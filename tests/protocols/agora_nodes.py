"""For the tests of Agora: nodes of ours, and a scripted peer that shows what it was asked."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from protocols.adapter import AdapterContext, Endpoint, Identity, Timeouts
from protocols.agora.adapter import AgoraAdapter
from protocols.clock import MonotonicClock
from protocols.message import Message
from protocols.wire import ByteCounter

HOST = "127.0.0.1"
PATIENT = Timeouts(connect_s=10.0, ack_s=20.0)

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Answer = Callable[[str, dict[str, Any]], tuple[int, object]]
"""Method and path, and the query of a POST → status and JSON of the answer."""


def message(**changes: Any) -> Message:
    """A message from ``a`` to ``b``."""
    fields = {"message_id": "m1", "kind": "echo", "sender": "a", "recipient": "b", "traffic": "task"} | changes
    return Message.model_validate(fields)


def adapter(
    name: str, ports: dict[str, int], counter: ByteCounter, workspace: Path, timeouts: Timeouts = PATIENT
) -> AgoraAdapter:
    """A node in its seventh life, not started."""
    return AgoraAdapter(
        AdapterContext(
            Identity(name, 7), lambda peer: Endpoint(HOST, ports[peer]), MonotonicClock(), counter, workspace, timeouts
        )
    )


@asynccontextmanager
async def node_b(ports: dict[str, int], workspace: Path) -> AsyncIterator[tuple[AgoraAdapter, httpx.AsyncClient]]:
    """A served ``b``, and a bare HTTP client of it."""
    b = adapter("b", ports, ByteCounter(), workspace)
    await b.start()
    try:
        async with httpx.AsyncClient(base_url=f"http://{HOST}:{ports['b']}", trust_env=False, timeout=20) as bare:
            yield b, bare
    finally:
        await b.close()


class Peer:
    """A scripted peer; remembers what it was asked, and over how many connections."""

    def __init__(self, answer: Answer) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.connections = 0
        self.connected = asyncio.Event()
        self.port = 0
        self._answer = answer

    @property
    def offers(self) -> list[bool]:
        """For each POST, whether it offered the document."""
        return [bool(query["protocolSources"]) for call, query in self.asked if call == "POST /"]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request after the other until the caller hangs up."""
        self.connections += 1
        self.connected.set()
        while head := await self._head(reader):
            length = int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0] or 0)
            query = json.loads(await reader.readexactly(length) or b"{}")
            call = b" ".join(head.split(b" ")[:2]).decode()
            self.asked.append((call, query))
            status, answer = self._answer(call, query)
            content = json.dumps(answer).encode()
            writer.write(b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n%b" % (status, len(content), content))
            await writer.drain()

    @staticmethod
    async def _head(reader: asyncio.StreamReader) -> bytes:
        try:
            return await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""


@asynccontextmanager
async def serving(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    """The port at which ``serve`` handles connections; each must have come to its end inside the block."""
    handlers: list[asyncio.Task[None] | None] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handlers.append(asyncio.current_task())
        await serve(reader, writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async with await asyncio.start_server(handle, HOST, 0) as server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.gather(*(handler for handler in handlers if handler is not None))


@asynccontextmanager
async def scripted(answer: Answer) -> AsyncIterator[Peer]:
    """A peer that answers so, at a port of its own."""
    peer = Peer(answer)
    async with serving(peer.serve) as peer.port:
        yield peer


def receipts(wellknown: tuple[int, object]) -> Answer:
    """A peer ``b`` that has this to say about its documents, and a routine for ours."""

    def answer(call: str, query: dict[str, Any]) -> tuple[int, object]:
        if call == "GET /.wellknown":
            return wellknown
        if query["body"] == "identify":
            return 200, {"status": "success", "body": '{"node_id": "b", "incarnation": 3}'}
        return 200, {"status": "success", "body": json.dumps({"received": json.loads(query["body"])["message_id"]})}

    return answer
