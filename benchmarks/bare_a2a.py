"""The bare A2A SDK doing what :meth:`send_message` does: one small message, answered by a message.

What is on the wire is alike: a text part, and a few words of metadata under an extension that the call declares.
"""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import protocols.a2a  # noqa: F401 - it switches the SDK's tracing off, for both sides of the comparison

# isort: split
import httpx
from a2a.client import ClientCallContext, ClientConfig, create_client
from a2a.extensions.common import HTTP_EXTENSION_HEADER
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

from benchmarks.serving import HOST, serving

_EXTENSION = "urn:example:envelope:1"
_METADATA = {_EXTENSION: '{"kind":"echo","sender":"a","recipient":"b","traffic":"task"}'}


class _Receipt(AgentExecutor):
    """Answers each message by a message."""

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        """Say that it arrived."""
        await event_queue.enqueue_event(new_text_message("taken", context_id=context.context_id))

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        """Nothing is ever under way."""


@asynccontextmanager
async def serve(port: int) -> AsyncIterator[None]:
    """An agent as the SDK's documentation builds it."""
    card = AgentCard(
        name="bare",
        description="the bare SDK",
        version="1.0.0",
        supported_interfaces=[
            AgentInterface(url=f"http://{HOST}:{port}/", protocol_binding="JSONRPC", protocol_version="1.0")
        ],
        capabilities=AgentCapabilities(streaming=True),
        default_input_modes=["text/plain"],
        default_output_modes=["text/plain"],
        skills=[AgentSkill(id="receipt", name="receipt", description="says that it arrived", tags=["bare"])],
    )
    handler = DefaultRequestHandlerV2(_Receipt(), InMemoryTaskStore(), card)
    app = Starlette(routes=[*create_agent_card_routes(card), *create_jsonrpc_routes(handler, "/")])
    try:
        async with serving(app, port):
            yield
    finally:
        await handler.aclose()


@asynccontextmanager
async def open_client(port: int) -> AsyncIterator[Callable[[bytes], Awaitable[None]]]:
    """The SDK's client on one kept HTTP client; the payload travels as the text of a message."""
    ids = itertools.count()
    async with httpx.AsyncClient(trust_env=False) as http:
        client = await create_client(f"http://{HOST}:{port}", ClientConfig(streaming=False, httpx_client=http))

        context = ClientCallContext(service_parameters={HTTP_EXTENSION_HEADER: _EXTENSION})

        async def send(payload: bytes) -> None:
            part = Part(text=payload.decode(), media_type="text/plain")
            message = Message(message_id=f"m{next(ids)}", role=Role.ROLE_USER, parts=[part], metadata=_METADATA)
            async for _ in client.send_message(SendMessageRequest(message=message), context=context):
                pass

        yield send
