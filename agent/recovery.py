"""What an agent does when its view of the living changes: re-publish, take over, adopt, reconnect."""

import random
from collections.abc import Callable, Sequence

from agent.batch import SuspicionBatch
from agent.detection import surely_noticed_within_s
from agent.exchange import Exchange
from agent.journal import Journal
from agent.links import most_links, replacements
from agent.mesh import LinkReason, MeshNetwork
from agent.replication import Replication
from agent.retries import Backoff
from agent.roles import Roles
from agent.settings import AgentSettings
from agent.spawn import Spawn
from agent.tasks import TaskOwner
from agent.tools import TOOLS
from protocols.clock import Clock
from protocols.errors import ProtocolError
from protocols.message import Cause

_LINK_ATTEMPTS = 5
_FIRST_LINK_BACKOFF_S, _LONGEST_LINK_BACKOFF_S = 0.1, 1.6
_SPREAD_S = 1.0
"""What news of a suspicion may take to reach everybody."""


class RecoveryHandler:
    """Carries out the consequences of a suspicion or a return."""

    def __init__(
        self,
        settings: AgentSettings,
        mesh: MeshNetwork,
        roles: Roles,
        exchange: Exchange,
        tasks: TaskOwner,
        replication: Replication,
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
        self._replication = replication
        self._clock = clock
        self._journal = journal
        self._spawn = spawn
        self._is_alive = is_alive
        self._rng = random.Random(f"{settings.seed}|{settings.node_id}|links")  # noqa: S311 - a jitter, not a secret
        self._batch = SuspicionBatch()
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
        """``peer`` is held for dead: repair what its death broke, together with what other deaths have."""
        if not self._settings.recovery.batch:
            self._repair((peer,))
        elif (due := self._batch.add(peer, self._clock.now())) is not None:
            self._spawn(self._repair_at(due))

    async def _repair_at(self, due: float) -> None:
        await self._clock.sleep(due - self._clock.now())
        self._repair(self._batch.take(self._clock.now()))

    def _repair(self, victims: Sequence[str]) -> None:
        """One pass over everything that these deaths broke."""
        for peer in victims:
            self._lose(peer)
        if victims:
            self._roles.review_adoption(TOOLS)
            if self._settings.recovery.reconnect:
                self._relink("repair", [Cause(victim=peer, request="edge") for peer in victims])
            for peer in victims:
                self._mesh.unlink(peer)
            self._replication.review()

    def on_restore(self, peer: str, *, restarted: bool) -> None:
        """``peer`` is held for alive again: give back what others stood in for."""
        self._repair(self._batch.take(self._clock.now()))
        if restarted:
            self._reborn(peer)
        self._tasks.returned(peer)
        self._roles.review_adoption(TOOLS)
        if self._settings.recovery.reconnect:
            self._relink("rejoin", ())

    def on_replace(self, peer: str) -> None:
        """``peer`` died and came back before anybody missed it: what the old process was doing is lost all the same."""
        self._repair(self._batch.take(self._clock.now()))
        self._reborn(peer)
        self._tasks.returned(peer)
        self._lose(peer)
        self._mesh.unlink(peer)
        if self._settings.recovery.reconnect:
            self._relink("rejoin", [Cause(victim=peer, request="edge")])

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
        self._relink("rejoin" if cause is None else "repair", () if cause is None else [cause])

    def _reborn(self, peer: str) -> None:
        """``peer`` is a new process: it will say itself what it lacks, and has copied nothing."""
        self._leaning.pop(peer, None)
        self._tasks.reborn(peer)
        self._replication.reborn(peer)

    def _lose(self, peer: str) -> None:
        self._unlinkable.pop(peer, None)
        self._exchange.peer_lost(peer)
        if self._settings.recovery.takeover:
            self._tasks.take_over(peer, self._unnoticed_s)

    def _relink(self, reason: LinkReason, causes: Sequence[Cause]) -> None:
        """Make the links that are wanted and not there, each for one of these causes, if there are any."""
        missing = [peer for peer in self._wanted() if peer not in self._mesh.links and peer not in self._linking]
        for place, peer in enumerate(missing):
            self._linking[peer] = None
            self._unlinkable.pop(peer, None)
            cause = causes[place % len(causes)] if causes else None
            self._spawn(self._link(peer, reason, cause))
        self._give_back()

    def _wanted(self) -> tuple[str, ...]:
        settings, alive = self._settings, self._roles.alive()
        own = replacements(
            settings.topology, settings.node_id, settings.neighbours, self._roster, alive, settings.edges
        )
        # A suspicion may be wrong, and whoever was wrongly suspected goes on leaning without a word.
        leaning = (
            peer
            for peer, missing in self._leaning.items()
            if peer in alive and not all(name in alive for name in missing)
        )
        return tuple(dict.fromkeys((*own, *leaning)))

    def _give_back(self) -> None:
        wanted = self._wanted()
        for peer in self._mesh.links:
            if peer not in wanted and self._is_alive(peer):
                self._mesh.unlink(peer)

    async def _link(self, peer: str, reason: LinkReason, cause: Cause | None) -> None:
        backoff = Backoff(_FIRST_LINK_BACKOFF_S, _LONGEST_LINK_BACKOFF_S, self._rng)
        try:
            for attempt in range(_LINK_ATTEMPTS):
                if peer in self._mesh.links or not self._is_alive(peer):
                    return
                if attempt and not self._exchange.budget.spend(self._clock.now()):
                    await self._clock.sleep(backoff.next_s())
                    continue
                try:
                    await self._mesh.link(peer, reason, cause)
                except ProtocolError:
                    self._mesh.broke(peer)
                    await self._clock.sleep(backoff.next_s())
                else:
                    self._give_back()  # whom it stands in for may have come back meanwhile
                    return
            self._unlinkable[peer] = None
            self._journal.append("link_failed", peer=peer, reason=reason)
        finally:
            del self._linking[peer]
