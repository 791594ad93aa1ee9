"""Our byte counts equal those of an independent proxy exactly, whatever the protocol and whatever breaks."""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Sequence

import pytest

from protocols.adapter import BaseProtocolAdapter
from protocols.errors import PeerUnreachableError
from protocols.message import Message, Traffic
from protocols.wire import ByteCounter, Row, classify

from .arena import HOST, Arena
from .proxy import Proxy

_MIB = 1 << 20
_SIZES = (0, 32, 5_000, 300_000, _MIB)
_CLASSES = (Traffic.TASK, Traffic.RETRY, Traffic.MEMBERSHIP, Traffic.HEARTBEAT, Traffic.BROADCAST)
_CONCURRENT = 8

PerClass = dict[str, tuple[int, int]]
"""Class → (bytes of requests, bytes of answers)."""


def _per_class(rows: Sequence[Row], role: str) -> PerClass:
    requests: Counter[str] = Counter()
    answers: Counter[str] = Counter()
    for row_role, _, traffic, sent, received in rows:
        if row_role == role:
            requests[traffic] += sent if role == "client" else received
            answers[traffic] += received if role == "client" else sent
    return {traffic: (requests[traffic], answers[traffic]) for traffic in sorted(requests)}


def _total(per_class: PerClass) -> tuple[int, int]:
    return sum(requests for requests, _ in per_class.values()), sum(answers for _, answers in per_class.values())


async def _deliver_mixed(arena: Arena, adapter: BaseProtocolAdapter, count: int) -> None:
    """Messages of all classes and sizes, eight at a time."""
    rng = random.Random(1)
    plan = [(rng.choice(_CLASSES), rng.choice(_SIZES)) for _ in range(count)]
    turn = asyncio.Semaphore(_CONCURRENT)

    async def deliver(traffic: Traffic, size: int) -> None:
        async with turn:
            await arena.deliver(adapter, arena.message(traffic, payload="q" * size))

    await asyncio.gather(*(deliver(traffic, size) for traffic, size in plan))


async def _cut_in_mid_transfer(arena: Arena, adapter: BaseProtocolAdapter, proxy: Proxy) -> None:
    """A small message, then a large one whose connection is cut when a part of it has gone through."""
    own = adapter.context.identity.node_id
    await arena.deliver(adapter, arena.message(Traffic.RETRY, sender=own))
    proxy.hold_after = 300_000
    large = arena.message(Traffic.RETRY, sender=own, payload="q" * 6 * _MIB)
    sending = asyncio.create_task(arena.deliver(adapter, large))
    await proxy.held.wait()
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    proxy.release.set()


async def _probe_and_connect(arena: Arena, adapter: BaseProtocolAdapter, count: int) -> None:
    for _ in range(count):
        await arena.link(adapter, "b")
        if arena.overrides("probe"):
            with classify(Traffic.HEARTBEAT, "b"):
                await adapter.probe("b")


async def _drain_inbox(adapter: BaseProtocolAdapter) -> None:
    while True:
        await adapter.receive_message()


def test_200_mixed_messages_and_a_cut_connection(arena: Arena) -> None:
    """Totals equal the proxy's at both ends; client and server agree per class; nothing is unclassified."""
    server = ByteCounter()

    async def scenario() -> tuple[Proxy, Proxy]:
        b = await arena.node("b", counter=server)
        draining = asyncio.create_task(_drain_inbox(b))
        async with arena.proxy("b") as proxy, arena.proxy("b", receive_buffer_bytes=65536) as narrow:
            sender, victim, watcher = [
                await arena.node(name, via={"b": way.port}) for name, way in (("a", proxy), ("c", narrow), ("d", proxy))
            ]
            for adapter in (sender, victim, watcher):
                await arena.link(adapter, "b")
            await asyncio.gather(
                _deliver_mixed(arena, sender, 200),
                _cut_in_mid_transfer(arena, victim, narrow),
                _probe_and_connect(arena, watcher, 30),
            )
            for adapter in (sender, victim, watcher):
                await adapter.close()
            await proxy.drained()
            await narrow.drained()
            await b.close()
            draining.cancel()
            return proxy, narrow

    proxy, narrow = arena.run(scenario())
    asked, answered = _per_class(arena.counter.drain(), "client"), _per_class(server.drain(), "server")
    assert _total(asked) == (proxy.from_client + narrow.from_client, proxy.to_client + narrow.to_client)
    assert _total(answered) == (proxy.to_server + narrow.to_server, proxy.from_server + narrow.from_server)
    assert asked == answered
    assert Traffic.UNCLASSIFIED not in asked
    assert narrow.from_client < 6 * _MIB, "expected the cut to come in mid-transfer"
    assert _total(asked)[0] > 40 * _MIB


def test_answer_cut_in_mid_transfer_is_counted_at_both_ends(arena: Arena) -> None:
    """Of a cut answer the server counts what it sent, the client what arrived."""
    server = ByteCounter()

    async def scenario() -> Proxy:
        b = await arena.node("b", counter=server)
        async with arena.proxy("b") as proxy:
            a = await arena.node("a", via={"b": proxy.port})
            await arena.link(a, "b")
            proxy.cut_answer_after = 7
            with pytest.raises(PeerUnreachableError):
                await arena.deliver(a, arena.message())
            await a.close()
            await proxy.drained()
            await b.close()
            return proxy

    proxy = arena.run(scenario())
    assert _total(_per_class(arena.counter.drain(), "client")) == (proxy.from_client, proxy.to_client)
    assert _total(_per_class(server.drain(), "server")) == (proxy.to_server, proxy.from_server)
    assert proxy.from_server > proxy.to_client


def test_class_survives_full_socket_buffers(arena: Arena) -> None:
    """What the event loop sends later, from a full buffer, falls under the class of its own message."""

    async def exchange(a: BaseProtocolAdapter, message: Message, proxy: Proxy) -> tuple[int, int]:
        before = proxy.from_client, proxy.to_client
        await arena.deliver(a, message)
        return proxy.from_client - before[0], proxy.to_client - before[1]

    async def scenario() -> PerClass:
        await arena.node("b", counter=ByteCounter())
        async with arena.proxy("b", receive_buffer_bytes=4096) as proxy:
            a = await arena.node("a", via={"b": proxy.port})
            await arena.link(a, "b")
            arena.counter.drain()
            expected = {
                str(message.traffic): await exchange(a, message, proxy)
                for message in (
                    arena.message(Traffic.HEARTBEAT),
                    arena.message(Traffic.TASK, payload="q" * 6 * _MIB),
                    arena.message(Traffic.RETRY),
                )
            }
            await a.close()
            return expected

    expected = arena.run(scenario())
    assert _per_class(arena.counter.drain(), "client") == dict(sorted(expected.items()))
    assert expected["task"][0] > 6 * _MIB > expected["retry"][0]


def test_strangers_are_stray(arena: Arena) -> None:
    """What no protocol knows is in no class of the mesh: a request for something else, noise, half a request."""
    server = ByteCounter()

    async def scenario() -> None:
        b = await arena.node("b", counter=server)
        for said in (b"GET /admin HTTP/1.1\r\nhost: b\r\n\r\n", b"\x16\x03\x01noise", b"POST / HTTP/1.1\r\nho"):
            for asking in (arena.asking_tls(), {}):
                reader, writer = await asyncio.open_connection(HOST, arena.port("b"), **asking)
                writer.write(said)
                with contextlib.suppress(OSError, TimeoutError):
                    async with asyncio.timeout(0.1):  # half a request is never answered
                        await reader.read(1)
                writer.transport.abort()
        await b.close()

    arena.run(scenario())
    rows = server.drain()
    assert {(role, peer, traffic) for role, peer, traffic, _, _ in rows} == {("server", None, "stray")}
    assert sum(received for *_, received in rows) > 50


def test_rows_name_the_peer_at_both_ends(arena: Arena) -> None:
    """A client's row names whom it asked; a server's row names who asked, once a message has said so."""
    server = ByteCounter()

    async def scenario() -> None:
        b = await arena.node("b", counter=server)
        a = await arena.node("a")
        await arena.link(a, "b")
        await arena.deliver(a, arena.message())
        await a.close()
        await b.close()

    arena.run(scenario())
    asked = {(row[1], row[2]) for row in arena.counter.drain() if row[0] == "client"}
    answered = {(row[1], row[2]) for row in server.drain()}
    assert ("b", "task") in asked
    assert {peer for peer, _ in asked} == {"b"}
    assert ("a", "task") in answered
