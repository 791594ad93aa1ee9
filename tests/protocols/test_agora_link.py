"""Agora's threads: a peer that hangs holds up nobody else, and a call that is given up ends at once."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from urllib3.connection import HTTPConnection

from protocols import registry
from protocols.adapter import Timeouts
from protocols.errors import PeerTimeoutError, PeerUnreachableError
from protocols.message import Traffic
from protocols.wire import ByteCounter

if registry.obstacle("agora") is not None:
    pytest.skip("the SDK cannot be installed on this Python", allow_module_level=True)

from protocols.agora.link import Link
from protocols.agora.transport import MAX_CONNECTIONS, Call, _Connection, current_call

from .agora_nodes import HOST, PATIENT, adapter, message, receipts, scripted, serving

_BRIEF = Timeouts(connect_s=0.1, ack_s=0.1)

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(autouse=True)
def no_threads_left() -> Iterator[None]:
    """Whatever a test does, its threads have ended with it."""
    before = threading.active_count()
    yield
    assert threading.active_count() == before


@asynccontextmanager
async def _hanging() -> AsyncIterator[int]:
    """The port of a peer that accepts connections and says nothing."""
    with socket.create_server((HOST, 0), backlog=512) as listener:
        port: int = listener.getsockname()[1]
        yield port


def test_hung_peer_holds_up_no_other(run: Run, tmp_path: Path) -> None:
    """Each peer has threads of its own: those that wait for a frozen one are missed by nobody else."""

    async def scenario() -> None:
        async with _hanging() as hung, scripted(receipts((404, {}))) as alive:
            bounds = Timeouts(connect_s=1.0, ack_s=30.0)
            a = adapter("a", {"h": hung, "b": alive.port}, ByteCounter(), tmp_path, bounds)
            waiting = [
                asyncio.create_task(a.send_message("h", message(recipient="h"))) for _ in range(2 * MAX_CONNECTIONS)
            ]
            await asyncio.sleep(0)
            for _ in range(20):
                await a.send_message("b", message())
            assert not any(task.done() for task in waiting)
            await a.close()
            outcomes = await asyncio.gather(*waiting, return_exceptions=True)
            assert {type(outcome) for outcome in outcomes} == {PeerUnreachableError}

    run(scenario())


def test_timeout_and_cancellation_free_the_thread_at_once(run: Run, tmp_path: Path) -> None:
    """Nobody waits for an answer that nobody wants: far more calls than threads give up one after the other."""

    async def scenario() -> None:
        async with _hanging() as port:
            a = adapter("a", {"b": port}, ByteCounter(), tmp_path, Timeouts(connect_s=5.0, ack_s=30.0))
            for _ in range(3 * MAX_CONNECTIONS):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.01):
                        await a.probe("b")
            async with asyncio.timeout(5):
                await a.disconnect("b")

            brief = adapter("a", {"b": port}, ByteCounter(), tmp_path, _BRIEF)
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
        async with scripted(receipts((404, {}))) as peer:
            connection = _Connection(HOST, peer.port, counter=ByteCounter())

            def exchange() -> list[int]:
                status, first = ask(connection)
                first.cut()
                again, _ = ask(connection)
                first.cut()  # which it serves no more
                return [status, again, ask(connection)[0]]

            link = Link("b", ByteCounter(), PATIENT)
            assert await link.call(lambda _: exchange()) == [404, 404, 404]
            assert peer.connections == 2
            connection.close()
            await link.close()

    run(scenario())


def test_cut_while_dialling_ends_the_call_there(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call given up before it has a connection never sends, and leaves none behind."""
    dial = HTTPConnection._new_conn

    def dial_and_be_cut(connection: HTTPConnection) -> socket.socket:
        dialled = dial(connection)
        current_call.get().cut()
        return dialled

    monkeypatch.setattr(HTTPConnection, "_new_conn", dial_and_be_cut)

    async def scenario() -> None:
        async with scripted(receipts((404, {}))) as peer:
            link = Link("b", ByteCounter(), PATIENT)
            with pytest.raises(PeerUnreachableError):
                await link.call(lambda session: session.get(f"http://{HOST}:{peer.port}/.wellknown"))
            await peer.connected.wait()  # which may come later than the end
            await link.close()
        assert peer.asked == []

    run(scenario())


def test_link_given_up_is_unreachable(run: Run) -> None:
    """A call that comes too late for its link says so."""

    async def scenario() -> None:
        link = Link("b", ByteCounter(), PATIENT)
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
        async with serving(slow) as port:
            a = adapter("a", {"b": port}, ByteCounter(), tmp_path)
            probing = asyncio.create_task(a.probe("b"))
            await asked.wait()
            hanging_up = asyncio.create_task(a.disconnect("b"))
            for _ in range(20):
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
