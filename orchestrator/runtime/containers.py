"""Agents in containers that compose has started: watched over their admin ports, hurt by the chaos service."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import ClassVar

import httpx

from agent.settings import AgentSettings
from chaos.remote import RemoteChaos
from chaos.schedule import Order
from orchestrator.roster import service_of
from orchestrator.runtime import admin_url
from protocols.clock import Clock
from protocols.errors import LabError

_POLL_S = 0.1
_LOOK_S = 1.0
_LEASE_S = 2.0
_LEASE_TIMEOUT_S = 1.0
_CHAOS_LEASE_S = 1.0
"""Three renewals before chaos heals everything by itself."""
_CHAOS_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 5.0


class ContainerRuntime:
    """All agents of one run, seen from the orchestrator's container, which cannot reach the engine itself."""

    name: ClassVar[str] = "docker"
    watch_s: ClassVar[float] = 2.0

    def __init__(
        self, agents: Sequence[AgentSettings], admin: httpx.AsyncClient, chaos: RemoteChaos, clock: Clock
    ) -> None:
        self._agents = {settings.node_id: settings for settings in agents}
        self._admin = admin
        self._chaos = chaos
        self._clock = clock
        self._leases: list[asyncio.Task[None]] = []

    async def start(self, timeout_s: float) -> None:
        """Wait until each agent answers, which from then on has its lease; raises LabError naming one that does not."""
        await self._chaos.wait_ready(_CHAOS_TIMEOUT_S)
        self._leases.append(asyncio.create_task(self._keep_chaos(), name="lease chaos"))
        deadline = self._clock.now() + timeout_s
        ready = asyncio.gather(*(self._until_ready(node, deadline) for node in self._agents))
        try:
            while not ready.done():
                await asyncio.wait([ready], timeout=_LOOK_S)
                for node, status in (await self.ended()).items():
                    raise LabError(
                        f"expected {node} to start, its container ended with exit code {status}; {_log(node)}"
                    )
        finally:
            ready.cancel()
        await ready

    async def act(self, order: Order) -> None:
        """Have the chaos service carry the order out; raises FaultError or LabError."""
        await self._chaos.act(order)

    async def ended(self) -> dict[str, int]:
        """What the engine says, as far as chaos can be asked; the containers' exit codes."""
        try:
            agents = await self._chaos.agents()
        except LabError:  # the next order will say it; a watcher's question need not end the run
            return {}
        return {
            node: state.exit_code
            for node, state in agents.items()
            if node in self._agents and not state.running and state.exit_code is not None
        }

    def last_words(self, node: str) -> str:
        """Its output is the engine's, which cannot be reached from here."""
        return _log(node)

    async def stop(self) -> None:
        """Tell all agents that the run is over and wait until they are gone; the lease ends any that do not hear."""
        for lease in self._leases:
            lease.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_TIMEOUT_S):
                await asyncio.gather(*(self._until_gone(node) for node in self._agents))

    async def _until_ready(self, node: str, deadline: float) -> None:
        url = f"{admin_url(self._agents[node])}/status"
        while self._clock.now() < deadline:
            try:
                if (await self._admin.get(url, timeout=_LEASE_TIMEOUT_S)).status_code == httpx.codes.OK:
                    self._leases.append(asyncio.create_task(self._keep_lease(node), name=f"lease {node}"))
                    return
            except httpx.TransportError:
                await self._clock.sleep(_POLL_S)
        raise LabError(f"expected {node} to serve its admin port in time, it does not; {_log(node)}")

    async def _keep_lease(self, node: str) -> None:
        url = f"{admin_url(self._agents[node])}/lease"
        while True:
            # A dead agent does not answer, a restarted one does again: whichever, nobody is told of it.
            with contextlib.suppress(httpx.TransportError):
                await self._admin.post(url, timeout=_LEASE_TIMEOUT_S)
            await self._clock.sleep(_LEASE_S)

    async def _keep_chaos(self) -> None:
        while True:
            await self._chaos.renew()
            await self._clock.sleep(_CHAOS_LEASE_S)

    async def _until_gone(self, node: str) -> None:
        url = admin_url(self._agents[node])
        with contextlib.suppress(httpx.TransportError):
            await self._admin.post(f"{url}/stop", timeout=_LEASE_TIMEOUT_S)
            while True:
                await self._clock.sleep(_POLL_S)
                await self._admin.get(f"{url}/status", timeout=_LEASE_TIMEOUT_S)


def _log(node: str) -> str:
    return f"see: docker compose logs {service_of(node)}"
