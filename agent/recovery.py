"""What an agent does when its view of the living changes: re-publish, take over, adopt, reconnect."""

from collections.abc import Callable, Sequence

from agent.exchange import Exchange
from agent.heartbeat import Spawn
from agent.journal import Journal
from agent.mesh import LinkReason, MeshNetwork
from agent.ranking import rank
from agent.roles import Roles
from agent.settings import AgentSettings
from agent.tasks import TaskOwner
from agent.tools import TOOLS
from protocols.clock import Clock
from protocols.errors import ProtocolError
from protocols.message import Cause

_LINK_ATTEMPTS = 5
_LINK_BACKOFF_S = 0.1


def replacements(
    topology: str, me: str, neighbours: Sequence[str], roster: Sequence[str], alive: Sequence[str]
) -> tuple[str, ...]:
    """The links that ``me`` should hold, given who is alive: its live neighbours, and one stand-in for each dead one.

    ``ring``: the next living node on either side. ``star``: the first living node of the roster is the hub, the
    others are its leaves. Otherwise a dead neighbour is replaced by the living node that ranks highest for it; with a
    full mesh nothing is left to choose. Roster order in, deterministic order out.
    """
    living = [name for name in roster if name in alive or name == me]
    if topology == "star":
        hub = living[0]
        return tuple(name for name in living if name != me) if hub == me else (hub,)
    if topology == "ring":
        place = living.index(me)
        around = (living[place - 1], living[(place + 1) % len(living)])
        return tuple(dict.fromkeys(name for name in around if name != me))
    wanted = [name for name in neighbours if name in living]
    for dead in (name for name in neighbours if name not in living):
        free = [name for name in living if name != me and name not in wanted]
        wanted += rank(f"{me}|replaces|{dead}", free)[:1]
    return tuple(wanted)


class RecoveryHandler:
    """Carries out the consequences of a suspicion or a return."""

    def __init__(
        self,
        settings: AgentSettings,
        mesh: MeshNetwork,
        roles: Roles,
        exchange: Exchange,
        tasks: TaskOwner,
        clock: Clock,
        journal: Journal,
        spawn: Spawn,
        is_alive: Callable[[str], bool],
    ) -> None:
        self._settings = settings
        self._mesh = mesh
        self._roles = roles
        self._exchange = exchange
        self._tasks = tasks
        self._clock = clock
        self._journal = journal
        self._spawn = spawn
        self._is_alive = is_alive
        self._linking: dict[str, None] = {}
        self._roster = tuple(member.node_id for member in settings.roster)

    @property
    def linking(self) -> tuple[str, ...]:
        """Peers to which a link is being made."""
        return tuple(self._linking)

    def on_suspect(self, peer: str) -> None:
        """``peer`` is held for dead: repair what its death broke."""
        switches = self._settings.recovery
        self._exchange.peer_lost(peer)
        if switches.takeover:
            self._tasks.take_over(peer)
        self._roles.review_adoption(TOOLS)
        if switches.reconnect:
            self._relink("repair", Cause(victim=peer, request="edge"))
        self._mesh.unlink(peer)

    def on_restore(self) -> None:
        """A peer is held for alive again: give back what others stood in for."""
        self._roles.review_adoption(TOOLS)
        if self._settings.recovery.reconnect:
            self._relink("rejoin", None)

    def _relink(self, reason: LinkReason, cause: Cause | None) -> None:
        for peer in self._wanted():
            if peer not in self._mesh.links and peer not in self._linking:
                self._linking[peer] = None
                self._spawn(self._link(peer, reason, cause))
        self._give_back()

    def _wanted(self) -> tuple[str, ...]:
        settings = self._settings
        return replacements(settings.topology, settings.node_id, settings.neighbours, self._roster, self._roles.alive())

    def _give_back(self) -> None:
        wanted = self._wanted()
        for peer in self._mesh.links:
            if peer not in wanted and self._is_alive(peer):
                self._mesh.unlink(peer)

    async def _link(self, peer: str, reason: LinkReason, cause: Cause | None) -> None:
        try:
            for attempt in range(_LINK_ATTEMPTS):
                if peer in self._mesh.links or not self._is_alive(peer):
                    return
                try:
                    await self._mesh.link(peer, reason, cause)
                except ProtocolError:
                    self._mesh.broke(peer)
                    await self._clock.sleep(_LINK_BACKOFF_S * 2**attempt)
                else:
                    self._give_back()  # whom it stands in for may have come back meanwhile
                    return
            self._journal.append("link_failed", peer=peer, reason=reason)
        finally:
            del self._linking[peer]
