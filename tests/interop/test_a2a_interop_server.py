"""A2A: our adapter talks to a server built with the SDK, which knows nothing of the lab."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from a2a.helpers.proto_helpers import new_task_from_user_message, new_text_message
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandlerV2
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes, create_rest_routes
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types import (
    AgentCapabilities,
    AgentCard,
    AgentInterface,
    AgentSkill,
    Part,
)
from starlette.applications import Starlette

from protocols.a2a.adapter import A2AAdapter
from protocols.adapter import Identity
from protocols.errors import PeerRejectedError
from protocols.message import Message
from protocols.serving import AsgiServer
from protocols.wire import ByteCounter, listen
from tests.ports import reserved_port

from .a2a_ends import BINDINGS, HOST, adapter, run


@pytest.fixture(params=BINDINGS)
def binding(request: pytest.FixtureRequest) -> str:
    """Each transport that we speak."""
    name: str = request.param
    return name


class _Foreign(AgentExecutor):
    """An agent that knows nothing of the lab: what it does stands in the text."""

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        """Answer by a message, a task with artifacts, a task in chunks, or a task that fails."""
        message = context.message
        if message is None or context.task_id is None or context.context_id is None:
            raise ValueError("expected a message")
        text = context.get_user_input()
        if "message" in text:
            await event_queue.enqueue_event(new_text_message("hello", context_id=context.context_id))
            return
        await event_queue.enqueue_event(new_task_from_user_message(message))
        updater = TaskUpdater(event_queue, context.task_id, context.context_id)
        if "reject" in text:
            await updater.reject()
            return
        await updater.start_work()
        for number in range(3 if "chunks" in text else 1):
            part = Part(text=f"part {number}")
            await updater.add_artifact([part], "answer", append=number > 0, last_chunk=number == 2)
        await updater.complete()

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        """Nothing takes long enough."""


@asynccontextmanager
async def _stock_server(binding: str) -> AsyncIterator[A2AAdapter]:
    """An agent ``b`` of the SDK, and our node ``a`` that knows where it is."""
    with reserved_port() as port, reserved_port() as own:
        card = AgentCard(
            name="b",
            description="a stock agent",
            version="1",
            supported_interfaces=[
                AgentInterface(url=f"http://{HOST}:{port}/rpc", protocol_binding=binding, protocol_version="1.0")
            ],
            capabilities=AgentCapabilities(streaming=True),
            default_input_modes=["text/plain"],
            default_output_modes=["text/plain"],
            skills=[AgentSkill(id="x", name="x", description="x", tags=["x"])],
        )
        handler = DefaultRequestHandlerV2(_Foreign(), InMemoryTaskStore(), card)
        rpc = (
            create_jsonrpc_routes(handler, "/rpc")
            if binding == "JSONRPC"
            else create_rest_routes(handler, path_prefix="/rpc")
        )
        server = AsgiServer(
            Starlette(routes=[*create_agent_card_routes(card), *rpc]), listen(HOST, port, ByteCounter())
        )
        await server.start()
        ours = adapter(binding, "a", {"a": own, "b": port})
        try:
            yield ours
        finally:
            await ours.close()
            await server.close()
            await handler.aclose()


def _message(kind: str, text: str) -> Message:
    return Message.model_validate(
        {"message_id": f"{kind}-{text}", "kind": kind, "sender": "a", "recipient": "b", "traffic": "task"}
        | {"body": {"do": text}}
    )


def test_our_adapter_finds_a_stock_server(binding: str) -> None:
    """Its card names it, in its only life; the conditional request for the card is answered."""

    async def scenario() -> None:
        async with _stock_server(binding) as ours:
            assert await ours.connect("b") == Identity("b", 0)
            await ours.probe("b")

    run(scenario())


def test_our_messages_are_taken_by_a_stock_server(binding: str) -> None:
    """Whatever it answers, a message or a task, is a receipt; a rejected task is none."""

    async def scenario() -> None:
        async with _stock_server(binding) as ours:
            await ours.connect("b")
            for answer in ("message", "task", "chunks"):
                await ours.send_message("b", _message("echo", answer))
            with pytest.raises(PeerRejectedError, match="its task was rejected"):
                await ours.send_message("b", _message("echo", "reject"))

    run(scenario())


@pytest.mark.parametrize(
    ("answer", "state", "parts"),
    [
        ("message", "COMPLETED", ["hello"]),
        ("task", "COMPLETED", ["part 0"]),
        ("chunks", "COMPLETED", ["part 0", "part 1", "part 2"]),
        ("reject", "REJECTED", []),
    ],
)
def test_our_requests_are_answered_by_a_stock_server(binding: str, answer: str, state: str, parts: list[str]) -> None:
    """What its task brings, in one piece or in chunks, becomes the result of the request."""

    async def scenario() -> None:
        async with _stock_server(binding) as ours:
            await ours.connect("b")
            request = _message("request", answer)
            await ours.send_message("b", request)
            result = await ours.receive_message()
            assert (result.kind, result.in_reply_to, result.sender, result.recipient) == (
                "result",
                request.message_id,
                "b",
                "a",
            )
            assert result.body == {"state": f"TASK_STATE_{state}", "parts": [{"text": part} for part in parts]}

    run(scenario())
