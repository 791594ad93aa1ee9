"""Watches idle connections for the end of a peer, where the detector's mode asks for it."""

import asyncio
import contextlib
import contextvars
from collections.abc import Callable

from agent.heartbeat import HeartbeatMonitor, Spawn
from agent.mesh import MeshNetwork
from agent.settings import DetectorSettings
from protocols.adapter import BaseProtocolAdapter
from protocols.clock import Clock
from protocols.errors import ProtocolError
from protocols.message import Traffic
from protocols.wire import End, classify


class LinkWatcher:
    """Mode ``tcp``: one idle connection per link that the lab holds and reads. Mode ``native``: the protocol's own."""

    def __init__(
        self,
        settings: DetectorSettings,
        adapter: BaseProtocolAdapter,
        mesh: MeshNetwork,
        heartbeat: HeartbeatMonitor,
        clock: Clock,
        spawn: Spawn,
    ) -> None:
        self._settings = settings
        self._adapter = adapter
        self._mesh = mesh
        self._heartbeat = heartbeat
        self._clock = clock
        self._spawn = spawn
        self._watched: dict[str, None] = {}
        if settings.mode in ("tcp", "native"):
            mesh.linked = self._linked

    def _linked(self, peer: str) -> None:
        if peer not in self._watched:
            self._watched[peer] = None
            self._spawn(self._watch_while_linked(peer))

    async def _watch_while_linked(self, peer: str) -> None:
        try:
            while peer in self._mesh.links:
                await (self._watch_idle(peer) if self._settings.mode == "tcp" else self._watch_natively(peer))
                await self._clock.sleep(self._settings.interval_s)
        except NotImplementedError:
            return  # the protocol keeps nothing open by itself; only probes and requests tell
        finally:
            del self._watched[peer]

    async def _watch_natively(self, peer: str) -> None:
        end = None
        with contextlib.suppress(ProtocolError):  # a watch that breaks is evidence too
            end = (await self._adapter.watch(peer)).end
        self._heartbeat.watch_broke(peer, "watch", end)

    async def _watch_idle(self, peer: str) -> None:
        """Return when the connection has ended or cannot be made; no byte is ever sent on it."""
        endpoint = self._adapter.context.resolve(peer)
        loop = asyncio.get_running_loop()
        # What follows from the end is no business of this connection, and not of its class of traffic.
        outside = contextvars.copy_context()
        with classify(Traffic.HEARTBEAT, peer):
            try:
                async with asyncio.timeout(self._adapter.context.timeouts.connect_s):
                    transport, idle = await loop.create_connection(
                        lambda: _Idle(
                            self._clock, lambda end: outside.run(self._heartbeat.watch_broke, peer, "tcp", end)
                        ),
                        endpoint.host,
                        endpoint.port,
                    )
            except (OSError, TimeoutError, ProtocolError):
                self._heartbeat.watch_broke(peer, "tcp", None)
                return
        try:
            await idle.over.wait()
        finally:
            idle.over.set()  # what we close ourselves is nobody's end
            transport.close()


class _Idle(asyncio.Protocol):
    """A connection on which nothing is said. Its end is told in the very callback that reads it.

    A stream's reader would wake a task, which has its turn after all that the loop has ready by then; when a peer dies
    that is much.
    """

    def __init__(self, clock: Clock, tell: Callable[[End], None]) -> None:
        self.over = asyncio.Event()
        self._clock = clock
        self._tell = tell
        self._ports = (0, 0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember its ports: a reset connection does not know them any more."""
        self._ports = transport.get_extra_info("sockname")[1], transport.get_extra_info("peername")[1]

    def eof_received(self) -> None:
        """The other side has hung up."""
        self._ended()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - a reset says the same as an EOF
        """It was reset, or it ends after its EOF."""
        self._ended()

    def _ended(self) -> None:
        if not self.over.is_set():
            self.over.set()
            self._tell(End(self._clock.now(), *self._ports))
