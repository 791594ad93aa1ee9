"""Who may commit a task: the one owner to whom a majority of the task's electors has promised it.

Each agent gives its promise once for each task. So whatever agents believe of each other's lives, two of them never
commit the same task, unless electors have died with what they had promised. See docs/adr/0007.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from pydantic import JsonValue

from agent.deaths import Deaths
from agent.mesh import MeshNetwork
from agent.ranking import elector_count
from agent.roles import Roles
from agent.settings import AgentSettings
from agent.spawn import Spawn
from agent.vitals import LoopLag
from protocols.clock import Clock
from protocols.errors import ProtocolError
from protocols.message import Message, Traffic

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.6, 2.0
_STANDSTILL_SHARE = 0.5
"""Of a probe's timeout: a shorter standstill of this agent cannot have made anybody suspect it."""


@dataclass
class _Poll:
    """One owner's question about one task."""

    explicit: bool
    """Whether a receipt is not enough, since others may have come to hold this agent for dead."""
    agreed: dict[str, None] = field(default_factory=dict)
    claims: dict[str, str] = field(default_factory=dict)
    """Who has promised the task to another, and to whom."""
    ask_again_at: dict[str, float] = field(default_factory=dict)
    looking: dict[str, None] = field(default_factory=dict)
    back: dict[str, None] = field(default_factory=dict)
    """Who is held for dead and has answered all the same."""
    awaited: dict[str, None] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class Agreement:
    """This agent's promises to others, and its questions to them."""

    def __init__(
        self,
        settings: AgentSettings,
        mesh: MeshNetwork,
        roles: Roles,
        deaths: Deaths,
        clock: Clock,
        lag: LoopLag,
        spawn: Spawn,
    ) -> None:
        self.yielded: Callable[[str], None] = lambda _task: None
        """Called with a task that this agent has just promised to another."""
        self.learned: Callable[[str, str], None] = lambda _task, _owner: None
        """Called with a task that another has committed, and with that other."""
        self.newer: Callable[[str, str], None] = lambda _name, _task: None
        """Called with an agent that says that it is younger than a task, and with that task."""
        self.knew: Callable[[str, str], bool] = lambda _name, _task: True
        """Whether the present life of an agent had begun when the task arrived."""
        self._settings = settings
        self._me = settings.node_id
        self._mesh = mesh
        self._roles = roles
        self._deaths = deaths
        self._clock = clock
        self._lag = lag
        self._spawn = spawn
        self._promised: dict[str, str] = {}
        self._committed: dict[str, None] = {}
        self._polls: dict[str, _Poll] = {}
        # Until then others may hold this agent for dead without its knowledge.
        self._uneasy_until = float("-inf")
        # Whoever holds it for dead asks one suspect a beat, and is refuted at the latest when its turn comes.
        self._unease_s = len(settings.roster) * settings.detector.longest_interval_s + 2 * settings.detector.timeout_s
        mesh.on("commit", self._on_commit)

    def is_open(self, task: str) -> bool:
        """Whether this agent has promised the task to nobody, itself included."""
        return task not in self._promised

    @property
    def elector_count(self) -> int:
        """How many agents have a promise to give for each task: 2r-1, r being the replication."""
        return elector_count(self._settings.replication)

    def disturbed(self) -> None:
        """A sign that others may hold this agent for dead: an unanswered question, a standstill, an accusation."""
        self._uneasy_until = self._clock.now() + self._unease_s

    async def win(self, task: str, *, inherited: bool) -> tuple[str, ...] | None:
        """Wait until this agent may commit ``task``; returns who knows of that, or None if it is another's.

        ``inherited`` when its first owner may have got further than this agent knows. Without a majority in reach it
        waits for as long as it takes.
        """
        if self._promised.setdefault(task, self._me) != self._me:
            return None
        poll = self._polls[task] = _Poll(explicit=inherited)
        pause_s = _FIRST_PAUSE_S
        spread = False
        try:
            while self._promised[task] == self._me:
                poll.changed.clear()
                electors = self._electors(task)
                if self._is_agreed(electors, poll):
                    self._committed[task] = None
                    return tuple(poll.agreed)
                if self._is_lost(electors, poll):
                    del self._promised[task]
                    break
                poll.explicit = poll.explicit or self._is_uneasy(task)
                self._ask(task, electors, poll, spread=spread)
                try:
                    async with asyncio.timeout(pause_s):
                        await poll.changed.wait()
                except TimeoutError:
                    spread, pause_s = True, min(2 * pause_s, _LONGEST_PAUSE_S)
            return None
        finally:
            del self._polls[task]

    def is_disturbed(self) -> bool:
        """Whether there was such a sign lately."""
        standstill_s = _STANDSTILL_SHARE * self._settings.detector.timeout_s
        if self._lag.worst_s(float("-inf")) >= standstill_s:
            self.disturbed()
        return self._clock.now() < self._uneasy_until

    def _is_uneasy(self, task: str) -> bool:
        return self.is_disturbed() or next(iter(self._electors(task)), None) != self._me

    def _electors(self, task: str) -> tuple[str, ...]:
        """Those of the first on its list who can have promised it, and are not dead beyond doubt.

        Nobody steps in for a dead elector while others are left: it would not know what those have promised who are
        only silent.
        """
        owners, size = self._roles.owners(task), self.elector_count
        for first in range(0, len(owners), size):
            group = owners[first : first + size]
            left = tuple(name for name in group if not self._deaths.is_proven(name) and self.knew(name, task))
            if left:
                return left
        return ()

    def _needed(self, electors: tuple[str, ...]) -> int:
        """So many that any earlier majority, with the dead among it, would be known to one of them; or all."""
        return min(self._settings.replication, len(electors))

    def _is_agreed(self, electors: tuple[str, ...], poll: _Poll) -> bool:
        agreed = [name for name in electors if name == self._me or name in poll.agreed]
        return self._me in electors and len(agreed) >= self._needed(electors)

    def _is_lost(self, electors: tuple[str, ...], poll: _Poll) -> bool:
        """Whether another has the task for sure: it says so itself, or has died with a promise of it."""
        if any(who == name or self._deaths.is_proven(who) for name, who in poll.claims.items()):
            return True
        # No elector itself, it stands in only while all of them are away; whoever is back has begun the task itself.
        return self._me not in electors and any(name in self._roles.alive() or name in poll.back for name in electors)

    def _ask(self, task: str, electors: tuple[str, ...], poll: _Poll, *, spread: bool) -> None:
        """Ask as many electors as are needed, living ones first; all of them once they have not answered in time."""
        now, alive = self._clock.now(), self._roles.alive()
        wanted = [name for name in dict.fromkeys((*electors, *poll.claims.values())) if name != self._me]
        open_ = [name for name in wanted if name not in poll.agreed and name not in poll.claims]
        living = [name for name in open_ if name in alive]
        missing = self._needed(electors) - 1 - len(poll.agreed)
        pending = [name for name in living if poll.ask_again_at.get(name, now) > now]
        ready = [name for name in living if name not in pending]
        still_out = [name for name in pending if name in poll.awaited]
        if self._me not in electors:
            ready = []
        chosen = ready if spread or poll.claims else ready[: max(0, missing - len(still_out))]
        for name in chosen:
            poll.awaited[name] = None
            poll.ask_again_at[name] = now + _LONGEST_PAUSE_S
            self._spawn(self._propose(task, name, poll, again=spread))
        if len(living) < missing or spread or poll.claims:
            for name in open_:
                if name not in alive and name not in poll.looking:
                    poll.looking[name] = None
                    self._spawn(self._look(task, name, poll))

    async def _look(self, task: str, name: str, poll: _Poll) -> None:
        """``name`` is held for dead: it may answer all the same, or be dead beyond doubt, and count no more."""
        try:
            found = await self._deaths.look(name)
        finally:
            del poll.looking[name]
        if self._polls.get(task) is not poll:
            return
        if found == "answers" and self._me in self._electors(task):
            await self._propose(task, name, poll, again=True)
        elif found != "silent":
            if found == "answers":
                poll.back[name] = None
            poll.changed.set()

    async def _propose(self, task: str, elector: str, poll: _Poll, *, again: bool) -> None:
        body: dict[str, JsonValue] = {"task": task}
        if poll.explicit:
            body["answer"] = True
        proposal = self._mesh.message(elector, "commit", Traffic.RETRY if again else Traffic.TASK, body)
        try:
            await self._mesh.send(proposal)
        except ProtocolError:
            poll.awaited.pop(elector, None)
            poll.ask_again_at[elector] = self._clock.now() + _FIRST_PAUSE_S
        else:
            if "answer" in body:
                return  # the word comes in a message of its own
            if self._is_uneasy(task):
                poll.ask_again_at.pop(elector, None)
            else:
                poll.agreed[elector] = None
        poll.changed.set()

    async def _on_commit(self, message: Message) -> None:
        task, sender, owner = message.body.get("task"), message.sender, message.body.get("owner")
        settled = message.body.get("settled")
        for one in settled if isinstance(settled, list) else ():
            self._take_commitment(str(one), sender)
        if not isinstance(task, str):
            return
        if isinstance(owner, str):
            self._take_word(task, sender, owner)
            return
        if message.body.get("newer"):
            self.newer(sender, task)
            if task in self._polls:
                self._polls[task].changed.set()
            return
        if message.body.get("answer") and not self.knew(self._me, task):
            # An earlier life may have promised it, and this one cannot know.
            word: dict[str, JsonValue] = {"task": task, "newer": True}
            self._spawn(self._reply(self._mesh.message(sender, "commit", Traffic.TASK, word)))
            return
        holder = self._promise(task, sender)
        if message.body.get("answer"):
            word = {"task": task, "owner": holder}
            self._spawn(self._reply(self._mesh.message(sender, "commit", Traffic.TASK, word)))

    def _promise(self, task: str, sender: str) -> str:
        """To whom this agent has promised ``task``; to ``sender`` from now on, if it was free to."""
        holder = self._promised.get(task)
        if holder is None or (holder == self._me and task not in self._committed and self._is_better(sender, task)):
            # It alone could have committed what it held itself; so two owners who both wait do not wait for ever.
            holder = self._promised[task] = sender
            self.yielded(task)
        return holder

    def _take_commitment(self, task: str, owner: str) -> None:
        """``owner`` has committed ``task`` for good: whatever this agent has promised or begun is void."""
        if task not in self._committed:
            self._promised[task] = owner
            self.yielded(task)
            self.learned(task, owner)

    def _is_better(self, sender: str, task: str) -> bool:
        owners = self._roles.owners(task)
        return sender in owners and owners.index(sender) < owners.index(self._me)

    def _take_word(self, task: str, sender: str, owner: str) -> None:
        poll = self._polls.get(task)
        if poll is None:
            return
        if owner == self._me:
            poll.agreed[sender] = None
            poll.claims.pop(sender, None)
        else:
            poll.claims[sender] = owner
        poll.changed.set()

    async def _reply(self, word: Message) -> None:
        """Whoever does not get it asks again."""
        try:
            await self._mesh.send(word)
        except ProtocolError:
            return
