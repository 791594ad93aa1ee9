"""Plain JSON over HTTP: its own routes, limits and answers, beyond what every protocol must do."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from protocols import inbox
from protocols.adapter import AdapterContext, Endpoint, Identity, Timeouts
from protocols.clock import MonotonicClock
from protocols.errors import PeerRejectedError
from protocols.json_http import JsonHttpAdapter
from protocols.message import Message, Traffic
from protocols.wire import ByteCounter, classify
from tests.ports import reserved_port

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
async def _node_b(counter: ByteCounter) -> AsyncIterator[tuple[JsonHttpAdapter, JsonHttpAdapter, httpx.AsyncClient]]:
    """A served ``b``, a client ``a``, and a bare HTTP client of ``b``."""
    with reserved_port() as port:
        a, b = _adapter("a", {"b": port}, counter), _adapter("b", {"b": port}, ByteCounter())
        await b.start()
        try:
            async with httpx.AsyncClient(base_url=f"http://{_HOST}:{port}", trust_env=False, timeout=20) as bare:
                yield a, b, bare
        finally:
            await a.close()
            await b.close()


def test_routes(run: Run, counter: ByteCounter) -> None:
    """Hello and health name node and incarnation, a message is accepted with 202; there is nothing else."""

    async def scenario() -> None:
        async with _node_b(counter) as (_, b, bare):
            for path in ("/hello", "/health"):
                answer = await bare.get(path)
                assert (answer.status_code, answer.json()) == (200, {"node_id": "b", "incarnation": 7})
            accepted = await bare.post("/messages", content=_message().to_json())
            assert (accepted.status_code, accepted.content) == (202, b"")
            assert await b.receive_message() == _message()
            for path in ("/", "/docs", "/openapi.json", "/messages/1"):
                assert (await bare.get(path)).status_code == 404
            assert (await bare.get("/messages")).status_code == 405

    run(scenario())


@pytest.mark.parametrize(
    ("payload", "status"),
    [
        (b"", 422),
        (b"{", 422),
        (b"[1]", 422),
        (b"\xff", 422),
        (b"[" * 100_000, 422),
        (_message(recipient="c").to_json(), 421),
        (b"q" * (32 * _MIB + 1), 413),
    ],
    ids=["nothing", "half", "a list", "no text", "nested", "not for b", "too large"],
)
def test_refusals_say_why(run: Run, counter: ByteCounter, payload: bytes, status: int) -> None:
    """What is no message for this node gets its status and one line of reason, and is not delivered."""

    async def scenario() -> None:
        async with _node_b(counter) as (_, b, bare):
            refused = await bare.post("/messages", content=payload)
            assert refused.status_code == status
            assert list(refused.json()) == ["error"]
            await bare.post("/messages", content=_message(message_id="m2").to_json())
            assert (await b.receive_message()).message_id == "m2"

    run(scenario())


def test_full_inbox_refuses_until_there_is_room(
    run: Run, counter: ByteCounter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that takes nothing out of its inbox says so instead of growing, and loses nothing it acknowledged."""
    monkeypatch.setattr(inbox, "MAX_MESSAGES", 2)

    async def scenario() -> None:
        async with _node_b(counter) as (a, b, _):
            for name in ("m1", "m2"):
                await a.send_message("b", _message(message_id=name))
            with pytest.raises(PeerRejectedError, match=r"503.*try again"):
                await a.send_message("b", _message(message_id="m3"))
            assert (await b.receive_message()).message_id == "m1"
            await a.send_message("b", _message(message_id="m4"))
            assert [(await b.receive_message()).message_id for _ in range(2)] == ["m2", "m4"]

    run(scenario())


def test_connection_is_kept_until_connect_makes_a_new_one(run: Run, counter: ByteCounter) -> None:
    """Messages and probes share one connection; each connect dials anew."""
    dialled: list[object] = []

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        dial = loop.create_connection

        async def create_connection(*arguments: Any, **options: Any) -> Any:
            dialled.append(arguments)
            return await dial(*arguments, **options)

        loop.create_connection = create_connection  # type: ignore[method-assign]
        async with _node_b(counter) as (a, _, _):
            assert await a.connect("b") == Identity("b", 7)
            for _ in range(3):
                await a.send_message("b", _message())
                await a.probe("b")
            assert len(dialled) == 1
            await a.connect("b")
            assert len(dialled) == 2

    run(scenario())


def test_bytes_of_each_call_find_their_class_on_both_sides(run: Run, counter: ByteCounter) -> None:
    """Hello, health, a message, and a message for somebody else: client and server file them alike."""
    served = ByteCounter()

    async def scenario(port: int) -> None:
        a, b = _adapter("a", {"b": port}, counter), _adapter("b", {"b": port}, served)
        await b.start()
        with classify(Traffic.HANDSHAKE, "b"):
            await a.connect("b")
        with classify(Traffic.TASK, "b"):
            await a.send_message("b", _message())
        with classify(Traffic.HEARTBEAT, "b"):
            await a.probe("b")
        with classify(Traffic.RETRY, "b"), pytest.raises(PeerRejectedError):
            await a.send_message("b", _message(recipient="c", traffic="retry"))
        await a.close()
        await b.close()

    with reserved_port() as port:
        run(scenario(port))
    asked = {row[2]: row[3:] for row in counter.drain()}
    assert {row[2]: row[:2:-1] for row in served.drain()} == asked
    assert list(asked) == ["handshake", "heartbeat", "retry", "task"]


def test_caller_that_dies_in_mid_message_makes_no_noise(
    run: Run, counter: ByteCounter, caplog: pytest.LogCaptureFixture
) -> None:
    """Peers die here all the time: no stack trace in the survivors' logs."""

    async def scenario() -> None:
        async with _node_b(counter) as (_, _, bare):
            _, writer = await asyncio.open_connection(_HOST, bare.base_url.port)
            writer.write(b"POST /messages HTTP/1.1\r\nhost: b\r\ncontent-length: 100\r\n\r\n" + b"half")
            await writer.drain()
            await bare.get("/health")
            writer.close()
            await writer.wait_closed()
            await bare.get("/health")

    with caplog.at_level(logging.WARNING):
        run(scenario())
    assert caplog.messages == []
