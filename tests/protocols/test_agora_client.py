"""Agora's asking side: offers of the document, kept connections, threads that can be cut."""

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from protocols import registry
from protocols.adapter import AdapterContext, Endpoint, Identity, Timeouts
from protocols.clock import MonotonicClock
from protocols.errors import PeerRejectedError, PeerTimeoutError, PeerUnreachableError
from protocols.message import Message, Traffic
from protocols.wire import ByteCounter

if registry.obstacle("agora") is not None:
    pytest.skip("the SDK cannot be installed on this Python", allow_module_level=True)

from protocols.agora.adapter import AgoraAdapter
from protocols.agora.document import PROTOCOL_HASH
from protocols.agora.link import Link
from protocols.agora.transport import MAX_CONNECTIONS, Call, _Connection, current_call

_HOST = "127.0.0.1"
_PATIENT = Timeouts(connect_s=10.0, ack_s=20.0)
_BRIEF = Timeouts(connect_s=0.1, ack_s=0.1)

Run = Callable[[Coroutine[Any, Any, None]], None]
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Answer = Callable[[str, dict[str, Any]], tuple[int, object]]
"""Method and path, and the query of a POST → status and JSON of the answer."""


@pytest.fixture(autouse=True)
def no_threads_left() -> Iterator[None]:
    """Whatever a test does, its threads have ended with it."""
    before = threading.active_count()
    yield
    assert threading.active_count() == before


def _message(**changes: Any) -> Message:
    fields = {"message_id": "m1", "kind": "echo", "sender": "a", "recipient": "b", "traffic": "task"} | changes
    return Message.model_validate(fields)


def _adapter(port: int, workspace: Path, timeouts: Timeouts = _PATIENT) -> AgoraAdapter:
    return AgoraAdapter(
        AdapterContext(
            Identity("a", 7), lambda _: Endpoint(_HOST, port), MonotonicClock(), ByteCounter(), workspace, timeouts
        )
    )


class Peer:
    """A scripted peer; remembers what it was asked, and over how many connections."""

    def __init__(self, answer: Answer) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.connections = 0
        self.port = 0
        self._answer = answer

    @property
    def offers(self) -> list[bool]:
        """For each POST, whether it offered the document."""
        return [bool(query["protocolSources"]) for call, query in self.asked if call == "POST /"]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request after the other until the caller hangs up."""
        self.connections += 1
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
async def _serving(
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

    async with await asyncio.start_server(handle, _HOST, 0) as server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.gather(*(handler for handler in handlers if handler is not None))


@asynccontextmanager
async def _peer(answer: Answer) -> AsyncIterator[Peer]:
    peer = Peer(answer)
    async with _serving(peer.serve) as peer.port:
        yield peer


def _receipts(wellknown: tuple[int, object]) -> Answer:
    """A peer ``b`` that has this to say about its documents, and a routine for ours."""

    def answer(call: str, query: dict[str, Any]) -> tuple[int, object]:
        if call == "GET /.wellknown":
            return wellknown
        if query["body"] == "identify":
            return 200, {"status": "success", "body": '{"node_id": "b", "incarnation": 3}'}
        return 200, {"status": "success", "body": json.dumps({"received": json.loads(query["body"])["message_id"]})}

    return answer


@pytest.mark.parametrize(
    ("wellknown", "offers"),
    [
        ((200, {PROTOCOL_HASH: ["http://x/"]}), [False, False]),
        ((200, {"another": ["http://x/"]}), [True, False]),
        ((404, {"no": "list"}), [True, False]),
    ],
    ids=["listed", "not listed", "no list"],
)
def test_document_is_offered_to_whom_it_is_new(
    run: Run, tmp_path: Path, wellknown: tuple[int, object], offers: list[bool]
) -> None:
    """The hash alone goes to a peer that lists it; others get the document with the first call, once."""

    async def scenario() -> None:
        async with _peer(_receipts(wellknown)) as peer:
            a = _adapter(peer.port, tmp_path)
            assert await a.connect("b") == Identity("b", 3)
            await a.send_message("b", _message())
            await a.close()
        assert peer.offers == offers
        assert {query["protocolHash"] for call, query in peer.asked if call == "POST /"} == {PROTOCOL_HASH}

    run(scenario())


def test_document_is_offered_again_after_a_rejection(run: Run, tmp_path: Path) -> None:
    """A peer that forgot the document gets it with the next attempt, whenever policy makes one."""
    answers: list[object] = [{"status": "error", "message": "Failed to download protocol"}]

    def answer(call: str, query: dict[str, Any]) -> tuple[int, object]:
        if call == "POST /" and query["body"] != "identify" and answers:
            return 200, answers.pop()
        return _receipts((200, {PROTOCOL_HASH: ["http://x/"]}))(call, query)

    async def scenario() -> None:
        async with _peer(answer) as peer:
            a = _adapter(peer.port, tmp_path)
            await a.connect("b")
            with pytest.raises(PeerRejectedError, match="Failed to download protocol"):
                await a.send_message("b", _message())
            await a.send_message("b", _message())
            await a.close()
        assert peer.offers == [False, False, True]

    run(scenario())


@pytest.mark.parametrize(
    "answer",
    [
        (200, {"status": "error", "message": "no"}),
        (200, {"status": "failure", "error": "no"}),
        (200, {"status": "rejected"}),
        (200, {"status": "success"}),
        (200, {"status": "failure", "body": '{"received": "m1"}'}),
        (500, {"status": "success", "body": '{"received": "m1"}'}),
        (200, {"status": "success", "body": {"received": "m1"}}),
        (200, {"status": "success", "body": '{"received": "m2"}'}),
        (200, {"status": "success", "body": '{"error": "no"}'}),
        (200, {"status": "success", "body": "thanks"}),
        (200, []),
    ],
)
def test_only_the_receipt_is_a_receipt(run: Run, tmp_path: Path, answer: tuple[int, object]) -> None:
    """Errors come with HTTP 200 in Agora; whatever is not this message's receipt is a refusal."""

    async def scenario() -> None:
        async with _peer(lambda *_: answer) as peer:
            a = _adapter(peer.port, tmp_path)
            with pytest.raises(PeerRejectedError):
                await a.send_message("b", _message())
            await a.close()

    run(scenario())


def test_connection_is_kept_until_connect_makes_a_new_one(run: Run, tmp_path: Path) -> None:
    """Messages and probes share one connection; each connect dials anew."""

    async def scenario() -> None:
        async with _peer(_receipts((200, {PROTOCOL_HASH: ["http://x/"]}))) as peer:
            a = _adapter(peer.port, tmp_path)
            await a.connect("b")
            for _ in range(3):
                await a.send_message("b", _message())
                await a.probe("b")
            assert peer.connections == 1
            await a.connect("b")
            assert peer.connections == 2
            await a.close()

    run(scenario())


@asynccontextmanager
async def _hanging() -> AsyncIterator[int]:
    """The port of a peer that accepts connections and says nothing."""
    with socket.create_server((_HOST, 0), backlog=512) as listener:
        port: int = listener.getsockname()[1]
        yield port


def test_hung_peer_holds_up_no_other(run: Run, tmp_path: Path) -> None:
    """Each peer has threads of its own: those that wait for a frozen one are missed by nobody else."""

    async def scenario() -> None:
        async with _hanging() as hung, _peer(_receipts((404, {}))) as alive:
            a = _adapter(0, tmp_path, Timeouts(connect_s=1.0, ack_s=30.0))
            object.__setattr__(a.context, "resolve", lambda peer: Endpoint(_HOST, {"h": hung, "b": alive.port}[peer]))
            waiting = [
                asyncio.create_task(a.send_message("h", _message(recipient="h"))) for _ in range(2 * MAX_CONNECTIONS)
            ]
            await asyncio.sleep(0)
            for _ in range(20):
                await a.send_message("b", _message())
            assert not any(task.done() for task in waiting)
            await a.close()
            outcomes = await asyncio.gather(*waiting, return_exceptions=True)
            assert {type(outcome) for outcome in outcomes} == {PeerUnreachableError}

    run(scenario())


def test_timeout_and_cancellation_free_the_thread_at_once(run: Run, tmp_path: Path) -> None:
    """Nobody waits for an answer that nobody wants: far more calls than threads give up one after the other."""

    async def scenario() -> None:
        async with _hanging() as port:
            a = _adapter(port, tmp_path, Timeouts(connect_s=5.0, ack_s=30.0))
            for _ in range(3 * MAX_CONNECTIONS):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.01):
                        await a.probe("b")
            async with asyncio.timeout(5):
                await a.disconnect("b")

            brief = _adapter(port, tmp_path, _BRIEF)
            with pytest.raises(PeerTimeoutError):
                await brief.probe("b")
            await brief.close()

    run(scenario())


def test_cut_after_the_answer_harms_no_later_call(run: Run) -> None:
    """A call given up in the very moment of its answer may break its connection, and the next call makes another."""

    def ask(connection: _Connection) -> tuple[int, Call]:
        call = Call()
        current_call.set(call)
        connection.request("GET", "/.wellknown")
        answer = connection.getresponse()
        answer.read()
        return answer.status, call

    async def scenario() -> None:
        async with _peer(_receipts((404, {}))) as peer:
            connection = _Connection(_HOST, peer.port, counter=ByteCounter())

            def exchange() -> list[int]:
                status, first = ask(connection)
                first.cut()
                again, _ = ask(connection)
                first.cut()  # which it serves no more
                return [status, again, ask(connection)[0]]

            link = Link("b", ByteCounter(), _PATIENT)
            assert await link.call(lambda _: exchange()) == [404, 404, 404]
            assert peer.connections == 2
            connection.close()
            await link.close()

    run(scenario())


def test_link_given_up_is_unreachable(run: Run) -> None:
    """A call that comes too late for its link says so."""

    async def scenario() -> None:
        link = Link("b", ByteCounter(), _PATIENT)
        await link.close()
        await link.close()
        with pytest.raises(PeerUnreachableError, match="given up"):
            await link.call(lambda _: None)

    run(scenario())


def test_disconnect_lets_exchanges_under_way_end(run: Run, tmp_path: Path) -> None:
    """The mesh hangs up right after a message; what is still waited for comes through."""
    asked, released = asyncio.Event(), asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await released.wait()
        writer.write(b"HTTP/1.1 304 X\r\netag: x\r\n\r\n")

    async def scenario() -> None:
        async with _serving(slow) as port:
            a = _adapter(port, tmp_path)
            probing = asyncio.create_task(a.probe("b"))
            await asked.wait()
            hanging_up = asyncio.create_task(a.disconnect("b"))
            await asyncio.sleep(0)
            assert not hanging_up.done()
            released.set()
            await probing
            await hanging_up
            await a.close()

    run(scenario())


def test_drain_waits_for_a_thread_that_is_counting() -> None:
    """A byte that one thread counts while another drains is drained now or later, and never lost."""
    counter, drained = ByteCounter(), []
    draining = threading.Thread(target=lambda: drained.extend(counter.drain()))

    class DrainedInTheMiddle(dict[Any, Any]):
        def setdefault(self, key: Any, row: Any = None, /) -> Any:
            found = super().setdefault(key, row)
            draining.start()
            draining.join(0.05)  # time enough for one that does not wait
            return found

    counter._rows = DrainedInTheMiddle()
    counter.add("client", "b", Traffic.TASK, 1, 2)
    draining.join()
    assert drained + counter.drain() == [("client", "b", "task", 1, 2)]
