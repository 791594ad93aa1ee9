"""Agora's served side: documents, routine, storage and refusals, beyond what every protocol must do."""
# mypy: disable-error-code="import-untyped"

import asyncio
import json
import logging
import socket
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from protocols import inbox, registry
from protocols.adapter import Identity
from protocols.errors import PeerRejectedError
from protocols.message import Traffic
from protocols.wire import ByteCounter, classify

if registry.obstacle("agora") is not None:
    pytest.skip("the SDK cannot be installed on this Python", allow_module_level=True)

from protocols.agora import receiver
from protocols.agora.document import DOCUMENT, PROTOCOL_HASH

from .agora_nodes import HOST, adapter, message, node_b

# isort: split
# After ours, which keeps the warnings of what the SDK imports away.
from agora.utils import compute_hash, download_and_verify_protocol, encode_as_data_uri

_MIB = 1 << 20

Run = Callable[[Coroutine[Any, Any, None]], None]


def _query(body: object = None, **changes: Any) -> dict[str, Any]:
    text = message().to_json().decode() if body is None else body
    return {"protocolHash": PROTOCOL_HASH, "protocolSources": [], "body": text} | changes


@pytest.fixture
def ports() -> Iterator[dict[str, int]]:
    """Where the nodes of a test serve: ports that only who sets SO_REUSEADDR, as our listener does, can have."""
    with socket.socket() as a, socket.socket() as b:
        for held in (a, b):
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            held.bind((HOST, 0))
        yield {"a": a.getsockname()[1], "b": b.getsockname()[1]}


def test_hash_is_the_sdk_s_own() -> None:
    """The document goes by the hash that the SDK computes, and the SDK finds it in its own source."""
    assert compute_hash(DOCUMENT) == PROTOCOL_HASH
    assert download_and_verify_protocol(PROTOCOL_HASH, encode_as_data_uri(DOCUMENT)) == DOCUMENT
    assert download_and_verify_protocol(PROTOCOL_HASH, encode_as_data_uri(DOCUMENT + " ")) is None


def test_list_of_documents_leads_to_the_document(run: Run, ports: dict[str, int], tmp_path: Path) -> None:
    """``/.wellknown`` maps each hash to sources, as the specification has it; a source has what the hash says."""

    async def scenario() -> None:
        async with node_b(ports, tmp_path) as (_, bare):
            listed = await bare.get("/.wellknown")
            assert listed.status_code == 200
            assert list(listed.json()) == [PROTOCOL_HASH]
            (source,) = listed.json()[PROTOCOL_HASH]
            document = await bare.get(source)
            assert compute_hash(document.text) == PROTOCOL_HASH
            assert (await bare.get("/wellknown")).json() == listed.json()
            for condition in ("*", listed.headers["etag"]):
                alive = await bare.get("/.wellknown", headers={"if-none-match": condition})
                assert (alive.status_code, alive.content) == (304, b"")
            assert (await bare.get("/.wellknown", headers={"if-none-match": '"other"'})).status_code == 200

    run(scenario())


def test_routine_answers_as_the_document_says(run: Run, ports: dict[str, int], tmp_path: Path) -> None:
    """Who is there, a receipt, and the document's own error for what is no message, all with status success."""

    async def ask(bare: httpx.AsyncClient, body: str) -> dict[str, Any]:
        query = json.dumps(_query(body))  # httpx itself would not write half a surrogate
        answer = await bare.post("/", content=query, headers={"content-type": "application/json"})
        assert answer.status_code == 200
        assert answer.json()["status"] == "success"
        found: dict[str, Any] = json.loads(answer.json()["body"])
        return found

    async def scenario() -> None:
        async with node_b(ports, tmp_path) as (b, bare):
            assert await ask(bare, "identify") == {"node_id": "b", "incarnation": 7}
            assert await ask(bare, message().to_json().decode()) == {"received": "m1"}
            assert await b.receive_message() == message()
            for no_message in ("", "identify ", "{", "[" * 90_000, "\ud800", '{"message_id": "m1"}'):
                assert list(await ask(bare, no_message)) == ["error"]
            assert await ask(bare, message(recipient="c").to_json().decode()) == {"error": "this is b"}

    run(scenario())


_REFUSED: dict[str, tuple[int, dict[str, Any]]] = {
    "nothing": (400, {"content": b""}),
    "half": (400, {"content": b"{"}),
    "no text": (400, {"content": b"\xff"}),
    "nested": (400, {"content": b"[" * 90_000}),
    "a list": (400, {"json": [1]}),
    "no hash": (400, {"json": {"protocolSources": [], "body": ""}}),
    "no sources": (400, {"json": {"protocolHash": PROTOCOL_HASH, "body": ""}}),
    "a hash of another kind": (400, {"json": _query(protocolHash={})}),
    "an object for a body": (400, {"json": _query({"message_id": "m1"})}),
    "no JSON by its type": (415, {"json": _query(), "headers": {"content-type": "text/plain"}}),
    "too large": (413, {"content": b"q" * (32 * _MIB + 1)}),
    "natural language": (200, {"json": _query("hello", protocolHash=None)}),
    "a negotiation": (200, {"json": _query("hello", protocolHash="negotiation")}),
    "another document": (200, {"json": _query(protocolHash="x", protocolSources=[encode_as_data_uri("x")])}),
    "many rounds": (200, {"json": _query(multiround=True)}),
}


@pytest.mark.parametrize("case", _REFUSED)
def test_refusals_say_why(
    run: Run, ports: dict[str, int], tmp_path: Path, capfd: pytest.CaptureFixture[str], case: str
) -> None:
    """What cannot be served gets the SDK's form of an error, makes no noise and leaves no trace in the storage."""
    status, sent = _REFUSED[case]

    async def scenario() -> None:
        async with node_b(ports, tmp_path) as (b, bare):
            before = (tmp_path / ".agora/receiver.json").read_bytes()
            request = {"headers": {"content-type": "application/json"}} | sent
            refused = await bare.post("/", **request)
            assert refused.status_code == status
            assert refused.json().keys() == {"status", "message"}
            assert refused.json()["status"] == "error"
            assert (tmp_path / ".agora/receiver.json").read_bytes() == before
            await bare.post("/", json=_query(message(message_id="m2").to_json().decode()))
            assert (await b.receive_message()).message_id == "m2"

    run(scenario())
    assert capfd.readouterr() == ("", "")


def test_sources_are_never_fetched(run: Run, ports: dict[str, int], tmp_path: Path) -> None:
    """Nobody can have a node download something: what it has no routine for it rejects unread."""
    asked = []

    async def scenario() -> None:
        server = await asyncio.start_server(lambda *_: asked.append(1), HOST, 0)
        source = f"http://{HOST}:{server.sockets[0].getsockname()[1]}/document"
        async with server, node_b(ports, tmp_path) as (_, bare):
            refused = await bare.post("/", json=_query(protocolHash="x", protocolSources=[source]))
            assert refused.json() == {"status": "error", "message": "Protocol rejected"}

    run(scenario())
    assert asked == []


def test_other_routes_of_the_sdk(run: Run, ports: dict[str, int], tmp_path: Path) -> None:
    """Conversations of many rounds do not exist here, and the SDK's way of saying so stays."""

    async def scenario() -> None:
        async with node_b(ports, tmp_path) as (_, bare):
            nobody = await bare.post("/conversations/1", json=_query())
            assert nobody.json() == {"status": "error", "message": "Conversation not found."}
            assert (await bare.post("/conversations/1", content=b"{")).status_code in {400, 415}
            assert (await bare.delete("/conversations/1")).json() == {"status": "success"}
            wrong = await bare.get("/")
            assert wrong.status_code == 405
            assert "POST" in wrong.headers["allow"]
            assert (await bare.get("/nowhere")).json()["status"] == "error"

    run(scenario())


def test_full_inbox_refuses_until_there_is_room(
    run: Run, ports: dict[str, int], tmp_path: Path, counter: ByteCounter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that takes nothing out of its inbox says so instead of growing, and loses nothing it acknowledged."""
    monkeypatch.setattr(inbox, "MAX_MESSAGES", 2)

    async def scenario() -> None:
        a = adapter("a", ports, counter, tmp_path)
        async with node_b(ports, tmp_path) as (b, _):
            for name in ("m1", "m2"):
                await a.send_message("b", message(message_id=name))
            with pytest.raises(PeerRejectedError, match="try again"):
                await a.send_message("b", message(message_id="m3"))
            assert (await b.receive_message()).message_id == "m1"
            await a.send_message("b", message(message_id="m4"))
            assert [(await b.receive_message()).message_id for _ in range(2)] == ["m2", "m4"]
            await a.close()

    run(scenario())


def test_restarted_receiver_finds_document_and_routine(
    run: Run, ports: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was registered in one life is there in the next, from the workspace alone."""
    a = adapter("a", ports, ByteCounter(), tmp_path)

    async def live_and_serve() -> None:
        async with node_b(ports, tmp_path) as (b, _):
            await a.send_message("b", message())
            assert await b.receive_message() == message()
            await a.disconnect("b")

    run(live_and_serve())
    stored = json.loads((tmp_path / ".agora/receiver.json").read_text())["protocols"]
    assert list(stored) == [PROTOCOL_HASH]
    assert stored[PROTOCOL_HASH]["document"] == DOCUMENT
    monkeypatch.setattr(receiver, "_register", lambda _: pytest.fail("expected nothing to be registered again"))
    run(live_and_serve())


def test_kill_amid_a_write_leaves_the_old_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The storage is replaced as a whole: there is no moment at which a SIGKILL leaves half of it."""
    storage = receiver._AtomicStorage(tmp_path / "receiver.json")
    storage["protocols"] = {"x": "old"}

    def killed(_: Path, __: Path) -> None:
        raise InterruptedError

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", killed)
        with pytest.raises(InterruptedError):
            storage["protocols"] = {"x": "new"}
    assert receiver._AtomicStorage(tmp_path / "receiver.json")["protocols"] == {"x": "old"}


def test_messages_leave_the_storage_alone(run: Run, ports: dict[str, int], tmp_path: Path) -> None:
    """The SDK would rewrite its whole storage for each message served."""

    async def scenario() -> None:
        async with node_b(ports, tmp_path) as (_, bare):
            before = (tmp_path / ".agora/receiver.json").stat()
            await bare.post("/", json=_query())
            after = (tmp_path / ".agora/receiver.json").stat()
            assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)

    run(scenario())


def test_bytes_of_each_call_find_their_class_on_both_sides(
    run: Run, ports: dict[str, int], tmp_path: Path, counter: ByteCounter
) -> None:
    """Connect, a message, a probe, and a message for somebody else: client and server file them alike."""
    served = ByteCounter()

    async def scenario() -> None:
        a, b = adapter("a", ports, counter, tmp_path), adapter("b", ports, served, tmp_path)
        await b.start()
        with classify(Traffic.HANDSHAKE, "b"):
            assert await a.connect("b") == Identity("b", 7)
        with classify(Traffic.TASK, "b"):
            await a.send_message("b", message())
        with classify(Traffic.HEARTBEAT, "b"):
            await a.probe("b")
        with classify(Traffic.RETRY, "b"), pytest.raises(PeerRejectedError, match="this is b"):
            await a.send_message("b", message(recipient="c", traffic="retry"))
        await a.close()
        await b.close()

    run(scenario())
    asked = {row[2]: row[3:] for row in counter.drain()}
    assert {row[2]: row[:2:-1] for row in served.drain()} == asked
    assert list(asked) == ["handshake", "heartbeat", "retry", "task"]


def test_caller_that_dies_in_mid_message_makes_no_noise(
    run: Run, ports: dict[str, int], tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Peers die here all the time: no stack trace in the survivors' logs."""

    async def scenario() -> None:
        async with node_b(ports, tmp_path) as (_, bare):
            _, writer = await asyncio.open_connection(HOST, ports["b"])
            writer.write(b"POST / HTTP/1.1\r\nhost: b\r\ncontent-length: 100\r\n\r\n" + b"half")
            await writer.drain()
            await bare.get("/.wellknown")
            writer.close()
            await writer.wait_closed()
            await bare.get("/.wellknown")

    with caplog.at_level(logging.WARNING):
        run(scenario())
    assert caplog.messages == []
    assert capfd.readouterr() == ("", "")
