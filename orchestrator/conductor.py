"""The conductor as a peer: checks the edges, broadcasts the document over the protocol under test, gives the start.

It routes no task, detects nothing, and tells nobody who died.
"""

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import httpx
from pydantic import JsonValue

from agent.fragments import Fragment
from agent.journal import Journal
from agent.parts import split
from agent.settings import CONDUCTOR, AgentSettings
from agent.workspace import Broadcast, Question
from protocols import registry
from protocols.adapter import AdapterContext, BaseProtocolAdapter, Identity, Timeouts
from protocols.clock import Clock
from protocols.errors import LabError, ProtocolError
from protocols.message import Message, Traffic
from protocols.wire import ByteCounter, classify

_BROADCAST_TIMEOUT_S = 30.0
_LINKING_AT_A_TIME = 4
"""Right after the start every agent is busy; all of them linking at once on few cores would time each other out."""


class Conductor:
    """One protocol peer outside of the mesh, on the base port."""

    def __init__(
        self,
        agents: Sequence[AgentSettings],
        admin_urls: Mapping[str, str],
        admin: httpx.AsyncClient,
        workspace: Path,
        clock: Clock,
        journal: Journal,
        counter: ByteCounter,
    ) -> None:
        self._nodes = tuple(settings.node_id for settings in agents)
        self._edges = sum(len(settings.neighbours) for settings in agents)
        self._admin_urls = admin_urls
        self._admin = admin
        self._clock = clock
        self._journal = journal
        context = AdapterContext(
            Identity(CONDUCTOR, 0),
            lambda name: agents[0].member(name).endpoint,
            clock,
            counter,
            workspace,
            Timeouts(connect_s=2.0, ack_s=_BROADCAST_TIMEOUT_S),
        )
        self._adapter: BaseProtocolAdapter = registry.load(agents[0].protocol)(context)

    async def __aenter__(self) -> Self:
        """Serve the conductor's own port."""
        await self._adapter.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Free the port."""
        await self._adapter.close()

    async def check_edges(self) -> None:
        """Have every agent link to its neighbours and exchange an echo; journals what failed, raises nothing.

        A topology edge that delivers nothing makes the run invalid; the verdict says so.
        """
        few = asyncio.Semaphore(_LINKING_AT_A_TIME)

        async def link(node: str) -> dict[str, Any]:
            async with few:
                return await self._order(node, "/links", None)

        answers = await asyncio.gather(*map(link, self._nodes))
        failed: list[JsonValue] = [
            [node, *failure] for node, answer in zip(self._nodes, answers, strict=True) for failure in answer["failed"]
        ]
        self._journal.append("edge_check", edges=self._edges, failed=failed)

    async def broadcast(
        self,
        document: str,
        shards: Sequence[Sequence[Fragment]],
        holders: Sequence[Sequence[str]],
        schedule: Sequence[Question],
    ) -> float:
        """Send each agent its shards and the schedule; returns t0, the instant of the last acknowledgement.

        A large document goes in parts, one after the other to each agent, to all agents at once.

        Raises LabError when an agent does not acknowledge.
        """
        began = self._clock.now()
        parts_sent = 0

        async def deliver(node: str) -> None:
            nonlocal parts_sent
            own = {number: tuple(shards[number]) for number, names in enumerate(holders) if node in names}
            content = Broadcast(
                document=document, shards=own, placement=tuple(map(tuple, holders)), schedule=tuple(schedule)
            )
            with classify(Traffic.BROADCAST, node):
                await self._adapter.connect(node)
                for part in split(content):
                    await self._adapter.send_message(node, _message(node, part))
                    parts_sent += 1

        try:
            async with asyncio.TaskGroup() as group:
                for node in self._nodes:
                    group.create_task(deliver(node))
        except* ProtocolError as errors:
            raise LabError(f"expected every agent to acknowledge the document, got: {errors.exceptions[0]}") from errors
        t0 = self._clock.now()
        self._journal.append("broadcast", ms=round((t0 - began) * 1000, 3), parts=parts_sent)
        return t0

    async def start(self, t0: float) -> None:
        """Tell every agent the start instant (monotonic seconds); raises LabError when one cannot start."""
        self._journal.append("t0", t0=t0)
        await asyncio.gather(*(self._order(node, "/start", {"t0": t0}) for node in self._nodes))

    async def _order(self, node: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        try:
            response = await self._admin.post(f"{self._admin_urls[node]}{path}", json=body)
            response.raise_for_status()
            answer: dict[str, Any] = response.json()
        except (httpx.HTTPError, ValueError) as error:
            raise LabError(f"expected {node} to carry out POST {path}, got: {error!r}; see its log") from error
        return answer


def _message(node: str, part: Broadcast) -> Message:
    return Message(
        message_id=uuid.uuid4().hex,
        kind="broadcast",
        sender=CONDUCTOR,
        recipient=node,
        traffic=Traffic.BROADCAST,
        body=part.model_dump(mode="json"),
    )
