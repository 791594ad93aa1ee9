"""What every protocol adapter must make of a peer that dies, freezes, hangs up or talks nonsense."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from protocols import registry
from protocols.adapter import BaseProtocolAdapter, Identity, Timeouts
from protocols.errors import PeerTimeoutError, PeerUnreachableError, ProtocolError
from tests.protocols.watching import Watch

from .arena import Arena, until

_BRIEF = Timeouts(connect_s=1.0, ack_s=1.0)
_SLACK_S = 2.0
_Calls = list[Callable[[], Awaitable[Identity | None]]]
_WATCHING = [name for name in registry.names() if registry.load(name).watch is not BaseProtocolAdapter.watch]

_NOT_THE_PROTOCOL = {
    "silence": b"",
    "noise": bytes(range(256)) * 8,
    "another protocol": b"220 mail.example.org ready\r\n",
    "an error": b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n",
    "a redirect to nowhere": b"HTTP/1.1 302 There\r\nlocation: gopher:\xff\xfe\r\ncontent-length: 0\r\n\r\n",
    "a broken chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    "a switch of protocols": b"HTTP/1.1 101 Switching\r\nupgrade: other\r\n\r\n",
    "a huge header": b"HTTP/1.1 200 OK\r\nx: " + b"a" * 300_000 + b"\r\n\r\n",
}
_NO_ANSWER_OF_OURS = {
    "a web page": b"<html>",
    "broken compression": b"content-encoding: gzip|hello",
    "a codec as charset": b"content-type: text/plain; charset=rot13|hello",
    "deep nesting": b"[" * 60_000,
    "numbers out of range": b'{"node_id": "b", "incarnation": 1e999}',
    "half a character": b"\xff\xfe{\x00\xd8\x00",
    "an endless answer": b"[" + b"0," * 4_000_000,
}


def test_nobody_listens(arena: Arena) -> None:
    """A peer that was never there is unreachable, by every call."""

    async def scenario() -> None:
        a = await arena.node("a")
        for call in _calls(arena, a):
            with pytest.raises(PeerUnreachableError):
                await call()

    arena.run(scenario())


def test_name_of_nobody(arena: Arena) -> None:
    """A peer that the roster does not have is unreachable, by every call."""

    async def scenario() -> None:
        a = await arena.node("a")
        for call in _calls(arena, a, "nobody"):
            with pytest.raises(PeerUnreachableError):
                await call()

    arena.run(scenario())


@pytest.mark.parametrize("passed", [0, 1, 12, 30])
def test_peer_closes_in_mid_answer(arena: Arena, passed: int) -> None:
    """An answer cut after some bytes is an error of that exchange, and only of that one."""

    async def scenario() -> None:
        await arena.node("b")
        async with arena.proxy("b") as proxy:
            a = await arena.node("a", via={"b": proxy.port})
            await arena.link(a, "b")
            proxy.cut_answer_after = passed
            for call in _calls(arena, a):
                with pytest.raises(PeerUnreachableError):
                    await call()
            proxy.cut_answer_after = None
            await arena.link(a, "b")
            await arena.deliver(a, arena.message())

    arena.run(scenario())


@pytest.mark.parametrize("case", _NOT_THE_PROTOCOL)
def test_peer_answers_garbage(arena: Arena, case: str) -> None:
    """Nonsense in place of an answer is a ProtocolError of every call, and of no other kind."""

    async def scenario() -> None:
        async with _talking_nonsense(arena, _NOT_THE_PROTOCOL[case]):
            a = await arena.node("a")
            for call in _calls(arena, a):
                with pytest.raises(ProtocolError):
                    await call()

    arena.run(scenario())


@pytest.mark.parametrize("case", _NO_ANSWER_OF_OURS)
def test_peer_answers_politely_but_not_in_the_protocol(arena: Arena, case: str) -> None:
    """HTTP that says 200 and means nothing is refused by a message and by connect; a probe may take it for life."""

    async def scenario() -> None:
        async with _talking_nonsense(arena, _http_200(_NO_ANSWER_OF_OURS[case])):
            a = await arena.node("a")
            send, *others = _calls(arena, a)
            with pytest.raises(ProtocolError):
                await send()
            for call in others:
                try:
                    identity = await call()
                except ProtocolError:
                    continue
                assert identity is None, "expected connect to refuse, or to have no notion of identity"

    arena.run(scenario())


def test_peer_is_killed_in_mid_request(arena: Arena) -> None:
    """SIGKILL between the request and its answer makes the peer unreachable at once, long before the timeout."""

    async def scenario() -> None:
        a, b = await arena.node("a"), arena.peer_process("b")
        await arena.link(a, "b")
        await arena.exchange(a, "b")
        b.freeze()  # so that the request surely has no answer when the peer dies
        arena.counter.drain()
        waiting = asyncio.create_task(arena.deliver(a, arena.message()))
        await until(lambda: bool(arena.counter.drain()), "the request has left")
        b.kill()
        with pytest.raises(PeerUnreachableError):
            await waiting
        with pytest.raises(PeerUnreachableError):
            await arena.deliver(a, arena.message())

    arena.run(scenario())


def test_calls_to_a_frozen_peer_are_bounded(arena: Arena) -> None:
    """A frozen process still accepts connections: warm or cold, every call gives up in time; thawed, it is back."""

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        a, b = await arena.node("a", timeouts=_BRIEF), arena.peer_process("b")
        await arena.link(a, "b")
        b.freeze()
        bound_s = _BRIEF.connect_s + _BRIEF.ack_s + _SLACK_S
        for call in reversed(_calls(arena, a)):  # the probe first, over the warm link; then new links
            began = loop.time()
            with pytest.raises(PeerTimeoutError):
                await call()
            assert loop.time() - began < bound_s
        b.thaw()
        await arena.link(a, "b")
        await arena.exchange(a, "b")

    arena.run(scenario())


def test_calls_to_a_peer_that_trickles_are_bounded(arena: Arena) -> None:
    """One byte of answer now and then is no answer: the timeout bounds the exchange, not each read."""

    async def scenario() -> None:
        async with _trickling(arena):
            a = await arena.node("a", timeouts=Timeouts(connect_s=0.2, ack_s=0.2))
            for call in _calls(arena, a):
                with pytest.raises(PeerTimeoutError):
                    async with asyncio.timeout(_SLACK_S):
                        await call()

    arena.run(scenario())


@pytest.mark.parametrize("protocol", _WATCHING)
def test_watch_tells_of_a_killed_peer(arena: Arena) -> None:
    """A protocol that keeps a stream or connection notices the peer's death there, and says what it saw."""

    async def scenario() -> None:
        a, b = await arena.node("a"), arena.peer_process("b")
        await arena.link(a, "b")
        # Under way without an end: what keeps a stream open, where it is the work that does.
        await arena.deliver(a, arena.message().model_copy(update={"kind": "request"}))
        watch = Watch(a, "b")
        await arena.exchange(a, "b")
        assert not watch.task.done()
        b.kill()
        broken = await watch.evidence()
        assert broken.end is not None
        assert broken.end.peer_port == a.context.resolve("b").port

    arena.run(scenario())


def _calls(arena: Arena, adapter: BaseProtocolAdapter, peer: str = "b") -> _Calls:
    """All that ``adapter`` can ask of ``peer``."""

    async def send() -> None:
        await arena.deliver(adapter, arena.message(recipient=peer))

    async def probe() -> None:
        await adapter.probe(peer)

    async def connect() -> Identity | None:
        return await arena.link(adapter, peer)

    calls: _Calls = [send]
    if arena.overrides("connect"):
        calls.append(connect)
    if arena.overrides("probe"):
        calls.append(probe)
    return calls


def _http_200(case: bytes) -> bytes:
    """The case as a complete answer; what stands before a bar is its header."""
    header, bar, body = case.partition(b"|")
    if not bar:
        header, body = b"x: y", case
    return b"HTTP/1.1 200 OK\r\n%b\r\ncontent-length: %d\r\n\r\n%b" % (header, len(body), body)


@asynccontextmanager
async def _serving(arena: Arena, reply: Callable[[asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[None]:
    """At the port of ``b``: whatever comes is answered by ``reply``, then both sides hang up."""
    open_to: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_to.append(writer)
        try:
            await reader.read(1)
            await reply(writer)
            # Read to the end: hanging up on unread bytes would cut the answer with a reset.
            if writer.can_write_eof():  # TLS says goodbye by itself
                writer.write_eof()
                await reader.read()
        except ConnectionError:
            return
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", arena.port("b"), ssl=arena.serving_tls("b"))
    try:
        yield
    finally:
        server.close()
        for writer in open_to:  # a caller may keep its end for later calls
            writer.transport.abort()
        await server.wait_closed()


def _talking_nonsense(arena: Arena, answer: bytes) -> AbstractAsyncContextManager[None]:
    async def reply(writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()

    return _serving(arena, reply)


def _trickling(arena: Arena) -> AbstractAsyncContextManager[None]:
    async def reply(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.05)

    return _serving(arena, reply)
