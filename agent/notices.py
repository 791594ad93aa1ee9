"""Who is told what this agent has committed: a task's electors at once, and who comes back, what it has missed."""

import asyncio
from collections.abc import Callable, Iterable, Sequence

from pydantic import JsonValue

from agent.agreement import Agreement
from agent.exchange import JsonObject
from agent.heartbeat import Spawn
from agent.mesh import MeshNetwork
from agent.roles import Roles
from agent.settings import AgentSettings
from protocols.clock import Clock
from protocols.errors import ProtocolError
from protocols.message import Traffic

_ATTEMPTS = 4
_BACKOFF_S = 0.1


class Notices:
    """Whoever has been told of a commitment never does that task again."""

    def __init__(
        self,
        settings: AgentSettings,
        mesh: MeshNetwork,
        roles: Roles,
        agreement: Agreement,
        clock: Clock,
        spawn: Spawn,
    ) -> None:
        self._me = settings.node_id
        self._heir_count = agreement.elector_count - 1
        self._mesh = mesh
        self._roles = roles
        self._agreement = agreement
        self._clock = clock
        self._spawn = spawn
        # Since when a peer that is held for dead may not have heard of anything.
        self._missing_from: dict[str, float] = {}

    def committed(self, task: str, knowing: Sequence[str]) -> None:
        """This agent has committed ``task``, which ``knowing`` have promised it."""
        self._spawn(self.tell_heirs(task, knowing))

    def lost(self, peer: str, since: float) -> None:
        """``peer`` is held for dead, and may not have heard of anything since then."""
        self._missing_from.setdefault(peer, since)

    def returned(self, peer: str) -> None:
        """``peer`` is alive again: what has been settled without it, it need not do."""
        settled: list[JsonValue] = list(self._agreement.committed_since(self._missing_from.pop(peer, float("inf"))))
        if settled:
            self._spawn(self._tell(lambda told: [] if peer in told else [peer], {"settled": settled}))

    async def tell_heirs(self, task: str, knowing: Sequence[str] = ()) -> None:
        """As many live agents know of the commitment as are electors, who may all have promised the task but one.

        Those who know already go first: any are as good as the next on the list.
        """

        def missing(told: Iterable[str]) -> list[str]:
            known = dict.fromkeys(told)
            others = [name for name in self._roles.owners(task) if name != self._me]
            living = [name for name in others if name in self._roles.alive()]
            heirs = sorted(living, key=lambda name: name not in known)[: self._heir_count]
            return [name for name in heirs if name not in known]

        await self._tell(missing, {"task": task}, knowing)

    async def _tell(
        self, missing: Callable[[Iterable[str]], list[str]], body: JsonObject, knowing: Sequence[str] = ()
    ) -> None:
        """Send ``body`` to those who are ``missing`` beside the told ones, until it has arrived or hope is given up."""
        told = dict.fromkeys(knowing)
        for attempt in range(_ATTEMPTS):
            wanted = missing(told)
            taken = await asyncio.gather(*(self._send(name, body, again=attempt > 0) for name in wanted))
            told |= dict.fromkeys(name for name, took in zip(wanted, taken, strict=True) if took)
            if all(taken):
                return
            await self._clock.sleep(_BACKOFF_S * 2**attempt)

    async def _send(self, peer: str, body: JsonObject, *, again: bool) -> bool:
        try:
            await self._mesh.send(self._mesh.message(peer, "commit", Traffic.RETRY if again else Traffic.TASK, body))
        except ProtocolError:
            return False
        return True
