"""Keeps a note of every message of one agent where a person can read it."""

from collections.abc import Callable
from typing import Literal

from pydantic import JsonValue

from protocols.clock import Clock
from protocols.message import Message

Way = Literal["sent", "failed", "received", "again"]
"""``sent``: acknowledged; ``failed``: not; ``received``; ``again``: received before, and so passed over."""

_NOTED = ("task", "step", "tool", "ok", "error")
"""Of a body: what it is about. What tasks and answers say at length stands in files of their own."""


class Mailbag:
    """One line a message; probes by a protocol's own means are no messages."""

    def __init__(self, clock: Clock, note: Callable[[dict[str, JsonValue]], None]) -> None:
        """``note`` keeps a line."""
        self._clock = clock
        self._note = note

    def note(self, way: Way, message: Message) -> None:
        """Keep one."""
        peer = message.recipient if way in ("sent", "failed") else message.sender
        line: dict[str, JsonValue] = {
            "t": round(self._clock.now(), 6),
            "way": way,
            "peer": peer,
            "kind": message.kind,
            "id": message.message_id,
        }
        if message.in_reply_to is not None:
            line["in_reply_to"] = message.in_reply_to
        if message.cause is not None:
            line["cause"] = [message.cause.victim, message.cause.request]
        about = {name: message.body[name] for name in _NOTED if name in message.body}
        self._note(line | about)
