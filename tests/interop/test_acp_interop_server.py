"""ACP: our adapter talks to the SDK's own server, unmodified."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from acp_sdk.models import Message as AcpMessage
from acp_sdk.models import Metadata
from acp_sdk.server import Context, Server

from protocols.acp.adapter import AcpAdapter
from protocols.adapter import Identity
from protocols.errors import IdentityError, PeerRejectedError
from protocols.message import Message
from tests.ports import reserved_port

from .acp_ends import HOST, adapter, message, part, result, run


def _stock_server(taken: list[Message], go_on: asyncio.Event) -> Server:
    """The SDK's server with an agent written as its documentation shows it."""
    server = Server()

    @server.agent(name="agent-2", metadata=Metadata.model_validate({"node_id": "agent_2", "incarnation": 5}))
    async def node(input: list[AcpMessage], context: Context) -> AsyncIterator[Any]:  # noqa: A002, ARG001
        message = Message.from_json(str(input[0].parts[0].content))
        taken.append(message)
        if message.kind == "request":
            yield {"progress": "thinking"}
            await go_on.wait()
            yield AcpMessage(role="agent", parts=[part(result(message))])

    @server.agent(name="agent-4")
    async def anonymous(input: list[AcpMessage]) -> None:  # noqa: A002
        raise ValueError(f"expected nothing, got {len(input)} messages")

    return server


@asynccontextmanager
async def _stock_peer() -> AsyncIterator[tuple[AcpAdapter, list[Message], asyncio.Event]]:
    """The SDK's stock server, and an adapter of ours that knows it under two names."""
    taken: list[Message] = []
    go_on = asyncio.Event()
    with reserved_port() as port:
        server = _stock_server(taken, go_on)
        serving = asyncio.create_task(
            server.serve(
                host=HOST,
                port=port,
                self_registration=False,
                configure_logger=False,
                configure_telemetry=False,
                log_config=None,
                access_log=False,
                ws="none",
                timeout_graceful_shutdown=1,
            )
        )
        made = adapter("agent_1", {"agent_2": port, "agent_3": port, "agent_4": port})
        try:
            while not (server.server and server.server.started):
                assert not serving.done()
                await asyncio.sleep(0)
            yield made, taken, go_on
        finally:
            await made.close()
            server.should_exit = True
            await serving
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()  # what the SDK's own store leaves behind


def test_our_adapter_links_to_a_stock_server() -> None:
    """Ping and manifest; an agent that is not there, or does not say who it is, is not taken for the peer."""

    async def scenario() -> None:
        async with _stock_peer() as (ours, _, _):
            assert await ours.connect("agent_2") == Identity("agent_2", 5)
            await ours.probe("agent_2")
            with pytest.raises(IdentityError):
                await ours.connect("agent_3")
            with pytest.raises(PeerRejectedError):
                await ours.connect("agent_4")

    run(scenario)


def test_our_messages_are_runs_of_a_stock_server() -> None:
    """A plain message is a synchronous run; one that fails is no receipt."""

    async def scenario() -> None:
        async with _stock_peer() as (ours, taken, _):
            sent = message("echo", "m1", body={"text": "grüße"})
            await ours.send_message("agent_2", sent)
            assert taken == [sent]
            with pytest.raises(PeerRejectedError, match="expected nothing"):
                await ours.send_message("agent_4", message("echo", "m2"))

    run(scenario)


def test_our_request_streams_a_run_of_a_stock_server() -> None:
    """The receipt comes while the agent still works; its output comes as the result."""

    async def scenario() -> None:
        async with _stock_peer() as (ours, taken, go_on):
            request = message("request", "m1", body={"task": "t1"})
            await ours.send_message("agent_2", request)
            while not taken:  # noqa: ASYNC110 - the agent runs after the receipt
                await asyncio.sleep(0)
            assert taken == [request]
            go_on.set()
            assert await ours.receive_message() == result(request)

    run(scenario)
