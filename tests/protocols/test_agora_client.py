"""Agora's asking side: to whom the document is offered, and what is taken for a receipt."""

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from protocols import registry
from protocols.adapter import Identity
from protocols.errors import PeerRejectedError
from protocols.wire import ByteCounter

if registry.obstacle("agora") is not None:
    pytest.skip("the SDK cannot be installed on this Python", allow_module_level=True)

from protocols.agora.document import PROTOCOL_HASH

from .agora_nodes import adapter, message, receipts, scripted

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.mark.parametrize(
    ("wellknown", "offers"),
    [
        ((200, {PROTOCOL_HASH: ["http://x/"]}), [False, False]),
        ((200, {"another": ["http://x/"]}), [True, False]),
        ((404, {"no": "list"}), [True, False]),
    ],
    ids=["listed", "not listed", "no list"],
)
def test_document_is_offered_to_whom_it_is_new(
    run: Run, tmp_path: Path, wellknown: tuple[int, object], offers: list[bool]
) -> None:
    """The hash alone goes to a peer that lists it; others get the document with the first call, once."""

    async def scenario() -> None:
        async with scripted(receipts(wellknown)) as peer:
            a = adapter("a", {"b": peer.port}, ByteCounter(), tmp_path)
            assert await a.connect("b") == Identity("b", 3)
            await a.send_message("b", message())
            await a.close()
        assert peer.offers == offers
        assert {query["protocolHash"] for call, query in peer.asked if call == "POST /"} == {PROTOCOL_HASH}

    run(scenario())


def test_document_is_offered_again_after_a_rejection(run: Run, tmp_path: Path) -> None:
    """A peer that forgot the document gets it with the next attempt, whenever policy makes one."""
    answers: list[object] = [{"status": "error", "message": "Failed to download protocol"}]

    def answer(call: str, query: dict[str, Any]) -> tuple[int, object]:
        if call == "POST /" and query["body"] != "identify" and answers:
            return 200, answers.pop()
        return receipts((200, {PROTOCOL_HASH: ["http://x/"]}))(call, query)

    async def scenario() -> None:
        async with scripted(answer) as peer:
            a = adapter("a", {"b": peer.port}, ByteCounter(), tmp_path)
            await a.connect("b")
            with pytest.raises(PeerRejectedError, match="Failed to download protocol"):
                await a.send_message("b", message())
            await a.send_message("b", message())
            await a.close()
        assert peer.offers == [False, False, True]

    run(scenario())


@pytest.mark.parametrize(
    "answer",
    [
        (200, {"status": "error", "message": "no"}),
        (200, {"status": "failure", "error": "no"}),
        (200, {"status": "rejected"}),
        (200, {"status": "success"}),
        (200, {"status": "failure", "body": '{"received": "m1"}'}),
        (500, {"status": "success", "body": '{"received": "m1"}'}),
        (200, {"status": "success", "body": {"received": "m1"}}),
        (200, {"status": "success", "body": '{"received": "m2"}'}),
        (200, {"status": "success", "body": '{"error": "no"}'}),
        (200, {"status": "success", "body": "thanks"}),
        (200, []),
        (200, {"status": "success", "body": '{"received": "m1"}', "more": "q" * 65536}),
    ],
)
def test_only_the_receipt_is_a_receipt(run: Run, tmp_path: Path, answer: tuple[int, object]) -> None:
    """Errors come with HTTP 200 in Agora; whatever is not this message's receipt is a refusal."""

    async def scenario() -> None:
        async with scripted(lambda *_: answer) as peer:
            a = adapter("a", {"b": peer.port}, ByteCounter(), tmp_path)
            with pytest.raises(PeerRejectedError):
                await a.send_message("b", message())
            await a.close()

    run(scenario())


def test_connection_is_kept_until_connect_makes_a_new_one(run: Run, tmp_path: Path) -> None:
    """Messages and probes share one connection; each connect dials anew."""

    async def scenario() -> None:
        async with scripted(receipts((200, {PROTOCOL_HASH: ["http://x/"]}))) as peer:
            a = adapter("a", {"b": peer.port}, ByteCounter(), tmp_path)
            await a.connect("b")
            for _ in range(3):
                await a.send_message("b", message())
                await a.probe("b")
            assert peer.connections == 1
            await a.connect("b")
            assert peer.connections == 2
            await a.close()

    run(scenario())
