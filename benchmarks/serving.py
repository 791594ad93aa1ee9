"""Serves a bare SDK's ASGI application, for every protocol in the same way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn

HOST = "127.0.0.1"


@asynccontextmanager
async def serving(app: Any, port: int, **options: Any) -> AsyncIterator[None]:
    """``app`` on ``port`` by uvicorn in the running loop; ``options`` are uvicorn's own.

    The HTTP/1.1 parser is that of the lab's adapters: the comparison is about protocols, not about parsers.
    """
    server = uvicorn.Server(
        uvicorn.Config(app, HOST, port, http="h11", ws="none", log_level="error", access_log=False, **options)
    )
    ending = asyncio.create_task(server.serve())
    try:
        while not server.started:
            if ending.done():
                await ending
            await asyncio.sleep(0.005)
        yield
    finally:
        server.should_exit = True
        await ending
