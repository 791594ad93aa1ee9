"""Agora both ways with unmodified SDK code: its sender asks a node of ours, our adapter asks its receiver."""
# mypy: disable-error-code="import-untyped"

import asyncio
import json
import logging
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from protocols import registry
from protocols.adapter import AdapterContext, Endpoint, Identity, Timeouts
from protocols.clock import MonotonicClock
from protocols.errors import PeerRejectedError, PeerUnreachableError
from protocols.message import Message
from protocols.wire import ByteCounter, counting_loop

if registry.obstacle("agora") is not None:
    pytest.skip("the SDK cannot be installed on this Python", allow_module_level=True)

from protocols.agora.adapter import AgoraAdapter
from protocols.agora.document import DOCUMENT, PROTOCOL_HASH

# isort: split
# After ours, which keeps the warnings of what the SDK imports away.
from agora.common.core import Conversation, Suitability
from agora.common.storage import JSONStorage
from agora.common.toolformers.base import Toolformer
from agora.receiver.core import Receiver
from agora.receiver.server import ReceiverServer
from agora.sender.core import Sender
from agora.sender.task_schema import TaskSchema
from agora.utils import extract_metadata
from werkzeug.serving import make_server

_HOST = "127.0.0.1"
_BOUND_S = 30.0
_TEXT = {"type": "string", "description": "JSON"}
_FORWARD = """
def run(query):
    return send_to_server(query)
"""
_RECEIPTS = """
import json

def reply(query):
    if query == "identify":
        return json.dumps({"node_id": "b", "incarnation": 5})
    return json.dumps({"received": json.loads(query)["message_id"]})
"""


class _Model(Toolformer):  # type: ignore[misc] # the SDK has no types
    """What a language model would say about our document, for the SDK's own prompts."""

    def __init__(self, verdict: str = "YES") -> None:
        self.asked: list[str] = []
        self._answers = {
            "protocolChecking": verdict,
            "programming": f"<IMPLEMENTATION>{_RECEIPTS}</IMPLEMENTATION>",
        }

    def new_conversation(self, _prompt: str, _tools: list[Any], category: str | None = None) -> Conversation:
        """One that gives the one answer."""
        self.asked.append(str(category))
        answer = self._answers[str(category)]

        class Answering(Conversation):  # type: ignore[misc]
            def __call__(self, *_message: Any, **_options: Any) -> str:
                return answer

        return Answering()


def _run(scenario: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(_BOUND_S):
            await scenario

    with asyncio.Runner(loop_factory=lambda: counting_loop(ByteCounter())) as runner:
        runner.run(bounded())


def _adapter(name: str, port: int, workspace: Path) -> AgoraAdapter:
    return AgoraAdapter(
        AdapterContext(
            Identity(name, 7),
            lambda _: Endpoint(_HOST, port),
            MonotonicClock(),
            ByteCounter(),
            workspace,
            Timeouts(connect_s=10.0, ack_s=20.0),
        )
    )


def _message(**changes: Any) -> Message:
    fields = {"message_id": "m1", "kind": "echo", "sender": "a", "recipient": "b", "traffic": "task"} | changes
    return Message.model_validate(fields)


@contextmanager
def _stock_receiver(receiver: Receiver) -> Iterator[int]:
    """The port of the SDK's server, run as ``ReceiverServer.run`` runs it."""
    server = make_server(_HOST, 0, ReceiverServer(receiver).app, threaded=True)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        yield server.port
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


@pytest.fixture(autouse=True)
def quiet_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Werkzeug's server logs each request."""
    monkeypatch.setattr(logging.getLogger("werkzeug"), "level", logging.ERROR)


@pytest.fixture
def sender(tmp_path: Path) -> Callable[[str, str], str]:
    """Asks by the SDK's own sender, with our document and the plainest of routines in its memory; blocks."""
    stock = Sender.make_default(None, storage=JSONStorage(str(tmp_path / "sender.json")))
    stock.memory.register_new_protocol(PROTOCOL_HASH, DOCUMENT, [], extract_metadata(DOCUMENT))
    stock.memory.set_default_suitability(PROTOCOL_HASH, "pass_on", Suitability.ADEQUATE)
    stock.memory.register_implementation(PROTOCOL_HASH, _FORWARD)

    def ask(target: str, query: str) -> str:
        answer: str = stock.execute_task("pass_on", TaskSchema("Pass on.", _TEXT, _TEXT), query, target)
        return answer

    return ask


def test_stock_sender_asks_our_node(tmp_path: Path, sender: Callable[[str, str], str]) -> None:
    """The SDK's sender learns who we are, delivers a message, and reads a refusal as the document has it."""

    async def scenario() -> None:
        with socket.socket() as held:
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            held.bind((_HOST, 0))
            port = held.getsockname()[1]
            b = _adapter("b", port, tmp_path / "b")
            await b.start()
            target = f"http://{_HOST}:{port}"
            who = await asyncio.to_thread(sender, target, "identify")
            assert json.loads(who) == {"node_id": "b", "incarnation": 7}
            receipt = await asyncio.to_thread(sender, target, _message().to_json().decode())
            assert json.loads(receipt) == {"received": "m1"}
            assert await b.receive_message() == _message()
            refusal = await asyncio.to_thread(sender, target, _message(recipient="c").to_json().decode())
            assert json.loads(refusal) == {"error": "this is b"}
            await b.close()

    _run(scenario())


def test_our_node_asks_a_stock_receiver_with_a_registered_routine(tmp_path: Path) -> None:
    """Connect, messages, duplicates and a probe against the SDK's server, which has no list of documents."""
    receiver = Receiver.make_default(None, storage=JSONStorage(str(tmp_path / "receiver.json")))
    receiver.memory.register_new_protocol(PROTOCOL_HASH, [], DOCUMENT, extract_metadata(DOCUMENT))
    receiver.memory.set_suitability(PROTOCOL_HASH, Suitability.ADEQUATE)
    receiver.memory.register_implementation(PROTOCOL_HASH, _RECEIPTS.replace("def reply(", "def run("))

    async def scenario(port: int) -> None:
        a = _adapter("a", port, tmp_path)
        assert await a.connect("b") == Identity("b", 5)
        await a.probe("b")
        for _ in range(3):
            await a.send_message("b", _message())
        await asyncio.gather(*(a.send_message("b", _message(message_id=f"m{number}")) for number in range(20)))
        await a.close()

    with _stock_receiver(receiver) as port:
        _run(scenario(port))


def test_stock_receiver_learns_the_document_from_us(tmp_path: Path) -> None:
    """One that never heard of it takes the document from ``protocolSources``, checks hash and use, writes a routine."""
    model = _Model()
    storage = JSONStorage(str(tmp_path / "receiver.json"))
    receiver = Receiver.make_default(model, storage=storage, implementation_threshold=0)

    async def scenario(port: int) -> None:
        a = _adapter("a", port, tmp_path)
        assert await a.connect("b") == Identity("b", 5)
        await a.send_message("b", _message())
        await a.close()

    with _stock_receiver(receiver) as port:
        _run(scenario(port))
    assert receiver.memory.get_protocol(PROTOCOL_HASH).protocol_document == DOCUMENT
    assert model.asked == ["protocolChecking", "programming"]


def test_stock_receiver_that_cannot_use_the_document_rejects_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The SDK's errors come with HTTP 200; they reach us as a refusal that says why."""
    receiver = Receiver.make_default(_Model("NO"), storage=JSONStorage(str(tmp_path / "receiver.json")))

    async def scenario(port: int) -> None:
        a = _adapter("a", port, tmp_path)
        with pytest.raises(PeerRejectedError, match="not suitable for execution"):
            await a.connect("b")
        await a.close()

    with _stock_receiver(receiver) as port:
        _run(scenario(port))
    capfd.readouterr()  # the SDK prints the stack trace of each refusal


def test_stock_receiver_that_is_gone_is_unreachable(tmp_path: Path) -> None:
    """A server that was shut down is missed by probe and message."""
    receiver = Receiver.make_default(None, storage=JSONStorage(str(tmp_path / "receiver.json")))
    with _stock_receiver(receiver) as port:
        pass

    async def scenario() -> None:
        a = _adapter("a", port, tmp_path)
        for call in (a.probe("b"), a.send_message("b", _message())):
            with pytest.raises(PeerUnreachableError):
                await call
        await a.close()

    _run(scenario())
