"""Plain JSON over HTTP as its two libraries' documentation shows it: FastAPI takes a model, httpx posts it."""

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI
from pydantic import BaseModel

from benchmarks.serving import HOST, serving


class _Posted(BaseModel):
    message_id: str
    kind: str
    sender: str
    recipient: str
    traffic: str
    body: dict[str, Any] = {}


def serve(port: int) -> AbstractAsyncContextManager[None]:
    """One route that takes a message and says 202."""
    app = FastAPI()
    inbox: deque[_Posted] = deque(maxlen=1000)

    @app.post("/messages", status_code=httpx.codes.ACCEPTED)
    async def take(posted: _Posted) -> None:
        inbox.append(posted)

    return serving(app, port)


@asynccontextmanager
async def open_client(port: int) -> AsyncIterator[Callable[[bytes], Awaitable[None]]]:
    """A function that posts one message on a kept client."""
    headers = {"Content-Type": "application/json"}
    async with httpx.AsyncClient(base_url=f"http://{HOST}:{port}", headers=headers, timeout=30) as client:

        async def post(payload: bytes) -> None:
            answer = await client.post("/messages", content=payload)
            answer.raise_for_status()

        yield post
