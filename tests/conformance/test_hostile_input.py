"""Whatever arrives on the protocol port: no crash, bounded memory, a proper error, and other peers unharmed."""

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocols import registry
from protocols.adapter import BaseProtocolAdapter, Timeouts

from .arena import Arena, until
from .field import CHUNK_BYTES, Field, complete

_MIB = 1 << 20
_HUNDRED = 100
_NEIGHBOURLY = Timeouts(connect_s=5.0, ack_s=5.0)
_fuzzing = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.fixture(scope="module", params=registry.names())
def field(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    """One field for all attacks on a protocol: the target has to outlive them all."""
    arena = Arena(request.param, tmp_path_factory.mktemp("hostile"))
    target = arena.peer_process("b", ("a", "r"))

    async def neighbour() -> BaseProtocolAdapter:
        adapter = await arena.node("a", timeouts=_NEIGHBOURLY)
        await arena.link(adapter, "b")
        await arena.exchange(adapter, "b")
        return adapter

    try:
        yield Field(arena, target, arena.run(neighbour()))
    finally:
        arena.leave()


def _refused(answer: bytes) -> bool:
    """An error of the protocol: by its HTTP status, or by an error object in the answer; never a crash (500)."""
    status = re.match(rb"HTTP/1.1 (\d\d\d)", answer)
    if status is None or status[1] == b"500":
        return False
    return status[1][:1] in {b"4", b"5"} or re.search(rb'\\?"error\\?"', answer) is not None


async def _all_is_well(field: Field) -> None:
    async with field.unharmed():
        pass


def _request(head: bytes, body: bytes) -> bytes:
    return re.sub(rb"(?i)content-length: \d+", b"content-length: %d" % len(body), head) + b"\r\n\r\n" + body


_HTTP_WORDS = (
    b"GET ",
    b"POST ",
    b"/",
    b" HTTP/1.1",
    b"\r\n",
    b"\r\n\r\n",
    b"host: b",
    b"content-length: ",
    b"9",
    b"transfer-encoding: chunked",
    b"connection: upgrade",
    b"upgrade: websocket",
)


def test_random_bytes(field: Field) -> None:
    """Noise, and noise that begins like HTTP, does no harm."""
    words = st.sampled_from(_HTTP_WORDS)
    noise = st.binary(max_size=2_000) | st.lists(words | st.binary(max_size=6), max_size=40).map(b"".join)

    async def send(payload: bytes, *, inside_tls: bool) -> None:
        _, writer = await field.connect(inside_tls=inside_tls)
        writer.write(payload)
        writer.close()
        with contextlib.suppress(OSError):  # a reset, or TLS that ends without its goodbye
            await writer.wait_closed()

    @_fuzzing
    @given(noise, st.booleans())
    def does_no_harm(payload: bytes, inside_tls: bool) -> None:  # noqa: FBT001 - drawn, not chosen
        field.arena.run(send(payload, inside_tls=inside_tls))

    does_no_harm()

    field.arena.run(_all_is_well(field))


def test_random_json(field: Field) -> None:
    """JSON that is no message of this protocol is refused, and never ends in an internal error."""
    keys = st.sampled_from(["message_id", "kind", "sender", "recipient", "traffic", "body", "id", "method", "params"])
    values = st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["b", "echo", "task"])
    trees = st.recursive(values, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=9))
    head, _ = field.arena.run(field.recorded_request())

    @_fuzzing
    @given(trees)
    def is_refused(tree: Any) -> None:
        assert _refused(field.arena.run(field.attack(_request(head, json.dumps(tree).encode()))))

    is_refused()
    field.arena.run(_all_is_well(field))


_SPOILT: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda body: body[: len(body) // 2],
    "empty": lambda _: b"",
    "invalid UTF-8": lambda body: body.replace(b"echo", b"ec\xff\xfeo"),
    "half a surrogate": lambda body: body.replace(b"echo", b'\\ud800"'),
    "deep nesting": lambda _: b'{"body":' * 200_000,
    "deep nesting, closed": lambda body: body[:-1] + b',"body":{"x":' + b"[" * 50_000 + b"]" * 50_000 + b"}}",
    "a crowd of nothings": lambda body: body[:-1] + b',"body":{"x":[' + b"[]," * 2_700_000 + b"[]]}}",
    "a huge number": lambda body: body[:-1] + b',"body":{"x":1' + b"0" * 100_000 + b"}}",
    # Some protocols carry the message as a JSON text, with its quotes escaped.
    "a huge name": lambda body: re.sub(rb"(sender[^r]+)r", rb"\1" + b"r" * _MIB, body),
}


@pytest.mark.parametrize("case", _SPOILT)
def test_spoilt_message_is_refused(field: Field, case: str) -> None:
    """A message that was spoilt on its way, or by intent, gets an error for an answer."""

    async def scenario() -> None:
        head, body = await field.recorded_request()
        spoilt = _SPOILT[case](body)
        assert spoilt != body
        async with field.unharmed():
            assert _refused(await field.attack(_request(head, spoilt)))

    field.arena.run(scenario())


_OVERSIZED = {
    "one header": b"GET / HTTP/1.1\r\nx: " + b"a" * 5 * _MIB + b"\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 500_000 + b"\r\n",
    "a path": b"GET /" + b"a" * 5 * _MIB + b" HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("case", _OVERSIZED)
def test_huge_head_is_refused(field: Field, case: str) -> None:
    """Nobody has to keep headers without end."""

    async def scenario() -> None:
        async with field.unharmed():
            answer = await field.attack(_OVERSIZED[case])
            assert not answer or _refused(answer)

    field.arena.run(scenario())


@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "in chunks"])
def test_50_megabytes_are_refused(field: Field, *, chunked: bool) -> None:
    """A body far too large is refused by the protocol's own error, announced or not, without being kept."""

    async def scenario() -> None:
        head, _ = await field.recorded_request()
        payload = _request(head, b'{"body":"' + b"q" * 50 * _MIB + b'"}')
        if chunked:
            chunk = b"%x\r\n%b\r\n" % (_MIB, b"q" * _MIB)
            head = re.sub(rb"(?i)content-length: \d+", b"transfer-encoding: chunked", head)
            payload = head + b"\r\n\r\n" + chunk * 50 + b"0\r\n\r\n"
        async with field.unharmed():
            assert _refused(await field.attack(payload))
            assert field.bytes_sent > 8 * _MIB

    field.arena.run(scenario())


def test_slowloris(field: Field) -> None:
    """A hundred callers that never finish a header, and a hundred that never finish a body, hold nobody up."""

    async def scenario() -> None:
        head, body = await field.recorded_request()
        files = field.target.vitals.num_fds()
        slow = []
        async with field.unharmed():
            for beginning in (head[:30], _request(head, body)[:-5]):
                for _ in range(_HUNDRED):
                    slow.append(await field.connect())
                    slow[-1][1].write(beginning)
            await until(lambda: field.target.vitals.num_fds() > files + _HUNDRED, "all are connected")
            served = field.exchanges
            await until(lambda: field.exchanges > served + 1, "the neighbour is served meanwhile")
            for _, writer in slow:
                writer.transport.abort()
            await until(lambda: field.target.vitals.num_fds() < files + 10, "the target gave them up")

    field.arena.run(scenario())


def test_pipelined_requests_are_all_answered(field: Field) -> None:
    """Requests sent without waiting (RFC 9112, section 9.3.2) are answered one after the other."""

    async def scenario() -> None:
        head, body = await field.recorded_request()
        async with field.unharmed():
            reader, writer = await field.connect()
            writer.write(_request(head, body) * 20)
            answers = b""
            while answers.count(b"HTTP/1.1 ") < 20 or not complete(answers[answers.rfind(b"HTTP/1.1 ") :]):
                data = await reader.read(CHUNK_BYTES)
                assert data, "expected 20 answers before the end"
                answers += data
            writer.transport.abort()

    field.arena.run(scenario())
