"""ANP: whatever a node says over TLS, even with good credentials, costs it an error and others nothing."""

import asyncio
from typing import Any

import pytest

from protocols import inbox, serving
from protocols.errors import PeerRejectedError
from protocols.names import naming

from .anp_lab import (
    HOST,
    NODES,
    AnpLab,
    Reply,
    bearer,
    encoded,
    message,
    nothing_delivered,
    post,
    refusals,
    signed,
)

_FIRST, _SECOND, _THIRD = NODES
_MIB = 1 << 20


_PARSE, _INVALID, _UNKNOWN, _BATCH, _SHAPE = -32700, -32600, -32601, 1004, 2002
_NO_REQUEST: dict[str, tuple[int, bytes]] = {
    "empty": (_PARSE, b""),
    "no JSON": (_PARSE, b"{"),
    "invalid UTF-8": (_PARSE, b'{"jsonrpc": "2.0\xff"}'),
    "deep nesting": (_PARSE, b'{"jsonrpc":"2.0","id":"1","method":"direct.send","params":' + b'{"a":' * 90_000),
    "a huge number": (
        _PARSE,
        b'{"jsonrpc":"2.0","id":"1","method":"direct.send","params":{"a":1' + b"0" * 100_000 + b"}}",
    ),
    "a number": (_INVALID, b"1"),
    "null": (_INVALID, b"null"),
    "no version": (_INVALID, b'{"id":"1","method":"direct.send","params":{}}'),
    "no id": (_INVALID, b'{"jsonrpc":"2.0","method":"direct.send","params":{}}'),
    "an id that cannot be sent back": (
        _INVALID,
        b'{"jsonrpc":"2.0","id":"\\ud800","method":"direct.send","params":{}}',
    ),
    "an id that is no number": (_INVALID, b'{"jsonrpc":"2.0","id":NaN,"method":"direct.send","params":{}}'),
    "a method of another type": (_INVALID, b'{"jsonrpc":"2.0","id":"1","method":{},"params":{}}'),
    "params of another type": (_INVALID, b'{"jsonrpc":"2.0","id":"1","method":"direct.send","params":[1]}'),
    "an unknown method": (_UNKNOWN, b'{"jsonrpc":"2.0","id":"1","method":"direct.incoming","params":{}}'),
    "no params": (_SHAPE, b'{"jsonrpc":"2.0","id":"1","method":"direct.send"}'),
    "a batch": (_BATCH, b"[" + b'{"jsonrpc":"2.0","id":"1","method":"anp.get_capabilities"},' * 1000 + b"1]"),
}


@pytest.mark.parametrize("case", _NO_REQUEST)
def test_no_request_is_answered_by_an_error(lab: AnpLab, capfd: pytest.CaptureFixture[str], case: str) -> None:
    """An authenticated node may talk nonsense: it gets JSON-RPC's error for it, and no crash."""

    async def scenario() -> None:
        first, second = await lab.pair()
        code, body = _NO_REQUEST[case]
        reply = await post(first, body, bearer(first))
        assert (reply.status, reply.json["error"]["code"]) == (200, code)
        assert nothing_delivered(second)
        await first.probe(_SECOND)

    lab.run(scenario())
    assert capfd.readouterr().err == ""


_NASTY: dict[str, Any] = {
    "half a surrogate": "\ud800",
    "not a number": float("nan"),
    "beyond doubles": 10**400,
    "nested too deeply": None,
}


@pytest.mark.parametrize("case", _NASTY)
def test_content_that_cannot_be_canonical_is_refused(lab: AnpLab, case: str) -> None:
    """What RFC 8785 cannot put in order cannot be verified, so it is refused; the digest is not even compared."""

    async def scenario() -> None:
        first, second = await lab.pair()
        request = signed(first)
        request["params"]["body"]["payload"]["body"] = {"x": "NASTY" if _NASTY[case] is None else _NASTY[case]}
        nested = b'{"a":' * 400 + b"1" + b"}" * 400
        reply = await post(first, encoded(request).replace(b'"NASTY"', nested), bearer(first))
        assert reply.anp_code == "direct.invalid_origin_proof"
        assert sum(refusals(second).values()) == 1
        assert nothing_delivered(second)

    lab.run(scenario())


def test_body_without_end_is_refused(lab: AnpLab, monkeypatch: pytest.MonkeyPatch) -> None:
    """413 and ANP's error, as soon as it is too large."""
    monkeypatch.setattr(serving, "MAX_BODY_BYTES", _MIB)

    async def scenario() -> None:
        first, second = await lab.pair()
        reply = await post(first, b'{"body":"' + b"q" * (_MIB + 1) + b'"}', bearer(first))
        assert (reply.status, reply.anp_code) == (413, "anp.delivery_rejected")
        assert refusals(second) == {"too_large": 1}

    lab.run(scenario())


def test_full_inbox_says_try_again(lab: AnpLab, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that cannot keep a message gives no receipt for it."""

    async def scenario() -> None:
        first, second = await lab.pair()
        monkeypatch.setattr(inbox, "MAX_MESSAGES", 1)
        await first.send_message(_SECOND, message())
        reply: Reply = await post(first, encoded(signed(first)), bearer(first))
        assert (reply.anp_code, reply.json["error"]["data"]["retryable"]) == ("anp.temporarily_unavailable", True)
        with pytest.raises(PeerRejectedError, match="try again"):
            await first.send_message(_SECOND, message())
        assert refusals(second) == {"busy": 2}

    lab.run(scenario())


def test_callers_that_never_finish_hold_nobody_up(lab: AnpLab) -> None:
    """A hundred each that never finish their TLS handshake, a header, or a body."""

    async def scenario() -> None:
        first, second = await lab.pair()
        slow = []
        for number in range(300):
            tls = first._identity.trust if number % 3 else None
            with naming(first._names):
                _, writer = await asyncio.open_connection(
                    "agent-2.failstorm.test" if tls else HOST, lab.port(_SECOND), ssl=tls
                )
            beginning = (
                b"\x16\x03\x01",
                b"POST /agent/rpc HT",
                b"POST /agent/rpc HTTP/1.1\r\ncontent-length: 9\r\n\r\n{",
            )
            writer.write(beginning[number % 3])
            slow.append(writer)
        await first.send_message(_SECOND, message())
        await first.probe(_SECOND)
        assert await second.receive_message() == message()
        for writer in slow:
            writer.transport.abort()

    lab.run(scenario())
