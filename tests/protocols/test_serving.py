"""An ASGI application on a counted socket: starts, serves, ends, and leaves nothing behind."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from protocols.errors import LabError
from protocols.message import Traffic
from protocols.serving import AsgiServer
from protocols.wire import ByteCounter, attribute, count_served, listen

_HOST = "127.0.0.1"
_BIG = 8 << 20
_ROUTES = {"/known": Traffic.HEARTBEAT}

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture
def served() -> ByteCounter:
    """What the server of the test counts."""
    return ByteCounter()


async def _application(scope: Any, receive: Any, send: Any) -> None:
    """``/big`` answers 8 MiB; every other path answers once the body has come; most say whose task it was."""
    while (await receive()).get("more_body"):
        pass
    if scope["path"] not in {"/known", "/nowhere"}:
        attribute(Traffic.TASK, "a")
    body = bytes(_BIG if scope["path"] == "/big" else 3)
    length = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": length})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def _serving(counter: ByteCounter) -> AsyncIterator[tuple[str, int]]:
    listener = listen(_HOST, 0, counter)
    host, port = listener.getsockname()
    server = AsgiServer(count_served(_application, counter, _ROUTES), listener)
    await server.start()
    try:
        yield host, port
    finally:
        await server.close()


class _Caller:
    """A bare HTTP client on one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def get(self, path: str, header: str = "x: y") -> tuple[int, int]:
        """Bytes of the request and of the answer."""
        request = f"GET {path} HTTP/1.1\r\nhost: b\r\n{header}\r\n\r\n".encode()
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        body = await self._reader.readexactly(_BIG if path == "/big" else 3)
        return len(request), len(head) + len(body)

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


async def _call(address: tuple[str, int]) -> _Caller:
    return _Caller(*await asyncio.open_connection(*address))


def test_answer_still_in_the_buffer_keeps_its_class(run: Run, served: ByteCounter) -> None:
    """The loop goes on sending an 8 MiB answer long after the application has ended it."""

    async def scenario() -> None:
        async with _serving(served) as address:
            caller = await _call(address)
            big, small = await caller.get("/big"), await caller.get("/known")
            await caller.close()
        assert served.drain() == [
            ("server", "a", "heartbeat", small[1], small[0]),
            ("server", "a", "task", big[1], big[0]),
        ]

    run(scenario())


def test_request_for_nothing_is_stray(run: Run, served: ByteCounter) -> None:
    """Also between others of its connection, whose classes it neither takes nor gives."""

    async def scenario() -> None:
        async with _serving(served) as address:
            caller = await _call(address)
            known, stray, task = await caller.get("/known"), await caller.get("/nowhere"), await caller.get("/task")
            await caller.close()
        assert served.drain() == [
            ("server", None, "heartbeat", known[1], known[0]),
            ("server", None, "stray", stray[1], stray[0]),
            ("server", "a", "task", task[1], task[0]),
        ]

    run(scenario())


def test_headers_do_not_say_who_calls(run: Run, served: ByteCounter) -> None:
    """A caller that claims to come from elsewhere is counted all the same."""

    async def scenario() -> None:
        async with _serving(served) as address:
            caller = await _call(address)
            sent, received = await caller.get("/task", "x-forwarded-for: 192.0.2.1")
            await caller.close()
        assert served.drain() == [("server", "a", "task", received, sent)]

    run(scenario())


def test_close_ends_requests_under_way(run: Run, served: ByteCounter) -> None:
    """Half a request is cut, its task ends, its bytes are counted, and the port is free again."""

    async def scenario() -> None:
        before = asyncio.all_tasks()
        async with _serving(served) as address:
            idle = await _call(address)
            await idle.get("/known")
            reader, writer = await asyncio.open_connection(*address)
            writer.write(b"POST / HTTP/1.1\r\nhost: b\r\ncontent-length: 10\r\nexpect: 100-continue\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")  # the server says continue: so the request is surely under way
        assert await reader.read() == b""
        assert {task for task in asyncio.all_tasks() if not task.done()} == before
        assert [row[2] for row in served.drain()] == ["heartbeat", "stray"]
        writer.close()
        await idle.close()
        listen(*address, served).close()

    run(scenario())


def test_close_before_start_gives_the_port_back(run: Run, served: ByteCounter) -> None:
    """A server that was never started still owns its listener."""

    async def scenario() -> None:
        listener = listen(_HOST, 0, served)
        host, port = listener.getsockname()
        await AsgiServer(_application, listener).close()
        listen(host, port, served).close()

    run(scenario())


def test_close_twice(run: Run, served: ByteCounter) -> None:
    """The second close has nothing to do."""

    async def scenario() -> None:
        server = AsgiServer(_application, listen(_HOST, 0, served))
        await server.start()
        await server.close()
        await server.close()

    run(scenario())


def test_server_that_cannot_serve_says_so(run: Run) -> None:
    """A listener that is no listener makes start fail, and no task stays behind."""

    async def scenario() -> None:
        closed = socket.socket()
        closed.close()
        with pytest.raises((LabError, OSError)):
            await AsgiServer(_application, closed).start()

    run(scenario())


def test_signals_stay_with_the_process(run: Run, served: ByteCounter) -> None:
    """Serving takes no signal handler away: ends are the agent's own business."""

    def end(_signal: int, _frame: object) -> None:
        """What the process itself would do."""

    async def scenario() -> None:
        async with _serving(served):
            assert signal.getsignal(signal.SIGTERM) is end

    before = signal.signal(signal.SIGTERM, end)
    try:
        run(scenario())
    finally:
        signal.signal(signal.SIGTERM, before)
