"""The lab's message: what it carries, and what it refuses."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from protocols.message import Cause, Message, Traffic

_names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=200)
_json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=20,
)
_messages = st.builds(
    Message,
    message_id=_names,
    kind=st.sampled_from(
        ["broadcast", "echo", "hello", "request", "result", "commit", "membership", "ping-req", "ping-ack"]
    ),
    sender=_names,
    recipient=_names,
    traffic=st.sampled_from(list(Traffic)),
    in_reply_to=st.none() | _names,
    cause=st.none() | st.builds(Cause, victim=_names, request=_names),
    body=st.dictionaries(st.text(st.characters(codec="utf-8")), _json_values),
)


def _fields(**changes: Any) -> dict[str, Any]:
    return {
        "message_id": "m1",
        "kind": "echo",
        "sender": "a",
        "recipient": "b",
        "traffic": "task",
    } | changes


@settings(max_examples=60, derandomize=True, database=None, deadline=None)
@given(_messages)
def test_json_and_back(message: Message) -> None:
    """A message is the same after a journey as JSON."""
    assert Message.from_json(message.to_json()) == message


def test_wire_form_is_small() -> None:
    """Fields at their default are not sent; text is UTF-8, not escapes."""
    message = Message.model_validate(_fields(body={"q": "ü"}))
    assert message.to_json() == (
        '{"message_id":"m1","kind":"echo","sender":"a","recipient":"b","traffic":"task","body":{"q":"ü"}}'.encode()
    )
    assert Message.from_json(message.to_json().decode()) == message


@pytest.mark.parametrize(
    "changes",
    [
        {"message_id": ""},
        {"message_id": "m" * 201},
        {"message_id": 1},
        {"kind": "gossip"},
        {"sender": ""},
        {"sender": "a" * 201},
        {"recipient": "b" * 201},
        {"traffic": "other"},
        {"in_reply_to": "m" * 201},
        {"cause": {"victim": "c"}},
        {"cause": {"victim": "c", "request": "r", "why": "x"}},
        {"cause": {"victim": "c" * 201, "request": "r"}},
        {"body": []},
        {"body": {"x": {1, 2}}},
        {"hops": 1},
    ],
)
def test_whatever_else_is_refused(changes: dict[str, Any]) -> None:
    """Wrong types, unknown fields and names without bound are no message."""
    assert Message.model_validate(_fields())
    with pytest.raises(ValidationError):
        Message.model_validate(_fields(**changes))


@pytest.mark.parametrize(
    "payload",
    [b"", b"null", b"[]", b'{"message_id":"m1"', b"\xff", b'{"body":' * 100_000, b'{"body":' + b"[" * 1_000_000],
)
def test_payload_that_is_no_message_is_a_validation_error(payload: bytes) -> None:
    """Broken, foreign and bottomless JSON raise one and the same error, and never exhaust the stack."""
    with pytest.raises(ValidationError):
        Message.from_json(payload)


def test_message_does_not_change() -> None:
    """Nobody who holds a message can alter what another sees."""
    message = Message.model_validate(_fields(cause={"victim": "c", "request": "r"}))
    with pytest.raises(ValidationError):
        message.sender = "x"  # type: ignore[misc]
    assert message.cause is not None
    with pytest.raises(ValidationError):
        message.cause.victim = "x"  # type: ignore[misc]
