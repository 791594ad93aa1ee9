"""Copies shards that have too few live holders, and what a restarted agent has lost, over the protocol under test."""

import asyncio
from collections.abc import Callable, Sequence

from pydantic import JsonValue, ValidationError

from agent.fragments import Fragment
from agent.journal import Journal
from agent.library import Shelves
from agent.mesh import MeshNetwork
from agent.parts import Assembly, split
from agent.prediction import RiskLedger
from agent.replicas import Copy, copies, source_of
from agent.roles import Roles
from agent.settings import AgentSettings
from agent.spawn import Spawn
from agent.workspace import Broadcast
from protocols.clock import Clock
from protocols.errors import LabError, ProtocolError
from protocols.message import Message, Traffic

_SETTLE_S = 1.0
"""From a change of the view to the copies: news must have spread, and a wrong suspicion may be taken back."""
_DOUBT_S = 10.0
"""How long a warning is believed."""
_PART_BYTES = 64_000
_REPLY_S = 2.0
_ROUNDS = 5
"""Tried so often, a second apart, while nothing comes of it; the next change of the view begins anew."""

Plan = tuple[Broadcast, float]
"""Document, placement and schedule, and the start instant."""


class Replication:
    """Fetches what this agent should hold, one part at a time, and tells the others; serves theirs."""

    def __init__(
        self,
        settings: AgentSettings,
        mesh: MeshNetwork,
        roles: Roles,
        shelves: Shelves,
        clock: Clock,
        journal: Journal,
        spawn: Spawn,
    ) -> None:
        self.plan: Callable[[], Plan | None] = lambda: None
        """What this agent knows of the run, for a peer that has lost it."""
        self._settings = settings
        self._me = settings.node_id
        self._mesh = mesh
        self._roles = roles
        self._shelves = shelves
        self._clock = clock
        self._journal = journal
        self._spawn = spawn
        self._risks = RiskLedger()
        # Who was said to be at risk → until when that is believed.
        self._doubted_until: dict[str, float] = {}
        self._awaited: dict[str, asyncio.Future[Message]] = {}
        self._reviewing = False
        self._cut: dict[int | None, list[Broadcast]] = {}
        mesh.on("fetch", self._on_fetch)
        mesh.on("copy", self._on_copy)
        mesh.on("holding", self._on_holding)
        mesh.on("risk", self._on_risk)

    def review(self) -> None:
        """The view of the living has changed, or this agent has just come back: see to it, in a moment."""
        if self._settings.recovery.replicate and not self._reviewing:
            self._reviewing = True
            self._spawn(self._until_replicated())

    def observed(self, peer: str, taken_s: float) -> None:
        """A probe of ``peer`` took so long: where that makes it likely to fail, have its shards copied beforehand."""
        if self._settings.recovery.predict and self._risks.add(peer, taken_s):
            self._journal.append("at_risk", peer=peer)
            # All who notice name the same agents, so each shard is copied once.
            for target in dict.fromkeys(copy.target for copy in self._planned([peer])):
                if target == self._me:
                    self._doubt(peer)
                else:
                    message = self._mesh.message(target, "risk", Traffic.RESUME, {"peer": peer})
                    self._spawn(self._send(message))

    def _doubt(self, peer: str) -> None:
        self._doubted_until[peer] = self._clock.now() + _DOUBT_S
        self.review()

    async def _on_risk(self, message: Message) -> None:
        peer = message.body.get("peer")
        if isinstance(peer, str) and peer in self._settings.peers and self._settings.recovery.predict:
            self._doubt(peer)

    def reborn(self, peer: str) -> None:
        """``peer`` is a new process: it holds its own shards at most, and knows of no copy."""
        self._shelves.forget(peer)
        self._risks.forget(peer)
        self._doubted_until.pop(peer, None)
        extra = self._shelves.copied
        if extra and self._settings.recovery.replicate:
            self._spawn(self._tell(peer, self._me, extra))
        self.review()

    async def recall(self) -> Plan | None:
        """Fetch from a peer what the broadcast had told an earlier life; None when nobody has it, or may give it."""
        if not self._settings.recovery.replicate:
            return None
        for peer in self._roles.alive():
            if peer == self._me:
                continue
            whole = await self._fetch(peer, {"plan": True})
            if whole is not None and whole[1] is not None:
                return whole[0], whole[1]
        return None

    async def _until_replicated(self) -> None:
        try:
            barren = 0
            while barren < _ROUNDS:
                await self._clock.sleep(_SETTLE_S)
                wanted = self._wanted()
                if not wanted:
                    return
                fetched = [shard for shard, source in wanted if await self._copy(shard, source)]
                barren = 0 if fetched else barren + 1
        finally:
            self._reviewing = False

    def _wanted(self) -> list[tuple[int, str]]:
        """Shards that this agent should hold and does not, each with whom to ask."""
        settings, alive, holders = self._settings, self._roles.alive(), self._shelves.holders()
        found = []
        for shard, names in enumerate(holders):
            living = [name for name in alive if name in names and name != self._me]
            if self._me in names and shard not in self._shelves.store.shards and living:
                found.append((shard, source_of(shard, self._me, living, settings.seed)))
        doubtful = [peer for peer, until in self._doubted_until.items() if self._clock.now() < until]
        return found + [(copy.shard, copy.source) for copy in self._planned(doubtful) if copy.target == self._me]

    def _planned(self, doubtful: Sequence[str]) -> list[Copy]:
        settings = self._settings
        return copies(self._shelves.holders(), self._roles.alive(), settings.replication, settings.seed, doubtful)

    async def _copy(self, shard: int, source: str) -> bool:
        began = self._clock.now()
        fetched = await self._fetch(source, {"shard": shard})
        fragments = None if fetched is None else fetched[0].shards.get(shard)
        if fragments is None or not self._store(shard, fragments):
            self._journal.append("copy_failed", shard=shard, peer=source)
            return False
        ms = round((self._clock.now() - began) * 1000, 3)
        self._journal.append("copied", shard=shard, peer=source, fragments=len(fragments), ms=ms)
        await self._spread(self._me, (shard,), but_not=self._me)
        return True

    def _store(self, shard: int, fragments: tuple[Fragment, ...]) -> bool:
        try:
            self._shelves.add(shard, fragments)
        except LabError:
            return False  # fragments of other shards: whoever sent this makes no sense
        self._shelves.learn(self._me, (shard,))
        return True

    async def _fetch(self, peer: str, what: dict[str, JsonValue]) -> tuple[Broadcast, float | None] | None:
        """All parts of ``what``, at no more than the allowed rate; None when ``peer`` does not deliver."""
        assembly, part, parts = Assembly(), 0, 1
        while part < parts:
            answer = await self._ask(peer, {**what, "part": part})
            if answer is None:
                return None
            try:
                piece = Broadcast.model_validate(answer.body.get("content"))
            except ValidationError:
                return None
            whole = assembly.add(piece)
            t0 = answer.body.get("t0")
            if whole is not None:
                return whole, float(t0) if isinstance(t0, int | float) else None
            await self._clock.sleep(len(answer.to_json()) / self._settings.recovery.replicate_bytes_per_s)
            part, parts = part + 1, piece.parts
        return None

    async def _ask(self, peer: str, body: dict[str, JsonValue]) -> Message | None:
        message = self._mesh.message(peer, "fetch", Traffic.RESUME, body)
        awaited: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._awaited[message.message_id] = awaited
        try:
            await self._mesh.send(message)
            async with asyncio.timeout(_REPLY_S):
                return await awaited
        except (ProtocolError, TimeoutError):
            return None
        finally:
            del self._awaited[message.message_id]

    async def _on_fetch(self, message: Message) -> None:
        plan, part, shard = self.plan(), message.body.get("part"), message.body.get("shard")
        if plan is None or not isinstance(part, int):
            return
        broadcast, t0 = plan
        body: dict[str, JsonValue] = {}
        if isinstance(shard, int) and shard in self._shelves.store.shards:
            parts = self._parts_of(shard, broadcast)
        elif message.body.get("plan") is True:
            parts, body = self._parts_of(None, broadcast), {"t0": t0}
        else:
            return
        if 0 <= part < len(parts):
            body |= {"content": parts[part].model_dump(mode="json")}
            reply = self._mesh.message(message.sender, "copy", Traffic.RESUME, body, in_reply_to=message.message_id)
            self._spawn(self._send(reply))

    def _parts_of(self, shard: int | None, plan: Broadcast) -> list[Broadcast]:
        """A shard, or with None what is not in any; cut once, since that blocks for a moment, and kept."""
        if shard not in self._cut:
            whole = plan.model_copy(update={"shards": {}})
            if shard is not None:
                fragments = self._shelves.store.fragments_of(shard)
                whole = Broadcast(document=plan.document, shards={shard: fragments}, placement=(), schedule=())
            self._cut[shard] = split(whole, _PART_BYTES)
        return self._cut[shard]

    async def _on_copy(self, message: Message) -> None:
        awaited = self._awaited.get(message.in_reply_to or "")
        if awaited is not None and not awaited.done():
            awaited.set_result(message)

    async def _on_holding(self, message: Message) -> None:
        holder, shards = message.body.get("holder"), message.body.get("shards")
        if not (isinstance(holder, str) and isinstance(shards, list)):
            self._journal.append("nonsense", peer=message.sender, kind=message.kind)
            return
        new = self._shelves.learn(holder, [shard for shard in shards if isinstance(shard, int)])
        if new:
            self._spawn(self._spread(holder, new, but_not=message.sender))

    async def _spread(self, holder: str, shards: tuple[int, ...], *, but_not: str) -> None:
        """Tell all links; whoever learns something new tells its own."""
        told = (peer for peer in self._mesh.links if peer not in (but_not, holder))
        async with asyncio.TaskGroup() as group:
            for peer in told:
                group.create_task(self._tell(peer, holder, shards))

    async def _tell(self, peer: str, holder: str, shards: tuple[int, ...]) -> None:
        body: dict[str, JsonValue] = {"holder": holder, "shards": list(shards)}
        await self._send(self._mesh.message(peer, "holding", Traffic.RESUME, body))

    async def _send(self, message: Message) -> None:
        """Once: whoever misses it asks again, or asks another holder."""
        try:
            await self._mesh.send(message)
        except ProtocolError:
            return
