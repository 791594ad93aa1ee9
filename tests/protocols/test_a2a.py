"""A2A: cards, probes, bounds and errors, beyond what every protocol must do."""

import json
import logging
from typing import Any

import pytest
from a2a.types import AgentCard
from google.protobuf.json_format import ParseDict  # type: ignore[import-untyped]

from protocols import inbox, serving
from protocols.a2a.codec import EXTENSION, identity_of
from protocols.adapter import Identity
from protocols.errors import IdentityError, PeerRejectedError
from protocols.message import Traffic
from protocols.wire import ByteCounter, classify

from .a2a_pair import RunScenario, bare, message, pair, request, send, until

_CARD = "/.well-known/agent-card.json"


def test_card_says_who_and_which_life(run: RunScenario) -> None:
    """Name and incarnation are in the card, the tool is a skill, and the address is the node's own."""

    async def scenario() -> None:
        async with pair() as (_, _, lab), bare(lab) as client:
            published = (await client.get(_CARD)).json()
            card = ParseDict(published, AgentCard(), ignore_unknown_fields=True)
            assert identity_of(card) == Identity("b", 7)
            assert [skill.id for skill in card.skills] == ["search"]
            assert [(i.url, i.protocol_binding, i.protocol_version) for i in card.supported_interfaces] == [
                (f"{lab.url}/", "JSONRPC", "1.0")
            ]
            assert card.capabilities.streaming
            assert not card.capabilities.push_notifications

    run(scenario())


def test_card_has_all_that_a_card_must_have(run: RunScenario) -> None:
    """Every required field is there (TCK: CARD-STRUCT-001), and an ETag that saves the second time (CARD-CACHE-002)."""

    async def scenario() -> None:
        async with pair() as (_, _, lab), bare(lab) as client:
            fetched = await client.get(_CARD)
            card = fetched.json()
            assert all(card[name] for name in ("name", "description", "version", "supportedInterfaces", "capabilities"))
            assert all(card[name] for name in ("defaultInputModes", "defaultOutputModes", "skills"))
            assert all(card["skills"][0][name] for name in ("id", "name", "description", "tags"))
            again = await client.get(_CARD, headers={"If-None-Match": fetched.headers["ETag"]})
            assert (again.status_code, again.content) == (304, b"")

    run(scenario())


def test_probe_is_a_conditional_request_for_the_card(run: RunScenario, counter: ByteCounter) -> None:
    """A living peer costs a 304; one that has begun a new life sends its card once more; another node is found out."""

    async def scenario() -> None:
        async with pair() as (a, b, lab):
            sizes = []
            for _ in range(3):
                counter.drain()
                with classify(Traffic.HEARTBEAT, "b"):
                    await a.probe("b")
                ((_, peer, traffic, _, received),) = counter.drain()
                assert (peer, traffic) == ("b", "heartbeat")
                sizes.append(received)
                if len(sizes) == 1:
                    await b.close()
                    await lab.node("b", incarnation=1000)
            assert sizes[1] > 500 > sizes[0] == sizes[2]
            lab.ports["b"] = lab.ports["c"]
            await a.disconnect("b")
            await lab.node("c")
            with pytest.raises(IdentityError, match="expected b at this address, c answers"):
                await a.probe("b")

    run(scenario())


def test_server_tells_probes_from_handshakes(run: RunScenario) -> None:
    """Both ask for the card at one address; only a probe names the card it knows."""

    async def scenario() -> None:
        async with pair() as (a, b, _):
            await a.connect("b")
            await a.probe("b")
            await a.close()
            await until(lambda: {row[2] for row in b.context.counter.drain()} == {"handshake", "heartbeat"})

    run(scenario())


def test_message_on_the_wire(run: RunScenario, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our id is A2A's, the lab's task is the context, the envelope is metadata of our extension, the body is JSON."""

    async def scenario() -> None:
        async with pair() as (a, b, _):
            assert b._handler is not None
            seen = []
            original = b._handler._read

            def spy(params: Any, context: Any) -> Any:
                seen.append((params.message, context.requested_extensions, params.configuration))
                return original(params, context)

            monkeypatch.setattr(b._handler, "_read", spy)
            await send(a, message("m1", body={"task": "q7", "n": 2**70}))
            await send(a, request())
            (sent, extensions, _), (_, _, configuration) = seen
            assert configuration.HasField("history_length"), "expected a task to come without its request"
            assert (sent.message_id, sent.context_id) == ("m1", "q7")
            assert extensions == {EXTENSION}
            assert json.loads(sent.metadata[EXTENSION]) == {
                "kind": "echo",
                "sender": "a",
                "recipient": "b",
                "traffic": "task",
            }
            assert json.loads(sent.parts[0].text) == {"task": "q7", "n": 2**70}
            assert sent.parts[0].media_type == "application/json"

    run(scenario())


def test_full_inbox_is_said(run: RunScenario, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that cannot take more refuses, messages and requests alike, and takes again when there is room."""
    monkeypatch.setattr(inbox, "MAX_MESSAGES", 1)

    async def scenario() -> None:
        async with pair() as (a, b, _):
            await send(a, message("m1"))
            for refused in (message("m2"), request("r2")):
                with pytest.raises(PeerRejectedError, match="the inbox is full"):
                    await send(a, refused)
            assert (await b.receive_message()).message_id == "m1"
            await send(a, request("r2"))
            assert (await b.receive_message()).message_id == "r2"

    run(scenario())


_SPOILT: dict[str, dict[str, Any] | None] = {
    "no message": None,
    "a strange kind": {"kind": "gossip"},
    "a name without an end": {"sender": "a" * 300},
    "another's message": {"recipient": "c"},
    "a field of its own": {"priority": "high"},
}


@pytest.mark.parametrize("case", _SPOILT)
def test_refusals_are_errors_of_a2a(run: RunScenario, case: str) -> None:
    """What is no message of the lab, or not for this node, is refused by a short A2A error."""
    changes = _SPOILT[case]

    async def scenario() -> None:
        async with pair() as (_, b, lab), bare(lab) as client:
            refused = await client.post("/", json=_call("SendMessage", {} if changes is None else _params(changes)))
            assert refused.json()["error"]["code"] == -32602
            assert len(refused.content) < 1000
            assert b._inbox.empty()

    run(scenario())


@pytest.mark.parametrize("envelope", ["[]", "{", '{"kind":"echo"}', '{"kind":"echo","sender":"a","recipient":"b"}', 7])
def test_malformed_metadata_is_refused(envelope: object, run: RunScenario) -> None:
    """Metadata of our extension that is no envelope, as an object or as one in a string, is a fault of the caller."""

    async def scenario() -> None:
        async with pair() as (_, b, lab), bare(lab) as client:
            params = _params({})
            params["message"]["metadata"][EXTENSION] = envelope
            refused = await client.post("/", json=_call("SendMessage", params))
            assert refused.json()["error"]["code"] == -32602
            assert b._inbox.empty()

    run(scenario())


def _call(method: str, params: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


def _params(changes: dict[str, Any]) -> dict[str, Any]:
    envelope = {"kind": "echo", "sender": "a", "recipient": "b", "traffic": "task"} | changes
    return {
        "message": {
            "messageId": "m1",
            "role": "ROLE_USER",
            "parts": [{"text": "{}", "mediaType": "application/json"}],
            "metadata": {EXTENSION: envelope},
        }
    }


def test_body_is_bounded(run: RunScenario, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body over the limit, or not of UTF-8, is an invalid request, and the connection's other users do not notice."""
    monkeypatch.setattr(serving, "MAX_BODY_BYTES", 10_000)

    async def scenario() -> None:
        async with pair() as (a, _, lab), bare(lab) as client:
            for body, why in ((b" " * 10_001, "at most 10000 bytes"), (b'"\xff"', "UTF-8"), (b'"\xe6\xbc', "UTF-8")):
                answer = (await client.post("/", content=body)).json()
                assert answer["error"]["code"] == -32600
                assert why in answer["error"]["message"]
            await send(a, message())

    run(scenario())


def test_values_for_the_sdk_are_bounded(run: RunScenario) -> None:
    """The SDK walks each value in Python; what our messages carry as text is none of its business."""

    async def scenario() -> None:
        async with pair() as (a, b, lab), bare(lab) as client:
            answer = (await client.post("/", content=b'{"x":[' + b"1," * 10_001 + b"1]}")).json()
            assert answer["error"]["code"] == -32600
            assert "at most 10000 values" in answer["error"]["message"]
            many = message().model_copy(update={"body": {"x": ["a", "b"] * 40_000}})
            await send(a, many)
            assert await b.receive_message() == many

    run(scenario())


def test_sdk_logs_nothing_of_what_peers_do_wrong(run: RunScenario, caplog: pytest.LogCaptureFixture) -> None:
    """A peer's nonsense is an everyday event here, no line on stderr."""

    async def scenario() -> None:
        async with pair() as (_, _, lab), bare(lab) as client:
            for body in (b"{", b"[]", b"[" * 100_000, json.dumps(_call("SendMessage", {})).encode()):
                await client.post("/", content=body)

    with caplog.at_level(logging.INFO):
        run(scenario())
    assert [record for record in caplog.records if record.name.startswith("a2a")] == []
