"""What waits to be taken is bounded by count and by bytes."""

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from protocols import inbox
from protocols.inbox import Inbox
from protocols.message import Message, Traffic

Run = Callable[[Coroutine[Any, Any, None]], None]


def _message(payload: str = "") -> Message:
    return Message(
        message_id="m", kind="echo", sender="a", recipient="b", traffic=Traffic.TASK, body={"payload": payload}
    )


def test_count_is_bounded(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit is not taken; what was taken comes out in its order, and makes room."""
    monkeypatch.setattr(inbox, "MAX_MESSAGES", 2)

    async def scenario() -> None:
        box = Inbox()
        assert [box.put(_message(text)) for text in "xyz"] == [True, True, False]
        assert [(await box.get()).body["payload"] for _ in range(2)] == ["x", "y"]
        assert box.empty()
        assert box.put(_message())

    run(scenario())


def test_bytes_are_bounded(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few messages fill the inbox when they are large; the one that fills it is still taken."""
    monkeypatch.setattr(inbox, "MAX_BYTES", 10_000)

    async def scenario() -> None:
        box = Inbox()
        large = _message("q" * 6_000)
        assert [box.put(large), box.put(large), box.put(_message())] == [True, True, False]
        await box.get()
        assert not box.is_full

    run(scenario())
