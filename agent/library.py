"""What the tools of one agent reach from a step: the whole document, by title or by words, and the agent's model."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from pydantic import ValidationError

from agent.errand import JsonObject, Step, StepFailedError
from agent.exchange import Exchange
from agent.fragments import Fragment, FragmentStore, FragmentUnavailableError, shard_of
from agent.models.reasoner import Reasoner
from agent.roles import LOOKUP, Roles
from agent.tools.grammar import parse_question
from agent.tools.reason import ReasonInput, ReasonOutput
from agent.tools.retrieval import Hit, ShardIndex, best
from protocols.clock import Clock


class Shelves:
    """The shards that this agent holds, the placement of all, and the way to the others; filled by the broadcast."""

    def __init__(self, roles: Roles, exchange: Exchange, clock: Clock, deadline_s: float) -> None:
        """``deadline_s``, of a task, bounds how long a lookup waits for holders that have just died; a search half."""
        self.store = FragmentStore(1)
        self.placement: tuple[tuple[str, ...], ...] = ()
        self._roles = roles
        self._exchange = exchange
        self._clock = clock
        self._deadline_s = deadline_s
        self._indexes: dict[int, ShardIndex] = {}
        # Beyond the placement: shard → who has copied it since.
        self._copied: dict[int, dict[str, None]] = {}

    def fill(self, store: FragmentStore, placement: tuple[tuple[str, ...], ...], questions: Sequence[str]) -> None:
        """Take the shards in; index them if a question is natural language, since that blocks for a moment."""
        self.store, self.placement, self._indexes, self._copied = store, placement, {}, {}
        if any(parse_question(question) is None for question in questions):
            self._indexes = {shard: ShardIndex(store.fragments_of(shard)) for shard in store.shards}

    @property
    def copied(self) -> tuple[int, ...]:
        """The shards that this agent holds beyond the placement."""
        return tuple(shard for shard in self.store.shards if self._roles.me not in self.placement[shard])

    def add(self, shard: int, fragments: Sequence[Fragment]) -> None:
        """Keep a copy of a shard; raises LabError when it is none."""
        self.store.store(shard, fragments)
        self._indexes.pop(shard, None)

    def learn(self, holder: str, shards: Sequence[int]) -> tuple[int, ...]:
        """``holder`` has copied these; returns those of which this was not known."""
        known = self.holders()
        new = tuple(shard for shard in shards if 0 <= shard < len(known) and holder not in known[shard])
        for shard in new:
            self._copied.setdefault(shard, {})[holder] = None
        return new

    def forget(self, holder: str) -> None:
        """What ``holder`` had copied is gone."""
        for names in self._copied.values():
            names.pop(holder, None)

    def holders(self) -> list[tuple[str, ...]]:
        """Shard → who holds it, dead or alive, as far as this agent knows."""
        return [self._holders_ever(shard) for shard in range(len(self.placement))]

    def within_reach(self, title: str) -> bool:
        """Whether a holder of this fragment's shard is held for alive."""
        return bool(self.placement) and bool(self._holders(shard_of(title, len(self.placement))))

    def answer(self, request: JsonObject) -> JsonObject | None:
        """What this agent's own shards have for a lookup; None if that is not here."""
        match request:
            case {"title": str(title)} if self.store.holds(title):
                found = self.store.lookup(title)
                return {"fragment": None if found is None else found.model_dump(mode="json")}
            case {"query": str(query), "shard": int(shard), "limit": int(limit)} if shard in self.store.shards:
                return {"hits": [hit.model_dump(mode="json") for hit in self._find_here(shard, query, limit)]}
        return None

    async def fetch(self, title: str, for_step: Step) -> Fragment | None:
        """Fetch a fragment from whoever holds its shard; raises FragmentUnavailableError when nobody can be reached."""
        if self.store.holds(title):
            return self.store.lookup(title)
        if not self.placement:  # asked before the broadcast
            raise FragmentUnavailableError(title, 0)
        shard = shard_of(title, len(self.placement))
        try:
            output = await self._ask(shard, title, {"title": title}, for_step)
            found = output["fragment"]
            return None if found is None else Fragment.model_validate(found)
        except (StepFailedError, KeyError, ValidationError) as error:
            raise FragmentUnavailableError(title, shard) from error

    async def find(self, query: str, limit: int, for_step: Step) -> tuple[Fragment, ...]:
        """The fragments of the whole document that match best, as far as a holder of their shard can be reached."""
        shards = range(len(self.placement))
        found = await asyncio.gather(*(self._find_in(shard, query, limit, for_step) for shard in shards))
        return tuple(hit.fragment for hit in best((hit for hits in found for hit in hits), limit))

    async def _find_in(self, shard: int, query: str, limit: int, for_step: Step) -> Sequence[Hit]:
        if shard in self.store.shards:
            return self._find_here(shard, query, limit)
        try:
            request: JsonObject = {"query": query, "shard": shard, "limit": limit}
            for_step = replace(for_step, give_up_at=min(for_step.give_up_at, self._clock.now() + self._deadline_s / 2))
            hits = (await self._ask(shard, f"shard-{shard}", request, for_step))["hits"]
            return [Hit.model_validate(hit) for hit in hits] if isinstance(hits, list) else ()
        except (StepFailedError, KeyError, ValidationError):
            return ()

    def _find_here(self, shard: int, query: str, limit: int) -> Sequence[Hit]:
        if shard not in self._indexes:
            self._indexes[shard] = ShardIndex(self.store.fragments_of(shard))
        return self._indexes[shard].find(query, limit)

    async def _ask(self, shard: int, name: str, request: JsonObject, for_step: Step) -> JsonObject:
        step = Step(
            task_id=for_step.task_id,
            step_id=f"{for_step.step_id}/{LOOKUP}/{name}",
            tool=LOOKUP,
            input=request,
            # Whoever wants the step can wait for a holder at no cost; here its other fragments wait with it.
            give_up_at=min(for_step.give_up_at, self._clock.now() + self._deadline_s),
            candidates=lambda: self._holders(shard),
        )
        if not step.candidates():
            raise StepFailedError(step.step_id, "unavailable")
        return await self._exchange.ask(step, for_step.cause)

    def _holders(self, shard: int) -> list[str]:
        holders = self._holders_ever(shard)
        return [name for name in self._roles.alive() if name in holders]

    def _holders_ever(self, shard: int) -> tuple[str, ...]:
        return (*self.placement[shard], *self._copied.get(shard, ()))


class StepLibrary:
    """The document and the model as the tool of one step sees them."""

    def __init__(self, shelves: Shelves, reasoner: Reasoner, step: Step) -> None:
        self._shelves = shelves
        self._reasoner = reasoner
        self._step = step

    async def __call__(self, title: str) -> Fragment | None:
        """Fetch by title."""
        return await self._shelves.fetch(title, self._step)

    async def find(self, query: str, limit: int) -> tuple[Fragment, ...]:
        """Find by what they say."""
        return await self._shelves.find(query, limit, self._step)

    async def conclude(self, request: ReasonInput) -> ReasonOutput:
        """Have it reasoned by the agent's model."""
        return await self._reasoner.conclude(self._step.task_id, self._step.step_id, request)
