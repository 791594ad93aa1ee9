"""Watches connections for the end of a peer, where the detector's mode asks for it: idle ones, or the protocol's."""

from contextvars import copy_context

from agent.heartbeat import HeartbeatMonitor
from agent.idle import dial
from agent.mesh import MeshNetwork
from agent.settings import DetectorSettings
from agent.spawn import Spawn
from protocols.adapter import BaseProtocolAdapter, Broken
from protocols.clock import Clock
from protocols.errors import ProtocolError


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
        outside = copy_context()
        failed: list[Exception] = []

        def tell(broken: Broken) -> None:
            # Called from within the stream: what follows is no business of it, and an error in that none of the peer's.
            try:
                outside.run(self._heartbeat.watch_broke, peer, "watch", broken.end)
            except Exception as error:  # noqa: BLE001 - it is raised below
                failed.append(error)

        try:
            await self._adapter.watch(peer, tell)
        except ProtocolError:  # that it cannot be watched is evidence too
            self._heartbeat.watch_broke(peer, "watch", None)
        for error in failed:
            raise error

    async def _watch_idle(self, peer: str) -> None:
        """Return when the connection has ended or cannot be made; no byte is ever sent on it."""
        try:
            idle = await dial(
                self._adapter, peer, self._clock, lambda end: self._heartbeat.watch_broke(peer, "tcp", end)
            )
        except (OSError, TimeoutError, ProtocolError):
            self._heartbeat.watch_broke(peer, "tcp", None)
            return
        try:
            await idle.ended()
        finally:
            idle.close()
