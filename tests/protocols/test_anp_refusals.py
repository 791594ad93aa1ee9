"""ANP: what is tampered with, forged, replayed, too old or no ANP at all is refused, named and counted."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from anp.proof import generate_rfc9421_origin_proof
from anp.proof.rfc9421_origin import Rfc9421OriginProofGenerationOptions

from protocols.anp import service
from protocols.anp.adapter import AnpAdapter
from protocols.anp.direct import CAPABILITIES, MAX_AGE_S, SEND, capabilities_params, unix_now
from protocols.anp.errors import Reason
from protocols.anp.hosts import did_of
from protocols.errors import PeerRejectedError

from .anp_lab import (
    NODES,
    AnpLab,
    Reply,
    bearer,
    encoded,
    http_signature,
    lab_in,
    message,
    nothing_delivered,
    post,
    signed,
)

_FIRST, _SECOND, _THIRD = NODES
_MIB = 1 << 20

Request = dict[str, Any]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[AnpLab]:
    """Three prepared nodes."""
    with lab_in(tmp_path) as made:
        yield made


def _refusals(adapter: AnpAdapter) -> dict[str, int]:
    return {str(reason): count for reason, count in adapter.rejections.items() if count}


def _proof(sender: AnpAdapter, request: Request, **options: Any) -> dict[str, str]:
    """A new origin proof of the request's content, by the key of ``sender``."""
    params, now = request["params"], unix_now()
    chosen = Rfc9421OriginProofGenerationOptions(**({"created": now, "expires": now + 60, "nonce": "n1"} | options))
    proof: dict[str, str] = generate_rfc9421_origin_proof(
        SEND,
        params["meta"],
        params["body"],
        sender._identity.key,
        params["meta"]["sender_did"] + "#key-1",
        options=chosen,
    )
    return proof


def _tamper_body(_: AnpAdapter, request: Request) -> None:
    request["params"]["body"]["payload"]["body"] = {"text": "something else"}


def _tamper_meta(_: AnpAdapter, request: Request) -> None:
    request["params"]["meta"]["created_at"] = "2020-01-01T00:00:00Z"


def _redigest(sender: AnpAdapter, request: Request) -> None:
    """The body is changed and digested anew, but nobody can sign that."""
    old = request["params"]["auth"]["origin_proof"]["signature"]
    _tamper_body(sender, request)
    request["params"]["auth"]["origin_proof"] = _proof(sender, request) | {"signature": old}


def _sign_as_another(third: AnpAdapter, request: Request) -> None:
    """The right key id, but the key of a third node."""
    request["params"]["auth"]["origin_proof"] = _proof(third, request)


def _claim_another(_: AnpAdapter, request: Request) -> None:
    request["params"]["meta"]["sender_did"] = did_of(_THIRD)


def _use_anothers_key_id(third: AnpAdapter, request: Request) -> None:
    forged = json.loads(json.dumps(request))
    forged["params"]["meta"]["sender_did"] = did_of(_THIRD)
    request["params"]["auth"]["origin_proof"] = _proof(third, forged)


def _grow_old(sender: AnpAdapter, request: Request) -> None:
    created = unix_now() - MAX_AGE_S - 1
    request["params"]["auth"]["origin_proof"] = _proof(sender, request, created=created, expires=created + 600)


def _come_from_the_future(sender: AnpAdapter, request: Request) -> None:
    created = unix_now() + 2 * MAX_AGE_S
    request["params"]["auth"]["origin_proof"] = _proof(sender, request, created=created, expires=created + 60)


def _expire(sender: AnpAdapter, request: Request) -> None:
    now = unix_now()
    request["params"]["auth"]["origin_proof"] = _proof(sender, request, created=now - 20, expires=now - 10)


def _drop_proof(_: AnpAdapter, request: Request) -> None:
    del request["params"]["auth"]["origin_proof"]


def _garble_proof(_: AnpAdapter, request: Request) -> None:
    request["params"]["auth"]["origin_proof"]["signatureInput"] = "sig1=nonsense"


def _other_target(sender: AnpAdapter, request: Request) -> None:
    request["params"]["meta"]["target"]["did"] = did_of(_THIRD)
    request["params"]["auth"]["origin_proof"] = _proof(sender, request)


def _other_scheme(_: AnpAdapter, request: Request) -> None:
    request["params"]["auth"]["scheme"] = "none"


def _other_profile(_: AnpAdapter, request: Request) -> None:
    request["params"]["meta"]["profile"] = "anp.direct.base.v9"


def _resigned(change: Callable[[Request], None]) -> Callable[[AnpAdapter, Request], None]:
    """A change that the sender itself has made and signed."""

    def apply(sender: AnpAdapter, request: Request) -> None:
        change(request["params"])
        request["params"]["auth"]["origin_proof"] = _proof(sender, request)

    return apply


_CASES: dict[str, tuple[Callable[[AnpAdapter, Request], None], Reason, str]] = {
    "tampered body": (_tamper_body, Reason.TAMPERED, "direct.invalid_origin_proof"),
    "tampered meta": (_tamper_meta, Reason.TAMPERED, "direct.invalid_origin_proof"),
    "tampered, with a new digest": (_redigest, Reason.SIGNATURE, "direct.invalid_origin_proof"),
    "the key of another": (_sign_as_another, Reason.SIGNATURE, "direct.invalid_origin_proof"),
    "the name of another": (_claim_another, Reason.IDENTITY, "direct.origin_did_mismatch"),
    "the key id of another": (_use_anothers_key_id, Reason.IDENTITY, "direct.origin_did_mismatch"),
    "too old": (_grow_old, Reason.EXPIRED, "direct.invalid_origin_proof"),
    "from the future": (_come_from_the_future, Reason.EXPIRED, "direct.invalid_origin_proof"),
    "expired": (_expire, Reason.EXPIRED, "direct.invalid_origin_proof"),
    "no proof": (_drop_proof, Reason.MALFORMED, "direct.invalid_payload_shape"),
    "a garbled proof": (_garble_proof, Reason.SIGNATURE, "direct.invalid_origin_proof"),
    "another target": (_other_target, Reason.MISADDRESSED, "anp.invalid_target_binding"),
    "another scheme": (_other_scheme, Reason.SIGNATURE, "direct.invalid_origin_proof"),
    "another profile": (_other_profile, Reason.UNSUPPORTED, "anp.unsupported_profile"),
    "another sender inside": (
        _resigned(lambda params: params["body"]["payload"].update(sender=_THIRD)),
        Reason.IDENTITY,
        "direct.origin_did_mismatch",
    ),
    "another recipient inside": (
        _resigned(lambda params: params["body"]["payload"].update(recipient=_THIRD)),
        Reason.MISADDRESSED,
        "anp.invalid_target_binding",
    ),
    "two ids": (
        _resigned(lambda params: params["meta"].update(message_id="m2")),
        Reason.MALFORMED,
        "direct.invalid_payload_shape",
    ),
    "two payloads": (
        _resigned(lambda params: params["body"].update(text="hello")),
        Reason.MALFORMED,
        "direct.invalid_payload_shape",
    ),
    "no message of ours": (
        _resigned(lambda params: params["body"].update(payload={"hello": "world"})),
        Reason.MALFORMED,
        "direct.invalid_payload_shape",
    ),
    "another content type": (
        _resigned(lambda params: params["meta"].update(content_type="text/plain")),
        Reason.MALFORMED,
        "direct.invalid_payload_shape",
    ),
}


@pytest.mark.parametrize("case", _CASES)
def test_direct_message_is_refused(lab: AnpLab, capfd: pytest.CaptureFixture[str], case: str) -> None:
    """The answer names ANP's own code, the count the reason; nothing is delivered, and stderr stays quiet."""
    spoil, reason, anp_code = _CASES[case]

    async def scenario() -> None:
        first, second = await lab.pair()
        third = AnpAdapter(lab.context(_THIRD))
        request = signed(first)
        spoil(third if case in ("the key of another", "the key id of another") else first, request)
        reply = await post(first, encoded(request), bearer(first))
        assert (reply.status, reply.anp_code) == (200, anp_code)
        assert _refusals(second) == {reason: 1}
        assert nothing_delivered(second)
        await first.send_message(_SECOND, message())
        assert await second.receive_message() == message()

    lab.run(scenario())
    assert capfd.readouterr().err == ""


def test_replay_is_refused_but_the_same_message_signed_anew_is_not(lab: AnpLab) -> None:
    """The same bytes twice are a replay; the same message sent again is not (dropping it is policy)."""

    async def scenario() -> None:
        first, second = await lab.pair()
        recorded = encoded(signed(first))
        assert "result" in (await post(first, recorded, bearer(first))).json
        replayed = await post(first, recorded, bearer(first))
        assert replayed.anp_code == "direct.origin_proof_replayed"
        await first.send_message(_SECOND, message())
        assert [await second.receive_message() for _ in range(2)] == [message()] * 2
        assert nothing_delivered(second)
        assert _refusals(second) == {"replay": 1}

    lab.run(scenario())


def test_replayed_handshake_is_refused(lab: AnpLab) -> None:
    """Nobody gets a token by repeating a signed request that he has seen."""

    async def scenario() -> None:
        first, second = await lab.node(_FIRST), await lab.node(_SECOND)
        body = encoded({"jsonrpc": "2.0", "id": "1", "method": CAPABILITIES, "params": capabilities_params()})
        recorded = http_signature(first, body)
        accepted = await post(first, body, recorded)
        assert (accepted.status, "Authentication-Info" in accepted.headers) == (200, True)
        replayed = await post(first, body, recorded)
        assert (replayed.status, "Authentication-Info" in replayed.headers) == (401, False)
        assert _refusals(second) == {"replay": 1}

    lab.run(scenario())


def test_tampered_handshake_is_refused(lab: AnpLab) -> None:
    """The HTTP signature covers the body by its Content-Digest (RFC 9530)."""

    async def scenario() -> None:
        first, second = await lab.node(_FIRST), await lab.node(_SECOND)
        body = encoded({"jsonrpc": "2.0", "id": "1", "method": CAPABILITIES, "params": capabilities_params()})
        reply = await post(first, body.replace(b'"1"', b'"2"'), http_signature(first, body))
        assert (reply.status, _refusals(second)) == (401, {"tampered": 1})

    lab.run(scenario())


def test_handshake_signed_by_a_stolen_name_is_refused(lab: AnpLab) -> None:
    """A signature by another key than that of the claimed node's own document."""

    async def scenario() -> None:
        first, second = await lab.node(_FIRST), await lab.node(_SECOND)
        thief = AnpAdapter(lab.context(_THIRD))
        # The thief claims the first node's document, but has only its own key.
        thief._identity.authenticator.did_document = first._identity.document
        reply = await post(first, b"{}", http_signature(thief, b"{}"))
        assert (reply.status, _refusals(second)) == (401, {"signature": 1})

    lab.run(scenario())


def test_foreign_identity_is_refused_without_asking_its_host(lab: AnpLab) -> None:
    """The SDK's verifier would connect to any host that a stranger names."""

    async def scenario() -> None:
        first, second = await lab.node(_FIRST), await lab.node(_SECOND)
        second.context.counter.drain()
        for stranger in (
            "did:wba:example.org#key-1",
            "did:wba:agent-9.failstorm.test#key-1",
            "did:web:b.org#k",
            "nobody",
        ):
            headers = http_signature(first, b"{}")
            headers["Signature-Input"] = headers["Signature-Input"].replace(first._identity.key_id, stranger)
            assert (await post(first, b"{}", headers)).status == 401
        assert _refusals(second) == {"identity": 4}
        assert [row for row in second.context.counter.drain() if row[0] == "client"] == []

    lab.run(scenario())


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic YTpi"}, {"Signature": "sig1=:x:"}],
    ids=["none", "a token of nobody", "another scheme", "half a signature"],
)
def test_call_without_credentials_is_refused(lab: AnpLab, headers: dict[str, str]) -> None:
    """401, whatever the body says."""

    async def scenario() -> None:
        first, second = await lab.node(_FIRST), await lab.node(_SECOND)
        reply = await post(first, encoded(signed(first)), headers)
        assert (reply.status, _refusals(second)) == (401, {"unauthenticated": 1})
        assert nothing_delivered(second)

    lab.run(scenario())


def test_caller_whose_host_is_gone_gets_no_token(lab: AnpLab) -> None:
    """Each node hosts its own DID document: a dead host breaks new handshakes, and only these."""

    async def scenario() -> None:
        first, second = await lab.pair()
        await first.send_message(_SECOND, message())
        assert first._server is not None
        await first._server.close()
        await first.send_message(_SECOND, message(message_id="m2"))
        with pytest.raises(PeerRejectedError, match="Failed to resolve DID document"):
            await first.connect(_SECOND)
        assert _refusals(second) == {"unresolved": 1}

    lab.run(scenario())


_NO_REQUEST: dict[str, bytes] = {
    "empty": b"",
    "no JSON": b"{",
    "invalid UTF-8": b'{"jsonrpc": "2.0\xff"}',
    "deep nesting": b'{"jsonrpc":"2.0","id":"1","method":"direct.send","params":' + b'{"a":' * 200_000,
    "a huge number": b'{"jsonrpc":"2.0","id":"1","method":"direct.send","params":{"a":1' + b"0" * 100_000 + b"}}",
    "a number": b"1",
    "null": b"null",
    "no version": b'{"id":"1","method":"direct.send","params":{}}',
    "no id": b'{"jsonrpc":"2.0","method":"direct.send","params":{}}',
    "an id that cannot be sent back": b'{"jsonrpc":"2.0","id":"\\ud800","method":"direct.send","params":{}}',
    "an id that is no number": b'{"jsonrpc":"2.0","id":NaN,"method":"direct.send","params":{}}',
    "a method of another type": b'{"jsonrpc":"2.0","id":"1","method":{},"params":{}}',
    "params of another type": b'{"jsonrpc":"2.0","id":"1","method":"direct.send","params":[1]}',
    "an unknown method": b'{"jsonrpc":"2.0","id":"1","method":"direct.incoming","params":{}}',
    "no params": b'{"jsonrpc":"2.0","id":"1","method":"direct.send"}',
    "a batch": b"[" + b'{"jsonrpc":"2.0","id":"1","method":"anp.get_capabilities"},' * 1000 + b"1]",
}


@pytest.mark.parametrize("case", _NO_REQUEST)
def test_no_request_is_answered_by_an_error(lab: AnpLab, capfd: pytest.CaptureFixture[str], case: str) -> None:
    """An authenticated node may talk nonsense: it gets JSON-RPC's error for it, and no crash."""

    async def scenario() -> None:
        first, second = await lab.pair()
        reply = await post(first, _NO_REQUEST[case], bearer(first))
        assert reply.status == 200
        assert reply.json["error"]["code"] in {-32700, -32600, -32601, 1004, 2002}
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
        assert sum(_refusals(second).values()) == 1
        assert nothing_delivered(second)

    lab.run(scenario())


def test_body_without_end_is_refused(lab: AnpLab, monkeypatch: pytest.MonkeyPatch) -> None:
    """413 and ANP's error, as soon as it is too large."""
    monkeypatch.setattr(service, "MAX_BODY_BYTES", _MIB)

    async def scenario() -> None:
        first, second = await lab.pair()
        reply = await post(first, b'{"body":"' + b"q" * (_MIB + 1) + b'"}', bearer(first))
        assert (reply.status, reply.anp_code) == (413, "anp.delivery_rejected")
        assert _refusals(second) == {"too_large": 1}

    lab.run(scenario())


def test_full_inbox_says_try_again(lab: AnpLab) -> None:
    """A node that cannot keep a message gives no receipt for it."""

    async def scenario() -> None:
        first, second = await lab.pair()
        second._inbox = asyncio.Queue(1)
        await first.send_message(_SECOND, message())
        reply: Reply = await post(first, encoded(signed(first)), bearer(first))
        assert (reply.anp_code, reply.json["error"]["data"]["retryable"]) == ("anp.temporarily_unavailable", True)
        with pytest.raises(PeerRejectedError, match="try again"):
            await first.send_message(_SECOND, message())
        assert _refusals(second) == {"busy": 2}

    lab.run(scenario())
