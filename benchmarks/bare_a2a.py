"""The bare A2A SDK doing what :meth:`send_message` does: one small message, answered by a message."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import protocols.a2a  # noqa: F401 - it switches the SDK's tracing off, for both sides of the comparison

# isort: split
import httpx
import uvicorn
from a2a.client import ClientConfig, create_client
from a2a.helpers.proto_helpers import new_text_message
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandlerV2
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes
from a2a.server.tasks import InMemoryTaskStore
from a2a.types import (
    AgentCapabilities,
    AgentCard,
    AgentInterface,
    AgentSkill,
    Message,
    Part,
    Role,
    SendMessageRequest,
)
from starlette.applications import Starlette

_HOST = "127.0.0.1"


class _Receipt(AgentExecutor):
    """Answers each message by a message."""

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        """Say that it arrived."""
        await event_queue.enqueue_event(new_text_message("taken", context_id=context.context_id))

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        """Nothing is ever under way."""


@asynccontextmanager
async def serve(port: int) -> AsyncIterator[None]:
    """An agent as the SDK's documentation builds it, on the lab's HTTP/1.1 parser, which all protocols share."""
    card = AgentCard(
        name="bare",
        description="the bare SDK",
        version="1.0.0",
        supported_interfaces=[
            AgentInterface(url=f"http://{_HOST}:{port}/", protocol_binding="JSONRPC", protocol_version="1.0")
        ],
        capabilities=AgentCapabilities(streaming=True),
        default_input_modes=["text/plain"],
        default_output_modes=["text/plain"],
        skills=[AgentSkill(id="receipt", name="receipt", description="says that it arrived", tags=["bare"])],
    )
    handler = DefaultRequestHandlerV2(_Receipt(), InMemoryTaskStore(), card)
    app = Starlette(routes=[*create_agent_card_routes(card), *create_jsonrpc_routes(handler, "/")])
    server = uvicorn.Server(uvicorn.Config(app, host=_HOST, port=port, http="h11", log_level="error", access_log=False))
    serving = asyncio.create_task(server.serve())
    try:
        while not server.started:  # noqa: ASYNC110 - uvicorn tells by a flag
            await asyncio.sleep(0.005)
        yield
    finally:
        server.should_exit = True
        await serving
        await handler.aclose()


@asynccontextmanager
async def open_client(port: int) -> AsyncIterator[Callable[[bytes], Awaitable[None]]]:
    """The SDK's client on one kept HTTP client; the payload travels as the text of a message."""
    ids = itertools.count()
    async with httpx.AsyncClient(trust_env=False) as http:
        client = await create_client(f"http://{_HOST}:{port}", ClientConfig(streaming=False, httpx_client=http))

        async def send(payload: bytes) -> None:
            message = Message(message_id=f"m{next(ids)}", role=Role.ROLE_USER, parts=[Part(text=payload.decode())])
            async for _ in client.send_message(SendMessageRequest(message=message)):
                pass

        yield send
