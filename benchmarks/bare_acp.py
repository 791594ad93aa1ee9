"""The bare ACP SDK doing what ``send_message`` does with a small message: a synchronous run and its end.

Both halves are used as the SDK's documentation shows them, with the keyed store our adapter uses too; the SDK's own
store gets slower with every run (see ``protocols.acp.store``), and is measured by :func:`serve_stock`.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from acp_sdk.client import Client
from acp_sdk.models import Message, RunStatus
from acp_sdk.server import agent, create_app

from benchmarks.serving import HOST, serving
from protocols.acp.store import KeyedStore, RecentResources


@agent(name="sink")
async def _sink(input: list[Message]) -> None:  # noqa: A002 - the SDK asks for this name
    """Takes a message and has nothing to say."""
    del input


def serve(port: int) -> AbstractAsyncContextManager[None]:
    """An ACP server with one agent on ``port``, with keyed stores."""
    return serving(create_app(_sink, store=KeyedStore(), resource_store=RecentResources()), port)


def serve_stock(port: int) -> AbstractAsyncContextManager[None]:
    """The same with the SDK's own stores."""
    return serving(create_app(_sink), port)


@asynccontextmanager
async def open_client(port: int) -> AsyncIterator[Callable[[bytes], Awaitable[None]]]:
    """A function that has one message run by the agent on ``port`` and returns when the run is completed."""
    async with Client(
        base_url=f"http://{HOST}:{port}", headers={"Content-Type": "application/json"}, timeout=30
    ) as client:

        async def call(payload: bytes) -> None:
            run = await client.run_sync(payload.decode(), agent="sink")
            if run.status is not RunStatus.COMPLETED:
                raise RuntimeError(f"expected a completed run, it is {run.status}")

        yield call
