"""Request bodies are taken whole and within bounds, or refused without being read to their end."""

import http
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from starlette.responses import JSONResponse, Response

from protocols import serving
from protocols.serving import Bodies, BodyRefusedError, bounded

_LIMIT = 1_000
Run = Callable[[Coroutine[Any, Any, None]], None]


class Caller:
    """One request in chunks, as a server would hand it on, and what came back."""

    def __init__(self, *chunks: bytes, announced: int | None = None) -> None:
        self.read = 0
        self.ends = True
        self.sent: list[dict[str, Any]] = []
        self.headers = [] if announced is None else [(b"content-length", b"%d" % announced)]
        self._chunks = list(chunks)

    async def receive(self) -> dict[str, Any]:
        """The next chunk, or that the caller has gone."""
        if not self._chunks:
            return {"type": "http.disconnect"}
        self.read += 1
        return {"type": "http.request", "body": self._chunks.pop(0), "more_body": bool(self._chunks) or not self.ends}

    async def send(self, event: dict[str, Any]) -> None:
        """Take a part of the answer."""
        self.sent.append(event)

    @property
    def status(self) -> int:
        """Of the answer."""
        return int(self.sent[0]["status"])


async def _echo(_scope: Any, receive: Any, send: Any) -> None:
    event = await receive()
    assert event["more_body"] is False
    await Response(event["body"])({"type": "http"}, receive, send)


def _refuse(_scope: Any, refused: BodyRefusedError) -> Response:
    return JSONResponse({"error": str(refused), "kind": refused.kind}, status_code=refused.status)


async def _call(caller: Caller, app: Any = None) -> None:
    await (app or bounded(_echo, _refuse))({"type": "http", "headers": caller.headers}, caller.receive, caller.send)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that a test reaches."""
    monkeypatch.setattr(serving, "MAX_BODY_BYTES", _LIMIT)
    monkeypatch.setattr(serving, "_MAX_HELD_BYTES", 2 * _LIMIT)
    monkeypatch.setattr(serving, "_MAX_CONTAINERS", 100)
    monkeypatch.setattr(serving, "_MAX_VALUES", 200)


def test_body_comes_whole(run: Run) -> None:
    """However it was cut on its way, the application gets it in one event."""

    async def scenario() -> None:
        caller = Caller(b"a" * 500, b"", b"b" * 500)
        await _call(caller)
        assert (caller.status, caller.sent[1]["body"]) == (200, b"a" * 500 + b"b" * 500)

    run(scenario())


def test_announced_body_is_refused_before_it_is_read(run: Run) -> None:
    """The answer is out before the first byte is asked for, and it is the connection's last."""

    async def scenario() -> None:
        caller = Caller(b"a" * 600, b"b" * 600, announced=1_200)
        sent_at: list[int] = []
        tell = caller.send

        async def send(event: dict[str, Any]) -> None:
            sent_at.append(caller.read)
            await tell(event)

        caller.send = send  # type: ignore[method-assign]
        await _call(caller)
        assert caller.status == http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        assert sent_at[:2] == [0, 0]
        assert (b"connection", b"close") in caller.sent[0]["headers"]

    run(scenario())


@pytest.mark.parametrize(
    "body", [b"a" * (_LIMIT + 1), b"[]" * 101, b"{" * 101, b"0," * 201], ids=["long", "lists", "nested", "values"]
)
def test_too_much_is_refused(run: Run, body: bytes) -> None:
    """By size, and by what would hold up who parses it."""

    async def scenario() -> None:
        caller = Caller(body)
        await _call(caller)
        assert (caller.status, b"too_large" in caller.sent[1]["body"]) == (413, True)

    run(scenario())


def test_caller_that_leaves_is_forgotten(run: Run) -> None:
    """Half a body reaches no application and gets no answer."""

    async def scenario() -> None:
        caller = Caller(b"half")
        caller.ends = False
        await _call(caller)
        assert caller.sent == []

    run(scenario())


def test_all_callers_together_are_bounded(run: Run) -> None:
    """Bodies count until their requests have ended; who comes over the bound shall try again later."""

    async def scenario() -> None:
        bodies = Bodies()

        def reading() -> AbstractAsyncContextManager[bytes]:
            return bodies.reading({"headers": []}, Caller(b"a" * 900).receive)

        async with reading():
            async with reading():
                with pytest.raises(BodyRefusedError, match="later") as refused:
                    await reading().__aenter__()
                assert (refused.value.status, refused.value.kind) == (503, "busy")
            async with reading() as body:
                assert len(body) == 900

    run(scenario())
