"""What an agent does when its view of the living changes: re-publish, take over, adopt, reconnect."""

from collections.abc import Callable, Sequence

from agent.detection import surely_noticed_within_s
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
_SPREAD_S = 1.0
"""What news of a suspicion may take to reach everybody."""


def replacements(
    topology: str, me: str, neighbours: Sequence[str], roster: Sequence[str], alive: Sequence[str]
) -> tuple[str, ...]:
    """The links that ``me`` should hold, given who is alive: its live neighbours, and one stand-in for each dead one.

    ``ring``: the next living node on either side. ``star``: the first living node of the roster is the hub, the
    others are its leaves. Otherwise the stand-ins are the next living nodes, not linked yet, on one hashed circle of
    all (as the successors in Chord): so nobody stands in for more than it has neighbours itself. With a full mesh
    nothing is left to choose. Roster order in, deterministic order out.
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
    circle = rank("circle", living)
    place = circle.index(me)
    free = [name for name in (*circle[place + 1 :], *circle[:place]) if name not in wanted]
    return (*wanted, *free[: len(neighbours) - len(wanted)])


def most_links(topology: str, neighbours: Sequence[str], roster: Sequence[str]) -> int:
    """The most links that any node comes to hold: in a mesh as many for others as it has neighbours itself."""
    if topology == "ring":
        return 2
    return len(roster) - 1 if topology == "star" else min(2 * len(neighbours), len(roster) - 1)


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
        self._unlinkable: dict[str, None] = {}
        # Who has linked to this agent for want of its own neighbours → those neighbours.
        self._leaning: dict[str, tuple[str, ...]] = {}
        self._roster = tuple(member.node_id for member in settings.roster)
        links = most_links(settings.topology, settings.neighbours, self._roster)
        self._unnoticed_s = surely_noticed_within_s(settings.detector, links) + _SPREAD_S
        if settings.topology == "star":  # a leaf that dies with the hub is missed only by the next hub
            self._unnoticed_s += surely_noticed_within_s(settings.detector, 1)

    @property
    def linking(self) -> tuple[str, ...]:
        """Peers to which a link is being made, or could not be: only probes can tell whether they are alive."""
        return (*self._linking, *self._unlinkable)

    @property
    def missing(self) -> tuple[str, ...]:
        """Dead neighbours, for whom this agent needs stand-ins."""
        if not self._settings.recovery.reconnect:
            return ()
        return tuple(name for name in self._settings.neighbours if not self._is_alive(name))

    def on_suspect(self, peer: str) -> None:
        """``peer`` is held for dead: repair what its death broke."""
        self._lose(peer)
        self._roles.review_adoption(TOOLS)
        if self._settings.recovery.reconnect:
            self._relink("repair", Cause(victim=peer, request="edge"))
        self._mesh.unlink(peer)

    def on_restore(self, peer: str, *, restarted: bool) -> None:
        """``peer`` is held for alive again: give back what others stood in for."""
        if restarted:
            self._tasks.reborn(peer)
        self._roles.review_adoption(TOOLS)
        if self._settings.recovery.reconnect:
            self._relink("rejoin", None)

    def on_replace(self, peer: str) -> None:
        """``peer`` died and came back before anybody missed it: what the old process was doing is lost all the same."""
        self._tasks.reborn(peer)
        self._lose(peer)
        self._mesh.unlink(peer)
        if self._settings.recovery.reconnect:
            self._relink("rejoin", None)

    def on_linked(self, peer: str, missing: Sequence[str], cause: Cause | None) -> None:
        """``peer``, whose neighbours ``missing`` are dead, has linked to this agent: link back, or nobody may probe it.

        In a ring and a star both ends of a link want it by themselves.
        """
        settings = self._settings
        if settings.topology in ("ring", "star") or not settings.recovery.reconnect or not self._is_alive(peer):
            return
        self._leaning[peer] = tuple(missing)
        if cause is not None and self._is_alive(cause.victim):
            cause = None  # nothing that this agent knows of is broken
        self._relink("rejoin" if cause is None else "repair", cause)

    def _lose(self, peer: str) -> None:
        self._leaning.pop(peer, None)
        self._unlinkable.pop(peer, None)
        self._exchange.peer_lost(peer)
        if self._settings.recovery.takeover:
            self._tasks.take_over(peer, self._unnoticed_s)

    def _relink(self, reason: LinkReason, cause: Cause | None) -> None:
        for peer in self._wanted():
            if peer not in self._mesh.links and peer not in self._linking:
                self._linking[peer] = None
                self._unlinkable.pop(peer, None)
                self._spawn(self._link(peer, reason, cause))
        self._give_back()

    def _wanted(self) -> tuple[str, ...]:
        settings, alive = self._settings, self._roles.alive()
        own = replacements(settings.topology, settings.node_id, settings.neighbours, self._roster, alive)
        leaning = (peer for peer, missing in self._leaning.items() if not all(name in alive for name in missing))
        return tuple(dict.fromkeys((*own, *leaning)))

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
            self._unlinkable[peer] = None
            self._journal.append("link_failed", peer=peer, reason=reason)
        finally:
            del self._linking[peer]
