"""ANP: handshakes that are replayed, tampered with or of nobody the lab knows get no token."""

import logging

import pytest

from protocols.anp.adapter import AnpAdapter
from protocols.anp.direct import CAPABILITIES, capabilities_params
from protocols.clock import civil_now
from protocols.errors import PeerRejectedError

from .anp_lab import (
    NODES,
    AnpLab,
    encoded,
    http_signature,
    message,
    nothing_delivered,
    post,
    refusals,
    signed,
)

_FIRST, _SECOND, _THIRD = NODES


def test_replayed_handshake_is_refused(lab: AnpLab) -> None:
    """Nobody gets a token by repeating a signed request that he has seen."""

    async def scenario() -> None:
        first, second = await lab.node(_FIRST), await lab.node(_SECOND)
        body = encoded(
            {"jsonrpc": "2.0", "id": "1", "method": CAPABILITIES, "params": capabilities_params(civil_now())}
        )
        recorded = http_signature(first, body)
        accepted = await post(first, body, recorded)
        assert (accepted.status, "Authentication-Info" in accepted.headers) == (200, True)
        replayed = await post(first, body, recorded)
        assert (replayed.status, "Authentication-Info" in replayed.headers) == (401, False)
        assert refusals(second) == {"replay": 1}

    lab.run(scenario())


def test_tampered_handshake_is_refused(lab: AnpLab) -> None:
    """The HTTP signature covers the body by its Content-Digest (RFC 9530)."""

    async def scenario() -> None:
        first, second = await lab.node(_FIRST), await lab.node(_SECOND)
        body = encoded(
            {"jsonrpc": "2.0", "id": "1", "method": CAPABILITIES, "params": capabilities_params(civil_now())}
        )
        reply = await post(first, body.replace(b'"1"', b'"2"'), http_signature(first, body))
        assert (reply.status, refusals(second)) == (401, {"tampered": 1})

    lab.run(scenario())


def test_handshake_signed_by_a_stolen_name_is_refused(lab: AnpLab) -> None:
    """A signature by another key than that of the claimed node's own document."""

    async def scenario() -> None:
        first, second = await lab.node(_FIRST), await lab.node(_SECOND)
        thief = AnpAdapter(lab.context(_THIRD))
        # The thief claims the first node's document, but has only its own key.
        thief._identity.authenticator.did_document = first._identity.document
        reply = await post(first, b"{}", http_signature(thief, b"{}"))
        assert (reply.status, refusals(second)) == (401, {"signature": 1})

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
        assert refusals(second) == {"identity": 4}
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
        assert (reply.status, refusals(second)) == (401, {"unauthenticated": 1})
        assert nothing_delivered(second)

    lab.run(scenario())


def test_caller_whose_host_is_gone_gets_no_token(lab: AnpLab) -> None:
    """Each node hosts its own DID document: a dead host breaks first handshakes, and only these."""

    async def scenario() -> None:
        (first, second), third = await lab.pair(), await lab.node(NODES[2])
        await first.send_message(_SECOND, message())
        for caller in (first, third):
            assert caller._server is not None
            await caller._server.close()
        await first.send_message(_SECOND, message(message_id="m2"))
        await first.connect(_SECOND)
        assert refusals(second) == {}
        with pytest.raises(PeerRejectedError, match="Failed to resolve DID document"):
            await third.connect(_SECOND)
        assert refusals(second) == {"unresolved": 1}

    lab.run(scenario())


def test_refusals_are_counted_and_not_logged(lab: AnpLab, caplog: pytest.LogCaptureFixture) -> None:
    """The SDK logs refused tokens and dead hosts as errors, with stack traces; in a storm they are everyday events."""

    async def scenario() -> None:
        first, second = await lab.node(_FIRST), await lab.node(_SECOND)
        await post(first, b"{}", {"Authorization": "Bearer nonsense"})
        assert first._server is not None
        await first._server.close()
        with pytest.raises(PeerRejectedError):
            await first.connect(_SECOND)
        assert refusals(second) == {"unauthenticated": 1, "unresolved": 1}

    with caplog.at_level(logging.WARNING):
        lab.run(scenario())
    assert caplog.records == []
