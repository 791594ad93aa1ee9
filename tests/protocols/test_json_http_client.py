"""Plain JSON over HTTP as a client: what it sends, and what it makes of a strange answer."""

import asyncio
import gzip
import json
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from protocols.adapter import AdapterContext, Endpoint, Identity, Timeouts
from protocols.clock import MonotonicClock
from protocols.errors import IdentityError, PeerRejectedError, PeerTimeoutError
from protocols.json_http import JsonHttpAdapter
from protocols.message import Message
from protocols.wire import ByteCounter

_HOST = "127.0.0.1"
_MIB = 1 << 20
_PATIENT = Timeouts(connect_s=10.0, ack_s=20.0)

Run = Callable[[Coroutine[Any, Any, None]], None]


def _adapter(name: str, ports: dict[str, int], counter: ByteCounter, timeouts: Timeouts = _PATIENT) -> JsonHttpAdapter:
    return JsonHttpAdapter(
        AdapterContext(
            Identity(name, 7), lambda peer: Endpoint(_HOST, ports[peer]), MonotonicClock(), counter, Path(), timeouts
        )
    )


def _message(**changes: Any) -> Message:
    fields = {"message_id": "m1", "kind": "echo", "sender": "a", "recipient": "b", "traffic": "task"} | changes
    return Message.model_validate(fields)


@asynccontextmanager
async def _answering(
    answer: bytes, counter: ByteCounter, timeouts: Timeouts = _PATIENT
) -> AsyncIterator[JsonHttpAdapter]:
    """A client ``a`` of a peer ``b`` that answers every request with the same bytes, and stays connected."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(answer)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(serve, _HOST, 0)
    a = _adapter("a", {"b": server.sockets[0].getsockname()[1]}, counter, timeouts)
    try:
        yield a
    finally:
        await a.close()
        server.close()
        await server.wait_closed()


def _http(status: int, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"content-length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b'{"node_id": "b"}', b'{"node_id": ["b"], "incarnation": 0}', b"[" * 50_000,
     b'{"node_id": "b", "incarnation": "soon"}', b'{"node_id": "b", "incarnation": 1e999}'],
)  # fmt: skip
def test_hello_that_names_nobody_is_refused(run: Run, counter: ByteCounter, body: bytes) -> None:
    """Whatever is wrong with an introduction, it is a PeerRejectedError that shows it."""

    async def scenario() -> None:
        async with _answering(_http(200, body), counter) as a:
            with pytest.raises(PeerRejectedError, match="expected node_id and incarnation, got 200"):
                await a.connect("b")

    run(scenario())


def test_answer_of_a_peer_is_not_unpacked(run: Run, counter: ByteCounter) -> None:
    """A small answer that would unpack to something huge stays small."""
    bomb = gzip.compress(bytes(20 * _MIB))

    async def scenario() -> None:
        async with _answering(_http(200, bomb, "content-encoding: gzip"), counter) as a:
            with pytest.raises(PeerRejectedError, match=r"got 200 b'\\x1f\\x8b"):  # as it came: gzip's magic number
                await a.send_message("b", _message())

    run(scenario())


def test_answer_without_end_is_cut_short(run: Run, counter: ByteCounter) -> None:
    """A peer that answers a receipt with a film is refused after 64 KiB."""

    async def scenario() -> None:
        async with _answering(_http(202, b"film" * _MIB), counter) as a:
            with pytest.raises(PeerRejectedError, match="at most 65536 bytes"):
                await a.send_message("b", _message())
        assert sum(row[4] for row in counter.drain()) < 2 * _MIB

    run(scenario())


def test_silence_is_a_timeout(run: Run, counter: ByteCounter) -> None:
    """A peer that takes the request and says nothing costs one timeout, and the error names the call."""

    async def scenario() -> None:
        async with _answering(b"", counter, Timeouts(connect_s=0.1, ack_s=0.1)) as a:
            with pytest.raises(PeerTimeoutError, match="b: no answer to GET /health"):
                await a.probe("b")

    run(scenario())


def test_peer_that_takes_no_connection_costs_the_shorter_timeout(run: Run, counter: ByteCounter) -> None:
    """A full backlog, like a peer whose host is gone, swallows connection attempts: that has a bound of its own."""

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        with socket.create_server((_HOST, 0), backlog=0) as full, ExitStack() as stack:
            for _ in range(2):  # more than the backlog takes: the kernel ignores whoever comes next
                waiting = stack.enter_context(socket.socket())
                waiting.settimeout(0)
                waiting.connect_ex(full.getsockname())
            a = _adapter("a", {"b": full.getsockname()[1]}, counter, Timeouts(connect_s=0.1, ack_s=20.0))
            began = loop.time()
            with pytest.raises(PeerTimeoutError, match="ConnectTimeout"):
                await a.probe("b")
            assert loop.time() - began < 10.0
            await a.close()

    run(scenario())


def test_json_on_the_wire_is_the_message(run: Run, counter: ByteCounter) -> None:
    """What a packet capture shows is the message as JSON, and its media type."""
    seen: list[bytes] = []

    async def scenario() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            seen.append(await reader.readuntil(b"\r\n\r\n"))
            seen.append(await reader.readexactly(len(_message().to_json())))
            writer.write(_http(202, b""))
            writer.close()

        server = await asyncio.start_server(serve, _HOST, 0)
        a = _adapter("a", {"b": server.sockets[0].getsockname()[1]}, counter)
        await a.send_message("b", _message())
        await a.close()
        server.close()
        await server.wait_closed()

    run(scenario())
    head, body = seen
    assert head.startswith(b"POST /messages HTTP/1.1\r\n")
    assert b"content-type: application/json\r\n" in head.lower()
    assert json.loads(body)["recipient"] == "b"


def test_probe_of_an_address_that_is_anothers_now(run: Run, counter: ByteCounter) -> None:
    """Somebody is alive there, but not the peer."""

    async def scenario() -> None:
        body = b'{"node_id":"c","incarnation":0}'
        answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
        async with _answering(answer, counter) as a:
            with pytest.raises(IdentityError, match="c answers"):
                await a.probe("b")

    run(scenario())
