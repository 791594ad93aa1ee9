"""A break is told before the client has tidied up; what is no break is not told."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
import pytest

from protocols.breaks import breaks_told, trace_breaks

_HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
_CHUNK = b"2\r\nhi\r\n"
_END = b"0\r\n\r\n"

Run = Callable[[Coroutine[Any, Any, None]], None]
Ending = Callable[[asyncio.StreamWriter], None]


def test_break_is_told_before_the_error_arrives(run: Run) -> None:
    """The other side ends in mid answer: the word comes first, the client's error turns of the loop later."""

    async def scenario() -> None:
        async with _server(lambda writer: writer.close()) as url, _Client() as client:
            with pytest.raises(httpx.RemoteProtocolError):
                await _read(client, url)
            assert client.told == ["peer closed connection without sending complete message body"]
            assert client.turns_after_told >= 1

    run(scenario())


def test_reset_is_a_break(run: Run) -> None:
    """Its error has no words, so its kind is told."""

    async def scenario() -> None:
        async with _server(_reset) as url, _Client() as client:
            with pytest.raises(httpx.ReadError):
                await _read(client, url)
            assert client.told == ["ReadError"]

    run(scenario())


def test_whole_answers_and_own_ends_are_no_breaks(run: Run) -> None:
    """An answer that is complete, too slow for the caller's patience, or given up by the caller, tells nothing."""

    async def scenario() -> None:
        async with _server(lambda writer: writer.write(_END)) as url, _Client() as client:
            assert await _read(client, url) == b"hi"
        async with _server(lambda _writer: None) as url, _Client() as slow, _Client() as cancelled:
            with pytest.raises(httpx.ReadTimeout):
                await _read(slow, url)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await _read(cancelled, url)
        assert client.told == slow.told == cancelled.told == []

    run(scenario())


def test_calls_outside_the_block_are_not_traced(run: Run) -> None:
    """The hook costs nothing where nobody asks."""

    async def scenario() -> None:
        request = httpx.Request("GET", "http://127.0.0.1")
        await trace_breaks(request)
        assert "trace" not in request.extensions
        with breaks_told(lambda _why: None):
            await trace_breaks(request)
        assert "trace" in request.extensions

    run(scenario())


class _Client(httpx.AsyncClient):
    def __init__(self) -> None:
        timeout = httpx.Timeout(20.0, read=0.2)
        super().__init__(trust_env=False, timeout=timeout, event_hooks={"request": [trace_breaks]})
        self.told: list[str] = []
        self.turns_after_told = 0

    def tell(self, why: str) -> None:
        self.told.append(why.partition(" (")[0])
        asyncio.get_running_loop().call_soon(self._turned)

    def _turned(self) -> None:
        self.turns_after_told += 1


async def _read(client: _Client, url: str) -> bytes:
    answer = b""
    with breaks_told(client.tell):
        async with client.stream("GET", url) as response:
            async for chunk in response.aiter_bytes():
                answer += chunk
    return answer


@asynccontextmanager
async def _server(ending: Ending) -> AsyncIterator[str]:
    """Answers with a head and a chunk, and then does what ``ending`` does."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answering.append(asyncio.current_task())
        await reader.readuntil(b"\r\n\r\n")
        writer.write(_HEAD + _CHUNK)
        await writer.drain()
        ending(writer)
        with suppress(ConnectionError):
            await reader.read()  # until the client has ended the connection
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    answering: list[asyncio.Task[None] | None] = []
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await asyncio.gather(*(task for task in answering if task is not None))


def _reset(writer: asyncio.StreamWriter) -> None:
    at_once = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
    writer.transport.abort()
