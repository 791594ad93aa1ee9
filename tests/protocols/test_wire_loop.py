"""The counting loop and the counting listener under asyncio: which exchange owns which bytes."""

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from protocols.message import Traffic
from protocols.wire import ByteCounter, attribute, classify, count_served, listen

_HOST = "127.0.0.1"
_BIG = 8 << 20

Run = Callable[[Coroutine[Any, Any, None]], None]


def test_outgoing_connections_are_counted_whoever_opens_them(
    run: Run, counter: ByteCounter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By address, by name, or with a socket that a library (aiohttp does) has connected itself."""

    async def resolve(host: str, port: int, **_: Any) -> list[Any]:
        assert host == "peer.invalid"
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (_HOST, port))]

    async def scenario() -> None:
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
        with socket.create_server((_HOST, 0)) as listener:
            port = listener.getsockname()[1]
            own = socket.create_connection((_HOST, port))
            own.settimeout(0)
            places: list[dict[str, Any]] = [{"host": _HOST, "port": port}, {"host": "peer.invalid", "port": port}]
            for place in (*places, {"sock": own}):
                with classify(Traffic.TASK, "b"):
                    _, writer = await asyncio.open_connection(**place)
                    writer.write(b"12345")
                    await writer.drain()
                    writer.close()
                    await writer.wait_closed()

    run(scenario())
    assert counter.drain() == [("client", "b", "task", 15, 0)]


def test_dialling_an_address_starts_no_thread(run: Run) -> None:
    """A resolver thread would add its start to the time of every protocol's handshake."""

    async def scenario() -> None:
        with socket.create_server((_HOST, 0)) as listener:
            before = threading.active_count()
            _, writer = await asyncio.open_connection(*listener.getsockname())
            assert threading.active_count() == before
            writer.close()
            await writer.wait_closed()

    run(scenario())


def test_refused_connection_is_the_callers_error(run: Run) -> None:
    """As without counting: ConnectionRefusedError, and no socket left open (a warning would fail the test)."""

    async def scenario() -> None:
        with socket.socket() as bound:
            bound.bind((_HOST, 0))
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(*bound.getsockname())

    run(scenario())


def test_bytes_sent_later_by_the_loop_keep_their_class(run: Run, counter: ByteCounter) -> None:
    """A full buffer is emptied by the loop itself, while other classes are being sent elsewhere."""

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        with socket.create_server((_HOST, 0)) as listener:
            listener.settimeout(0)
            with classify(Traffic.TASK, "b"):
                _, big = await asyncio.open_connection(*listener.getsockname())
                far, _ = await loop.sock_accept(listener)
                big.write(bytes(_BIG))
            assert big.transport.get_write_buffer_size() > 0, "expected the buffer to be full"
            with far, classify(Traffic.HEARTBEAT, "c"):
                _, small = await asyncio.open_connection(*listener.getsockname())
                small.write(b"123")
                left = _BIG
                while left:
                    left -= len(await loop.sock_recv(far, 1 << 20))
            for writer in (big, small):
                writer.close()
                await writer.wait_closed()

    run(scenario())
    assert counter.drain() == [("client", "b", "task", _BIG, 0), ("client", "c", "heartbeat", 3, 0)]


def test_what_the_loop_sends_by_itself_belongs_to_the_last_exchange(run: Run, counter: ByteCounter) -> None:
    """A reply made while reading (a TLS alert, a pong) has no task behind it; its connection's last class counts."""

    class Replying(asyncio.Protocol):
        transport: asyncio.Transport

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            self.transport.write(data)

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        with socket.create_server((_HOST, 0)) as listener:
            listener.settimeout(0)
            with classify(Traffic.HANDSHAKE, "b"):
                transport, _ = await loop.create_connection(Replying, *listener.getsockname())
            far, _ = await loop.sock_accept(listener)
            with far, classify(Traffic.TASK, "b"):
                transport.write(b"request")
                await loop.sock_sendall(far, b"ping")
                assert await loop.sock_recv(far, 100) == b"request"
                assert await loop.sock_recv(far, 100) == b"ping"
            transport.close()
            await asyncio.sleep(0)

    run(scenario())
    assert counter.drain() == [("client", "b", "task", 11, 4)]


def test_listener_knows_its_connections_until_they_close(run: Run) -> None:
    """The count of an accepted connection is found by its client's address, as an ASGI server reports it."""
    served = ByteCounter()

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        with listen(_HOST, 0, served) as listener, socket.create_connection(listener.getsockname()[:2]) as client:
            accepted, address = await loop.sock_accept(listener)
            assert address == client.getsockname()
            tally = served.serving(address)
            assert tally is not None
            client.sendall(b"1234")
            assert await loop.sock_recv(accepted, 10) == b"1234"
            tally.tag(Traffic.TASK, "a")
            accepted.close()
            accepted.close()
            assert served.serving(address) is None

    run(scenario())
    assert served.drain() == [("server", "a", "task", 0, 4)]


def test_neither_end_waits_for_acknowledgements(run: Run) -> None:
    """Nagle's algorithm is off on counted connections, as it is on asyncio's own: it would cost 40 ms an answer."""
    switched_off: list[bool] = []

    def look(writer: asyncio.StreamWriter) -> None:
        plain = writer.get_extra_info("socket")
        switched_off.append(plain.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        look(writer)
        await reader.read()
        writer.close()

    async def scenario() -> None:
        listener = listen(_HOST, 0, ByteCounter())
        async with await asyncio.start_server(serve, sock=listener):
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            look(writer)
            writer.write_eof()
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()

    run(scenario())
    assert switched_off == [True, True]


def test_listen_reports_a_taken_port() -> None:
    """Two nodes cannot have one port."""
    with listen(_HOST, 0, ByteCounter()) as first, pytest.raises(OSError, match="in use"):
        listen(_HOST, first.getsockname()[1], ByteCounter())


def test_attribute_outside_a_request_does_nothing() -> None:
    """An adapter whose messages come another way than through ASGI need not care."""
    attribute(Traffic.TASK, "a")


def test_application_without_a_counted_connection_is_served_all_the_same(run: Run) -> None:
    """A scope that names no client, or an unknown one, reaches the application unchanged."""
    seen: list[Any] = []

    async def application(scope: Any, _receive: Any, _send: Any) -> None:
        seen.append(scope)

    scopes: list[dict[str, Any]] = [{"type": "lifespan"}, {"type": "http", "client": (_HOST, 1), "path": "/x"}]

    async def scenario() -> None:
        for scope in scopes:
            await count_served(application, ByteCounter(), {"/x": Traffic.HEARTBEAT})(scope, None, None)

    run(scenario())
    assert seen == scopes
