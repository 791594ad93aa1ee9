"""ANP: direct messages that are tampered with, forged, replayed or too old are refused, named and counted."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from anp.proof import generate_rfc9421_origin_proof
from anp.proof.rfc9421_origin import Rfc9421OriginProofGenerationOptions

from protocols.anp.adapter import AnpAdapter
from protocols.anp.direct import MAX_AGE_S, SEND
from protocols.anp.errors import Reason
from protocols.anp.hosts import did_of
from protocols.clock import civil_now

from .anp_lab import (
    NODES,
    AnpLab,
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

Request = dict[str, Any]


def _unix_now() -> int:
    return int(civil_now().timestamp())


def _proof(sender: AnpAdapter, request: Request, **options: Any) -> dict[str, str]:
    """A new origin proof of the request's content, by the key of ``sender``."""
    params, now = request["params"], _unix_now()
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
    created = _unix_now() - MAX_AGE_S - 1
    request["params"]["auth"]["origin_proof"] = _proof(sender, request, created=created, expires=created + 600)


def _come_from_the_future(sender: AnpAdapter, request: Request) -> None:
    created = _unix_now() + 2 * MAX_AGE_S
    request["params"]["auth"]["origin_proof"] = _proof(sender, request, created=created, expires=created + 60)


def _expire(sender: AnpAdapter, request: Request) -> None:
    now = _unix_now()
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
        assert refusals(second) == {reason: 1}
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
        assert refusals(second) == {"replay": 1}

    lab.run(scenario())
