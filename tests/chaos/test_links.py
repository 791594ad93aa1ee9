"""The proxy between agents: what it does to bytes, how it falls silent, and what happens when it is killed."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.links.control import Links
from chaos.links.shape import RESEND_S, Bend, Shape, combined
from protocols.errors import FaultError

BOUND_S = 5.0
SHARES = st.floats(0, 0.9)


def test_shapes_add_up() -> None:
    """Delays add, the narrower limit holds, chances are independent, one cut is enough."""
    one = Shape(latency_s=0.1, loss=0.5, bytes_per_s=100)
    other = Shape(cut=True, latency_s=0.2, jitter_s=0.1, loss=0.5, bytes_per_s=50, corrupt=0.1, reset=True)
    both = one.with_(other)
    assert (both.cut, both.reset, both.jitter_s, both.loss, both.bytes_per_s) == (True, True, 0.1, 0.75, 50)
    assert [both.latency_s, both.corrupt] == pytest.approx([0.3, 0.1])
    flows = combined([(one, [("a", "b")]), (other, [("a", "b"), ("b", "a")])])
    assert flows == {("a", "b"): both, ("b", "a"): other}


@given(latency_s=st.floats(0, 1), jitter_s=st.floats(0, 2), loss=SHARES, seed=st.integers(0, 2**32))
def test_a_delay_is_what_the_shape_allows(latency_s: float, jitter_s: float, loss: float, seed: int) -> None:
    """Never negative, never more than latency, jitter and eight losses in a row come to."""
    delay_s = Shape(latency_s=latency_s, jitter_s=jitter_s, loss=loss).delay_s(Random(seed))
    assert 0 <= delay_s <= latency_s + jitter_s + RESEND_S * 255


def test_losses_come_as_often_as_they_should() -> None:
    """Of a thousand pieces at 30 % about 300 are late, by the times after which TCP sends again."""
    rng, shape = Random(1), Shape(loss=0.3)
    delays = [round(shape.delay_s(rng), 6) for _ in range(1000)]
    assert 250 < sum(delay > 0 for delay in delays) < 350
    assert sorted(set(delays))[:4] == [0, 0.2, 0.6, 1.4]


@given(data=st.binary(min_size=1), seed=st.integers(0, 2**32))
def test_corruption_changes_one_byte_and_no_length(data: bytes, seed: int) -> None:
    """One byte is another, and without corruption none is."""
    passed = Shape(corrupt=1).passed(data, Random(seed))
    assert len(passed) == len(data)
    assert sum(one != other for one, other in zip(passed, data, strict=True)) == 1
    assert Shape().passed(data, Random(seed)) == data


class Pair:
    """Two nodes behind a real proxy, of which ``b`` echoes."""

    def __init__(self, links: Links) -> None:
        self.links = links
        self.lost: asyncio.Queue[list[tuple[str, str]]] = asyncio.Queue()
        links.lost = lambda keys: self.lost.put_nowait(list(keys))

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection that ``a`` opens to ``b``."""
        return await asyncio.open_connection("127.0.0.1", self.links.ports_of("a")["b"])

    async def first_byte(self) -> bytes:
        """What a fresh connection brings; raises ConnectionResetError, also when that comes before it is open here."""
        reader, writer = await self.connect()
        try:
            return await reader.read(1)
        finally:  # held until then: a writer that nobody holds hangs up by itself, and that is an orderly end
            writer.close()


@asynccontextmanager
async def pair() -> AsyncIterator[Pair]:
    """Start the proxy's process and an echoing server."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    links = Links({"a": ("127.0.0.1", 1), "b": ("127.0.0.1", server.sockets[0].getsockname()[1])}, 1)
    try:
        await links.start()
        yield Pair(links)
    finally:
        await links.close()
        server.close()


def through_a_proxy(talk: Callable[[Pair], Awaitable[Any]]) -> None:
    """Run ``talk`` with a pair, within a bound."""

    async def session() -> None:
        async with asyncio.timeout(4 * BOUND_S), pair() as made:
            await talk(made)

    asyncio.run(session())


async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, text: bytes) -> bytes:
    """Send, and return as many bytes of echo."""
    writer.write(text)
    return await reader.readexactly(len(text))


def test_a_cut_is_silent_and_what_was_sent_arrives_when_it_is_mended() -> None:
    """No byte and no end passes a cut link; an open connection then goes on where it stood."""

    async def talk(made: Pair) -> None:
        reader, writer = await made.connect()
        big = os.urandom(300_000)
        assert await say(reader, writer, big) == big
        await made.links.bend("cut", "b", Bend(Shape(cut=True)))
        writer.write(b"late")
        fresh_reader, fresh = await made.connect()
        fresh.write(b"new")
        for silent in (reader, fresh_reader):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(silent.read(1), 0.3)
        await made.links.unbend("cut", "b")
        assert await reader.readexactly(4) == b"late"
        assert await fresh_reader.readexactly(3) == b"new"
        for open_end in (writer, fresh):
            open_end.close()
        with pytest.raises(FaultError, match="the proxy ended"):
            await made.links.unbend("cut", "b")

    through_a_proxy(talk)


def test_a_reset_breaks_what_is_open_and_what_is_opened_until_it_is_healed() -> None:
    """Both kinds of connection see a reset, not an orderly end; afterwards the next one works."""

    async def talk(made: Pair) -> None:
        reader, writer = await made.connect()
        assert await say(reader, writer, b"before") == b"before"
        await made.links.bend("reset", "a", Bend(Shape(reset=True)))
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
        with pytest.raises(ConnectionResetError):
            await made.first_byte()
        await made.links.unbend("reset", "a")
        reader, fresh = await made.connect()
        assert await say(reader, fresh, b"after") == b"after"
        for open_end in (writer, fresh):
            open_end.close()

    through_a_proxy(talk)


def test_latency_and_bandwidth_take_their_time_in_both_directions() -> None:
    """100 ms each way are 200 ms; 20 kB at 100 kB/s each way are 0.4 s; both are gone afterwards."""

    async def talk(made: Pair) -> None:
        loop = asyncio.get_running_loop()
        reader, writer = await made.connect()

        async def takes_s(text: bytes) -> float:
            began = loop.time()
            assert await say(reader, writer, text) == text
            return loop.time() - began

        await made.links.bend("latency", "b", Bend(Shape(latency_s=0.1)))
        assert 0.2 <= await takes_s(b"x") < BOUND_S
        await made.links.unbend("latency", "b")
        await made.links.bend("bandwidth", "b", Bend(Shape(bytes_per_s=100_000)))
        assert 0.4 <= await takes_s(b"x" * 20_000) < BOUND_S
        await made.links.unbend("bandwidth", "b")
        assert min([await takes_s(b"x" * 20_000) for _ in range(10)]) < 0.2
        writer.close()

    through_a_proxy(talk)


def test_a_killed_proxy_is_replaced_by_one_that_bends_nothing() -> None:
    """Kill -9 during a cut: within 5 s the links work again, and it is said what the kill healed."""

    async def talk(made: Pair) -> None:
        await made.links.bend("cut", "b", Bend(Shape(cut=True)))
        killed = made.links.pid
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        async with asyncio.timeout(BOUND_S):
            reader, writer = await made.connect()
            assert await say(reader, writer, b"healed") == b"healed"
            assert await made.lost.get() == [("cut", "b")]
        assert made.links.pid not in (None, killed)
        with pytest.raises(FaultError, match="the proxy ended"):
            await made.links.unbend("cut", "b")
        await made.links.bend("latency", "a", Bend(Shape(latency_s=0.01)))
        assert await say(reader, writer, b"still") == b"still"
        writer.close()

    through_a_proxy(talk)
