"""The chaos service over an engine that only pretends, and somebody who talks to it."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from prometheus_client import CollectorRegistry
from pydantic import JsonValue

from chaos import service
from chaos.guard import Ward
from chaos.remote import RemoteChaos
from chaos.targets.docker import DockerTarget
from chaos.telemetry import Telemetry
from protocols.clock import MonotonicClock

from .fake_engine import RUN, FakeEngine, lab_with_strangers

TOKEN = "correct-horse-battery-staple"  # noqa: S105 - opens nothing


URL = "http://chaos"


KILL_3: dict[str, JsonValue] = {"action": "inject", "fault": "kill", "victims": ["agent_3"]}


@dataclass
class Service:
    """The application over a fake engine, and a client without a token."""

    engine: FakeEngine
    http: httpx.AsyncClient
    said: list[str] = field(default_factory=list)
    signs_of_life: list[None] = field(default_factory=list)

    async def order(self, body: Any, token: str | None = TOKEN) -> httpx.Response:
        """Send an order; bytes and streams are sent as they are."""
        content = body if isinstance(body, bytes) or hasattr(body, "__aiter__") else json.dumps(body)
        return await self.http.post("/orders", content=content, headers=bearer(token))

    def remote(self, record: Any, token: str = TOKEN) -> RemoteChaos:
        """The orchestrator's side."""
        return RemoteChaos(self.http, URL, token, record, MonotonicClock())


class _Ward(Ward):
    """Counts the signs of life."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.signs_of_life: list[None] = []

    def heard(self) -> None:
        """One more."""
        self.signs_of_life.append(None)


def bearer(token: str | None) -> dict[str, str]:
    """Headers of a request."""
    return {} if token is None else {"Authorization": f"Bearer {token}"}


async def serves_again(_node: str) -> int | None:
    """Stand in for the admin port of a restarted agent."""
    return 1000


@asynccontextmanager
async def serving(engine: FakeEngine) -> AsyncIterator[Service]:
    """The service of the run."""
    clock, registry, said = MonotonicClock(), CollectorRegistry(), list[str]()
    async with DockerTarget(engine, RUN, serves_again, clock) as target:
        ward = _Ward(target.heal_all, clock, said.append)
        desk = service.Desk(target, clock, Telemetry(registry, 1_000_000.0), said.append, ward)
        app = service.application(RUN, desk, target.agents, TOKEN, registry)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=URL) as http:
            yield Service(engine, http, said, ward.signs_of_life)


def ask(talk: Callable[[Service], Awaitable[Any]], engine: FakeEngine | None = None) -> Any:
    """Let a test talk to a service; returns what it returns."""

    async def session() -> Any:
        async with serving(engine or lab_with_strangers()) as found:
            return await talk(found)

    return asyncio.run(session())
