"""ACP: the SDK's own client, unmodified, talks to a node of ours."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from acp_sdk.client import Client
from acp_sdk.models import ACPError, Run, RunCompletedEvent, RunCreatedEvent, RunMode, RunStatus, Session

from protocols.acp.adapter import AcpAdapter
from tests.ports import reserved_port

from .acp_ends import HOST, adapter, message, part, result, run


def _said(run: Run) -> Any:
    (message,) = run.output
    (part,) = message.parts
    assert message.role == "agent/agent-2"
    assert part.content is not None
    return json.loads(part.content)


@asynccontextmanager
async def _our_node() -> AsyncIterator[tuple[AcpAdapter, Client]]:
    """A node of ours, and the SDK's client as its documentation shows it."""
    with reserved_port() as port:
        node = adapter("agent_2", {"agent_2": port})
        await node.start()
        try:
            async with Client(
                base_url=f"http://{HOST}:{port}", headers={"Content-Type": "application/json"}, timeout=20
            ) as client:
                yield node, client
        finally:
            await node.close()


def test_stock_client_finds_our_node() -> None:
    """Ping, the list of agents, and the manifest."""

    async def scenario() -> None:
        async with _our_node() as (_, client):
            await client.ping()
            assert "agent-2" in [agent.name async for agent in client.agents()]
            manifest = await client.agent(name="agent-2")
            assert (manifest.metadata.model_extra or {})["node_id"] == "agent_2"
            with pytest.raises(ACPError, match="not found"):
                await client.agent(name="agent-3")

    run(scenario)


@pytest.mark.parametrize("mode", RunMode)
def test_stock_client_sends_a_message_in_each_mode(mode: RunMode) -> None:
    """Sync, async and stream: the run of a plain message is completed, and the message has arrived."""

    async def scenario() -> None:
        async with _our_node() as (node, client):
            sent = message("echo", "m1", body={"text": "grüße"})
            match mode:
                case RunMode.SYNC:
                    assert (await client.run_sync(part(sent), agent="agent-2")).status is RunStatus.COMPLETED
                case RunMode.ASYNC:
                    run = await client.run_async(part(sent), agent="agent-2")
                    assert run.status is RunStatus.CREATED
                case RunMode.STREAM:
                    events = [event async for event in client.run_stream(part(sent), agent="agent-2")]
                    assert [event.type for event in events] == ["run.created", "run.in-progress", "run.completed"]
            assert await node.receive_message() == sent

    run(scenario)


def test_stock_client_gets_the_result_of_a_request_in_each_mode() -> None:
    """The node's result ends the run: in the answer, in status and events, in the stream."""

    async def scenario() -> None:
        async with _our_node() as (node, client):

            async def work() -> None:
                for _ in RunMode:
                    request = await node.receive_message()
                    await node.send_message("agent_1", result(request))

            working = asyncio.create_task(work())
            sync = await client.run_sync(part(message("request", "m1")), agent="agent-2")
            assert _said(sync)["in_reply_to"] == "m1"
            events = [event async for event in client.run_stream(part(message("request", "m2")), agent="agent-2")]
            assert isinstance(events[0], RunCreatedEvent)
            assert isinstance(events[-1], RunCompletedEvent)
            assert _said(events[-1].run)["in_reply_to"] == "m2"
            later = await client.run_async(part(message("request", "m3")), agent="agent-2")
            await working
            while not (status := await client.run_status(run_id=later.run_id)).status.is_terminal:
                pass
            assert status.status is RunStatus.COMPLETED
            assert _said(status)["in_reply_to"] == "m3"
            types = [event.type async for event in client.run_events(run_id=later.run_id)]
            assert types[0] == "run.created"
            assert types[-1] == "run.completed"

    run(scenario)


def test_stock_client_keeps_a_session() -> None:
    """The SDK's sessions work: the node keeps the history, and the client can read it."""

    async def scenario() -> None:
        async with _our_node() as (node, client), client.session(Session()) as talk:
            for number in ("m1", "m2"):
                sent = message("echo", number)
                await talk.run_sync(part(sent), agent="agent-2")
                assert await node.receive_message() == sent
            session = await talk.refresh_session()
            history = [message async for message in session.load_history()]
            assert [json.loads(str(message.parts[0].content))["message_id"] for message in history] == ["m1", "m2"]

    run(scenario)


def test_stock_client_cancels_a_run() -> None:
    """A run that goes on can be cancelled, and its result is then wanted by nobody."""

    async def scenario() -> None:
        async with _our_node() as (node, client):
            stream = client.run_stream(part(message("request", "m1")), agent="agent-2")
            created = await anext(stream)
            assert isinstance(created, RunCreatedEvent)
            await node.receive_message()
            await client.run_cancel(run_id=created.run.run_id)
            assert [event.type async for event in stream][-1] == "run.cancelled"
            await node.send_message("agent_1", result(message("request", "m1")))
            assert (await client.run_status(run_id=created.run.run_id)).output == []

    run(scenario)


def test_stock_client_is_refused_in_the_words_of_acp() -> None:
    """Plain text is no message of the lab; the client raises what the node said."""

    async def scenario() -> None:
        async with _our_node() as (_, client):
            with pytest.raises(ACPError, match="one part named fail-storm") as caught:
                await client.run_sync("hello", agent="agent-2")
            assert caught.value.error.code == "invalid_input"

    run(scenario)
