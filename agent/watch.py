"""Watches idle connections for the end of a peer, where the detector's mode asks for it."""

import asyncio
import contextlib

from agent.detection import Mechanism
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
        mechanism: Mechanism = "tcp" if self._settings.mode == "tcp" else "watch"
        try:
            while peer in self._mesh.links:
                end = await (self._until_eof(peer) if mechanism == "tcp" else self._until_broken(peer))
                if peer in self._mesh.links:
                    self._heartbeat.doubt(peer, mechanism, end)
                await self._clock.sleep(self._settings.interval_s)
        except NotImplementedError:
            return  # the protocol keeps nothing open by itself; only probes and requests tell
        finally:
            del self._watched[peer]

    async def _until_broken(self, peer: str) -> End | None:
        try:
            return (await self._adapter.watch(peer)).end
        except ProtocolError:  # a watch that breaks is evidence too
            return None

    async def _until_eof(self, peer: str) -> End | None:
        """Return when the connection ends, or None when it cannot be made; no byte is ever sent on it."""
        endpoint = self._adapter.context.resolve(peer)
        with classify(Traffic.HEARTBEAT, peer):
            try:
                async with asyncio.timeout(self._adapter.context.timeouts.connect_s):
                    reader, writer = await asyncio.open_connection(endpoint.host, endpoint.port)
            except (OSError, TimeoutError, ProtocolError):
                return None
        own, its = writer.get_extra_info("sockname"), writer.get_extra_info("peername")
        try:
            with contextlib.suppress(OSError):  # a reset says the same as an EOF
                while await reader.read(4096):
                    pass
            return End(self._clock.now(), own[1], its[1])
        finally:
            writer.close()
