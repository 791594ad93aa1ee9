"""Who is told what is committed: the next in line at once and whenever one who knew dies, and who comes back."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence

from pydantic import JsonValue

from agent.agreement import Agreement
from agent.mesh import MeshNetwork
from agent.roles import Roles
from agent.settings import AgentSettings
from agent.spawn import Spawn
from protocols.clock import Clock
from protocols.errors import ProtocolError
from protocols.message import Traffic

_ATTEMPTS = 4
_BACKOFF_S = 0.1

Letters = Mapping[str, Sequence[str]]
"""Who is to be told of which tasks."""


class Notices:
    """Whoever has been told of a commitment never does that task again, and sees to it that others know."""

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
        # When this agent came to know of a commitment, its own or another's, and who else knows of it for sure.
        self._settled: dict[str, float] = {}
        self._knowing: dict[str, dict[str, None]] = {}
        # Since when a peer that is held for dead may not have heard of anything.
        self._missing_from: dict[str, float] = {}
        agreement.learned = self._learned

    def committed(self, task: str, knowing: Iterable[str]) -> None:
        """This agent has committed ``task``, which ``knowing`` have promised it."""
        self._settle(task, knowing)
        self._spawn(self._tell(lambda: self._to_heirs([task])))

    def lost(self, peer: str, since: float) -> None:
        """``peer`` is held for dead, or was replaced, and may not have heard of anything since then, nor remember it.

        What was committed before then nobody takes over any more; of the rest the next in line are told, by all who
        know of it, since who has committed it may be the one that is lost.
        """
        if peer not in self._roles.alive():
            self._missing_from.setdefault(peer, since)
        orphaned = [task for task in self._settled_since(since) if peer in self._knowing[task]]
        for task in orphaned:
            del self._knowing[task][peer]
        if orphaned:
            self._spawn(self._tell(lambda: self._to_heirs(orphaned)))

    def returned(self, peer: str) -> None:
        """``peer`` is alive again: what has been settled without it, it need not do.

        In a new life it does not do what arrived before it anyway.
        """
        since = self._missing_from.pop(peer, float("inf"))
        settled = [task for task in self._settled_since(since) if self._agreement.knew(peer, task)]
        if settled:
            self._spawn(self._tell(lambda: {peer: settled}))

    def _learned(self, task: str, owner: str) -> None:
        self._settle(task, (owner,))

    def _settle(self, task: str, knowing: Iterable[str]) -> None:
        self._settled.setdefault(task, self._clock.now())
        self._knowing.setdefault(task, {}).update(dict.fromkeys(knowing))

    def _settled_since(self, t: float) -> list[str]:
        return [task for task, at in self._settled.items() if at >= t]

    def _to_heirs(self, tasks: Iterable[str]) -> Letters:
        """So many live agents are to know of a commitment as there are electors: 2r-2 beside its owner.

        Whoever was born after the task arrived does not count: it takes over no such task, and nobody asks it.
        """
        letters: dict[str, list[str]] = {}
        for task in tasks:
            known = self._knowing[task]
            others = [name for name in self._roles.alive() if name != self._me and self._agreement.knew(name, task)]
            # Those who know already go first: any are as good as the next on the list.
            living = [name for name in self._roles.owners(task) if name in others]
            heirs = sorted(living, key=lambda name: name not in known)[: self._heir_count]
            for heir in heirs:
                if heir not in known:
                    letters.setdefault(heir, []).append(task)
        return letters

    async def _tell(self, letters: Callable[[], Letters]) -> None:
        """Send what ``letters`` says, anew each time, until all of it has arrived or hope is given up."""
        for attempt in range(_ATTEMPTS):
            # Not gather: where one fails for another reason than its peer, the others end, and nothing is left unsaid.
            async with asyncio.TaskGroup() as group:
                sending = [
                    group.create_task(self._send(peer, tasks, again=attempt > 0)) for peer, tasks in letters().items()
                ]
            if all(sent.result() for sent in sending):
                return
            await self._clock.sleep(_BACKOFF_S * 2**attempt)

    async def _send(self, peer: str, tasks: Sequence[str], *, again: bool) -> bool:
        settled: list[JsonValue] = list(tasks)
        traffic = Traffic.RETRY if again else Traffic.TASK
        try:
            await self._mesh.send(self._mesh.message(peer, "commit", traffic, {"settled": settled}))
        except ProtocolError:
            return False
        for task in tasks:
            self._knowing[task][peer] = None
        return True
