"""A2A: the SDK's own client, unmodified, talks to a node of ours."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from a2a.client import Client, ClientConfig, create_client
from a2a.helpers.proto_helpers import get_artifact_text, get_message_text
from a2a.types import (
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

from protocols.a2a.adapter import A2AAdapter
from protocols.a2a.codec import EXTENSION
from tests.ports import reserved_port

from .a2a_ends import BINDINGS, HOST, adapter, result, run


@pytest.fixture(params=BINDINGS)
def binding(request: pytest.FixtureRequest) -> str:
    """Each transport that we speak."""
    name: str = request.param
    return name


@asynccontextmanager
async def _our_node(binding: str) -> AsyncIterator[tuple[A2AAdapter, Callable[..., Coroutine[Any, Any, Client]]]]:
    """A node ``b`` of ours, and a maker of the SDK's clients for it, by discovery; streaming or not."""
    with reserved_port() as port:
        node = adapter(binding, "b", {"b": port})
        await node.start()
        async with httpx.AsyncClient(timeout=httpx.Timeout(5, read=20)) as http:

            async def client(*, streaming: bool) -> Client:
                config = ClientConfig(streaming=streaming, httpx_client=http, supported_protocol_bindings=[binding])
                return await create_client(f"http://{HOST}:{port}", config)

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

    run(scenario())


def test_stock_client_streams_a_request(binding: str) -> None:
    """Task, artifact, completed: the first event comes before the work, the last with its result."""

    async def scenario() -> None:
        async with _our_node(binding) as (node, client):
            stream = (await client(streaming=True)).send_message(_lab_message("r1", "request", '{"task": "q1"}'))
            first = await anext(stream)
            assert first.task.status.state == TaskState.TASK_STATE_SUBMITTED
            taken = await node.receive_message()
            await node.send_message("stranger", result(taken, ok=True))
            rest = await _events(stream)
            assert _kinds(rest) == ["artifact_update", "status_update"]
            assert get_artifact_text(rest[0].artifact_update.artifact) == '{"ok":true}'
            assert rest[1].status_update.status.state == TaskState.TASK_STATE_COMPLETED

    run(scenario())


def test_stock_client_subscribes_and_fetches(binding: str) -> None:
    """A second stream of a running task begins with a snapshot; a finished task is fetched, not subscribed to."""

    async def scenario() -> None:
        async with _our_node(binding) as (node, client):
            streaming = await client(streaming=True)
            stream = streaming.send_message(_lab_message("r1", "request", "{}"))
            task_id = (await anext(stream)).task.id
            subscription = streaming.subscribe(SubscribeToTaskRequest(id=task_id))
            assert (await anext(subscription)).task.status.state == TaskState.TASK_STATE_SUBMITTED
            await node.send_message("stranger", result(await node.receive_message(), n=1))
            assert _kinds(await _events(subscription)) == _kinds(await _events(stream))
            task = await streaming.get_task(GetTaskRequest(id=task_id))
            assert [get_artifact_text(artifact) for artifact in task.artifacts] == ['{"n":1}']
            with pytest.raises(UnsupportedOperationError):
                await anext(streaming.subscribe(SubscribeToTaskRequest(id=task_id)))
            with pytest.raises(TaskNotFoundError):
                await streaming.get_task(GetTaskRequest(id="nothing"))

    run(scenario())


def test_stock_client_waits_for_a_request(binding: str) -> None:
    """Without streaming, the answer to a request is its finished task; or its task at once, if so configured."""

    async def scenario() -> None:
        async with _our_node(binding) as (node, client):
            unary = await client(streaming=False)
            waiting = asyncio.create_task(_events(unary.send_message(_lab_message("r1", "request", "{}"))))
            await node.send_message("stranger", result(await node.receive_message(), n=2))
            ((answer,),) = [await waiting]
            assert answer.task.status.state == TaskState.TASK_STATE_COMPLETED
            assert get_artifact_text(answer.task.artifacts[0]) == '{"n":2}'
            hasty = _lab_message("r2", "request", "{}")
            hasty.configuration.return_immediately = True
            (receipt,) = await _events(unary.send_message(hasty))
            assert receipt.task.status.state == TaskState.TASK_STATE_SUBMITTED

    run(scenario())


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

    run(scenario())
