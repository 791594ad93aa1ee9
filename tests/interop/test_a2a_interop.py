"""A2A: the SDK's own client talks to a node of ours, and our adapter talks to a server of the SDK."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from protocols.a2a.adapter import A2AAdapter, A2ARestAdapter
from protocols.a2a.codec import EXTENSION
from protocols.adapter import AdapterContext, Endpoint, Identity, Timeouts
from protocols.clock import MonotonicClock
from protocols.errors import PeerRejectedError
from protocols.message import Message
from protocols.serving import AsgiServer
from protocols.wire import ByteCounter, counting_loop, listen

# isort: split
from a2a.client import Client, ClientConfig, create_client
from a2a.helpers.proto_helpers import get_artifact_text, get_message_text, new_task_from_user_message, new_text_message
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
    GetTaskRequest,
    Part,
    Role,
    SendMessageRequest,
    StreamResponse,
    SubscribeToTaskRequest,
    TaskState,
)
from a2a.types import Message as A2AMessage
from a2a.utils.errors import TaskNotFoundError, UnsupportedOperationError
from starlette.applications import Starlette

_HOST = "127.0.0.1"
_BOUND_S = 30.0
_BINDINGS = {"JSONRPC": A2AAdapter, "HTTP+JSON": A2ARestAdapter}


@pytest.fixture(params=_BINDINGS)
def binding(request: pytest.FixtureRequest) -> str:
    """Each transport that we speak."""
    name: str = request.param
    return name


@contextmanager
def _port() -> Iterator[int]:
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((_HOST, 0))
        yield held.getsockname()[1]


def _run(scenario: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(_BOUND_S):
            await scenario

    with asyncio.Runner(loop_factory=lambda: counting_loop(ByteCounter())) as runner:
        runner.run(bounded())


def _adapter(binding: str, name: str, ports: dict[str, int]) -> A2AAdapter:
    return _BINDINGS[binding](
        AdapterContext(
            Identity(name, 3),
            lambda peer: Endpoint(_HOST, ports[peer]),
            MonotonicClock(),
            ByteCounter(),
            Path(),
            Timeouts(10, 10),
        )
    )


@asynccontextmanager
async def _our_node(binding: str) -> AsyncIterator[tuple[A2AAdapter, Callable[..., Coroutine[Any, Any, Client]]]]:
    """A node ``b`` of ours, and a maker of the SDK's clients for it, by discovery; streaming or not."""
    with _port() as port:
        node = _adapter(binding, "b", {"b": port})
        await node.start()
        async with httpx.AsyncClient(timeout=httpx.Timeout(5, read=20)) as http:

            async def client(*, streaming: bool) -> Client:
                config = ClientConfig(streaming=streaming, httpx_client=http, supported_protocol_bindings=[binding])
                return await create_client(f"http://{_HOST}:{port}", config)

            try:
                yield node, client
            finally:
                await node.close()


def _lab_message(message_id: str, kind: str, body: str) -> SendMessageRequest:
    """A message of the lab, written by hand with nothing but the SDK."""
    envelope = {"kind": kind, "sender": "stranger", "recipient": "b", "traffic": "task"}
    return SendMessageRequest(
        message=A2AMessage(
            message_id=message_id,
            role=Role.ROLE_USER,
            parts=[Part(text=body, media_type="application/json")],
            metadata={EXTENSION: envelope},
        )
    )


def _text(message_id: str, text: str, **fields: str) -> SendMessageRequest:
    message = A2AMessage(message_id=message_id, role=Role.ROLE_USER, parts=[Part(text=text)], **fields)
    return SendMessageRequest(message=message)


async def _events(stream: AsyncIterator[StreamResponse]) -> list[StreamResponse]:
    return [event async for event in stream]


def _kinds(events: list[StreamResponse]) -> list[str | None]:
    return [event.WhichOneof("payload") for event in events]


def test_stock_client_sends_a_message(binding: str) -> None:
    """It gets a message as receipt, and the node has the message in its inbox."""

    async def scenario() -> None:
        async with _our_node(binding) as (node, client):
            (answer,) = await _events(
                (await client(streaming=False)).send_message(_lab_message("m1", "echo", '{"n": 1}'))
            )
            assert answer.message.role == Role.ROLE_AGENT
            assert answer.message.context_id
            taken = await node.receive_message()
            assert (taken.message_id, taken.kind, taken.sender, taken.body) == ("m1", "echo", "stranger", {"n": 1})

    _run(scenario())


def test_stock_client_streams_a_request(binding: str) -> None:
    """Task, artifact, completed: the first event comes before the work, the last with its result."""

    async def scenario() -> None:
        async with _our_node(binding) as (node, client):
            stream = (await client(streaming=True)).send_message(_lab_message("r1", "request", '{"task": "q1"}'))
            first = await anext(stream)
            assert first.task.status.state == TaskState.TASK_STATE_SUBMITTED
            taken = await node.receive_message()
            await node.send_message("stranger", _result(taken, ok=True))
            rest = await _events(stream)
            assert _kinds(rest) == ["artifact_update", "status_update"]
            assert get_artifact_text(rest[0].artifact_update.artifact) == '{"ok":true}'
            assert rest[1].status_update.status.state == TaskState.TASK_STATE_COMPLETED

    _run(scenario())


def test_stock_client_subscribes_and_fetches(binding: str) -> None:
    """A second stream of a running task begins with a snapshot; a finished task is fetched, not subscribed to."""

    async def scenario() -> None:
        async with _our_node(binding) as (node, client):
            streaming = await client(streaming=True)
            stream = streaming.send_message(_lab_message("r1", "request", "{}"))
            task_id = (await anext(stream)).task.id
            subscription = streaming.subscribe(SubscribeToTaskRequest(id=task_id))
            assert (await anext(subscription)).task.status.state == TaskState.TASK_STATE_SUBMITTED
            await node.send_message("stranger", _result(await node.receive_message(), n=1))
            assert _kinds(await _events(subscription)) == _kinds(await _events(stream))
            task = await streaming.get_task(GetTaskRequest(id=task_id))
            assert [get_artifact_text(artifact) for artifact in task.artifacts] == ['{"n":1}']
            with pytest.raises(UnsupportedOperationError):
                await anext(streaming.subscribe(SubscribeToTaskRequest(id=task_id)))
            with pytest.raises(TaskNotFoundError):
                await streaming.get_task(GetTaskRequest(id="nothing"))

    _run(scenario())


def test_stock_client_waits_for_a_request(binding: str) -> None:
    """Without streaming, the answer to a request is its finished task; or its task at once, if so configured."""

    async def scenario() -> None:
        async with _our_node(binding) as (node, client):
            unary = await client(streaming=False)
            waiting = asyncio.create_task(_events(unary.send_message(_lab_message("r1", "request", "{}"))))
            await node.send_message("stranger", _result(await node.receive_message(), n=2))
            ((answer,),) = [await waiting]
            assert answer.task.status.state == TaskState.TASK_STATE_COMPLETED
            assert get_artifact_text(answer.task.artifacts[0]) == '{"n":2}'
            hasty = _lab_message("r2", "request", "{}")
            hasty.configuration.return_immediately = True
            (receipt,) = await _events(unary.send_message(hasty))
            assert receipt.task.status.state == TaskState.TASK_STATE_SUBMITTED

    _run(scenario())


def test_stock_client_says_hello(binding: str) -> None:
    """A plain text, which is nothing to the lab, is answered politely by a finished task and kept from the inbox."""

    async def scenario() -> None:
        async with _our_node(binding) as (node, client):
            for streaming in (False, True):
                events = await _events((await client(streaming=streaming)).send_message(_text("m1", "hello")))
                task = await (await client(streaming=streaming)).get_task(GetTaskRequest(id=events[0].task.id))
                assert task.status.state == TaskState.TASK_STATE_COMPLETED
                assert "b of a Fail-Storm mesh" in get_message_text(task.status.message)
                assert [message.message_id for message in task.history] == ["m1"]
            assert node._inbox.empty()

    _run(scenario())


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
    with _port() as port, _port() as own:
        card = AgentCard(
            name="b",
            description="a stock agent",
            version="1",
            supported_interfaces=[
                AgentInterface(url=f"http://{_HOST}:{port}/rpc", protocol_binding=binding, protocol_version="1.0")
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
            Starlette(routes=[*create_agent_card_routes(card), *rpc]), listen(_HOST, port, ByteCounter())
        )
        await server.start()
        adapter = _adapter(binding, "a", {"a": own, "b": port})
        try:
            yield adapter
        finally:
            await adapter.close()
            await server.close()
            await handler.aclose()


def _message(kind: str, text: str) -> Message:
    return Message.model_validate(
        {"message_id": f"{kind}-{text}", "kind": kind, "sender": "a", "recipient": "b", "traffic": "task"}
        | {"body": {"do": text}}
    )


def _result(request: Message, **body: Any) -> Message:
    return Message.model_validate(
        {"message_id": f"x-{request.message_id}", "kind": "result", "sender": "b", "recipient": request.sender}
        | {"traffic": "task", "in_reply_to": request.message_id, "body": body}
    )


def test_our_adapter_finds_a_stock_server(binding: str) -> None:
    """Its card names it, in its only life; the conditional request for the card is answered."""

    async def scenario() -> None:
        async with _stock_server(binding) as adapter:
            assert await adapter.connect("b") == Identity("b", 0)
            await adapter.probe("b")

    _run(scenario())


def test_our_messages_are_taken_by_a_stock_server(binding: str) -> None:
    """Whatever it answers, a message or a task, is a receipt; a rejected task is none."""

    async def scenario() -> None:
        async with _stock_server(binding) as adapter:
            await adapter.connect("b")
            for answer in ("message", "task", "chunks"):
                await adapter.send_message("b", _message("echo", answer))
            with pytest.raises(PeerRejectedError, match="its task was rejected"):
                await adapter.send_message("b", _message("echo", "reject"))

    _run(scenario())


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
        async with _stock_server(binding) as adapter:
            await adapter.connect("b")
            request = _message("request", answer)
            await adapter.send_message("b", request)
            result = await adapter.receive_message()
            assert (result.kind, result.in_reply_to, result.sender, result.recipient) == (
                "result",
                request.message_id,
                "b",
                "a",
            )
            assert result.body == {"state": f"TASK_STATE_{state}", "parts": [{"text": part} for part in parts]}

    _run(scenario())
