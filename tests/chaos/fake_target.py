"""A target that only pretends, and keeps what it was told."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from pydantic import JsonValue

from chaos.links.shape import Bend
from protocols.errors import FaultError

Event = tuple[str, dict[str, JsonValue]]


@dataclass
class FakeTarget:
    """Does what it is told and writes it into ``log``, where the recorded events go too."""

    log: list[Event] = field(default_factory=list)
    signals: dict[str, int] = field(default_factory=dict)
    """Signal by which a node dies, 9 if it is not named here."""
    immortal: str = ""
    reason: str | None = None
    refusal: str = ""
    bends: dict[str, Bend] = field(default_factory=dict)

    def record(self, ev: str, *, at: float | None = None, **fields: JsonValue) -> None:
        """Stand in for the journal."""
        assert at is None
        self.log.append((ev, fields))

    def available(self, _fault: str) -> str | None:
        """Answer as the test wants."""
        return self.reason

    async def authorise(self, _victims: Sequence[str]) -> None:
        """Refuse if the test wants."""
        if self.refusal:
            raise FaultError(self.refusal)

    async def kill(self, node: str) -> None:
        """Pretend."""
        self.log.append(("sent", {"victim": node}))

    async def wait_dead(self, node: str, timeout_s: float) -> int:
        """Give the other kills the chance to be later than this proof."""
        await asyncio.sleep(0)
        if node == self.immortal:
            raise FaultError(f"{node} outlived {timeout_s} s")
        return self.signals.get(node, 9)

    async def restart(self, node: str) -> None:
        """Pretend."""
        if node == self.immortal:
            raise FaultError(f"{node} does not start")
        self.log.append(("restarted", {"victim": node}))

    async def stop(self, node: str) -> None:
        """Pretend."""
        self._do("stopped", node)

    async def pause(self, node: str) -> None:
        """Pretend."""
        self._do("frozen", node)

    async def resume(self, node: str) -> None:
        """Pretend."""
        self._do("thawed", node)

    async def cut(self, node: str) -> None:
        """Pretend."""
        self._do("cut off", node)

    async def mend(self, node: str) -> None:
        """Pretend."""
        self._do("put back", node)

    async def bend(self, name: str, node: str, bend: Bend) -> None:
        """Pretend, and keep how."""
        self._do(f"{name} bent", node)
        self.bends[node] = bend

    async def unbend(self, name: str, node: str) -> None:
        """Pretend."""
        self._do(f"{name} unbent", node)

    async def squeeze(self, node: str, cpus: float | None) -> None:
        """Pretend."""
        self._do(f"given {cpus} CPUs", node)

    async def limit_memory(self, node: str, spare_mib: float | None) -> None:
        """Pretend."""
        self._do(f"left {spare_mib} MiB", node)

    def _do(self, what: str, node: str) -> None:
        if node == self.immortal:
            raise FaultError(f"{node} resists")
        self.log.append((what, {"victim": node}))
