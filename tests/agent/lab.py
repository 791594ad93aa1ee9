"""A mesh of real agents over a network in memory: wired by the agent's own wiring, only the adapter is another."""

import asyncio
import itertools
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from pydantic import JsonValue

from agent.fragments import Fragment, shard_of
from agent.node import Node
from agent.settings import CONDUCTOR, AgentSettings, DetectorSettings, Member, RecoverySettings
from agent.tools import TOOLS
from agent.workspace import Broadcast, Question
from protocols.adapter import AdapterContext, Identity, Timeouts
from protocols.clock import Clock
from protocols.message import Kind, Message, Traffic
from protocols.wire import ByteCounter
from tests.agent.memory_net import MemoryAdapter, MemoryNetwork
from tests.agent.specimen import Agent
from tests.agent.virtual_time import LoopClock

QUESTION = "Where was the designer of the Aurora Bridge born?"
ANSWER = "Karsund"
FRAGMENTS = (
    Fragment(fragment_id="f-1", title="Aurora Bridge", text="The Aurora Bridge was designed by Mira Holt."),
    Fragment(fragment_id="f-2", title="Mira Holt", text="Mira Holt was born in Karsund."),
)
Topology = Literal["full", "mesh", "ring", "star", "file"]


def neighbours(topology: Topology, names: tuple[str, ...], me: str) -> tuple[str, ...]:
    """Whom ``me`` is linked to at the start; ``mesh`` is a circle with the next two on either side."""
    others = tuple(name for name in names if name != me)
    place = names.index(me)
    if topology == "star":
        return others if place == 0 else (names[0],)
    if topology == "full" or len(names) <= 3:
        return others
    reach = (1, -1) if topology == "ring" else (1, -1, 2, -2)
    return tuple(dict.fromkeys(names[(place + step) % len(names)] for step in reach))


class OwnClock:
    """The clock of one node, on which a standstill of the node lasts."""

    def __init__(self, clock: Clock, network: MemoryNetwork, node: str) -> None:
        self._clock = clock
        self._network = network
        self._node = node

    def now(self) -> float:
        """The time of the lab's clock."""
        return self._clock.now()

    async def sleep(self, duration_s: float) -> None:
        """Wait that long, and for as long as the node stands still."""
        await self._clock.sleep(duration_s)
        await self._network.awake(self._node)


class Lab:
    """``agent_1`` … ``agent_n`` with the tools dealt round-robin; who is not started can be played by the test."""

    def __init__(
        self,
        folder: Path,
        agent_count: int = 4,
        topology: Topology = "full",
        detector: Mapping[str, Any] | None = None,
        recovery: Mapping[str, Any] | None = None,
        replication: int = 2,
        step_work_ms: float = 20.0,
        task_deadline_s: float = 2.0,
        concurrent_steps: int = 8,
        edges: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.names = tuple(f"agent_{number}" for number in range(1, agent_count + 1))
        self.network = MemoryNetwork()
        self.clock = LoopClock()
        self.agents: dict[str, Agent] = {}
        self._folder = folder
        self._topology: Topology = topology
        self._detector = DetectorSettings.model_validate(detector or {})
        self._recovery = RecoverySettings.model_validate(recovery or {})
        self._replication = replication
        self._step_work_ms = step_work_ms
        self._task_deadline_s = task_deadline_s
        self._concurrent_steps = concurrent_steps
        self._edges = tuple(edges)
        self._group = asyncio.TaskGroup()
        self._spawned: list[asyncio.Task[None]] = []
        self._ids = itertools.count(1)

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._spawned:
            task.cancel()
        try:
            await self._group.__aexit__(kind, error, trace)
        finally:
            for agent in self.agents.values():
                agent.node._journal.close()

    def settings(self, name: str, incarnation: int = 0) -> AgentSettings:
        """What the orchestrator would tell this agent."""
        members = tuple(
            Member(node_id=other, tool=TOOLS[place % len(TOOLS)], host="127.0.0.1", port=9001 + place)
            for place, other in enumerate(self.names)
        )
        return AgentSettings(
            run_id="test",
            node_id=name,
            incarnation=incarnation,
            protocol="json",
            seed=1,
            parent_pid=1,
            bind_host="127.0.0.1",
            admin_port=0,
            workspace=self._folder / name,
            roster=members,
            conductor=Member(node_id=CONDUCTOR, tool="", host="127.0.0.1", port=9000),
            topology=self._topology,
            neighbours=self._neighbours(name),
            edges=self._edges,
            replication=self._replication,
            step_work_ms=self._step_work_ms,
            task_deadline_s=self._task_deadline_s,
            concurrent_steps=self._concurrent_steps,
            detector=self._detector,
            recovery=self._recovery,
        )

    def _neighbours(self, name: str) -> tuple[str, ...]:
        if self._topology != "file":
            return neighbours(self._topology, self.names, name)
        return tuple(other for other in self.names if (name, other) in self._edges or (other, name) in self._edges)

    def adapter(self, name: str, incarnation: int = 0) -> MemoryAdapter:
        """An adapter at this name's address, and nothing behind it: a peer that the test itself plays."""
        settings = self.settings(name, incarnation)
        context = AdapterContext(
            Identity(name, incarnation),
            lambda peer: settings.member(peer).endpoint,
            self.clock,
            ByteCounter(),
            settings.workspace,
            Timeouts(),
        )
        return MemoryAdapter(context, self.network)

    def agent(self, name: str, incarnation: int = 0) -> Agent:
        """Start an agent that listens; its heart does not beat until :meth:`beat`, its links are not up."""
        settings = self.settings(name, incarnation)
        adapter = self.adapter(name, incarnation)
        clock = OwnClock(self.clock, self.network, name)
        node = Node(settings, clock, ByteCounter(), lambda: f"{name}-{incarnation}-{next(self._ids)}")
        node._adapter = adapter
        agent = self.agents[f"{name}/{incarnation}"] = Agent(node, adapter, settings)

        def spawn(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
            return self.spawn(work, agent)

        node._assemble(spawn)
        spawn(agent.mesh.receive_forever())
        return agent

    def observer(self) -> Agent:
        """``agent_1``; all the others are played by the test."""
        for name in self.names[1:]:
            self.adapter(name)
        return self.agent("agent_1")

    def all_agents(self) -> list[Agent]:
        """Start every agent of the roster."""
        return [self.agent(name) for name in self.names]

    def spawn(self, work: Coroutine[Any, Any, None], agent: Agent | None = None) -> asyncio.Task[None]:
        """Run ``work`` beside the test (until ``agent`` is killed); an error in it fails the test."""
        task = self._group.create_task(work)
        self._spawned.append(task)
        if agent is not None:
            agent.tasks.append(task)
        return task

    def beat(self, *agents: Agent) -> None:
        """Let these agents probe their links."""
        for agent in agents:
            self.spawn(agent.heartbeat.beat_forever(), agent)

    async def link(self, *agents: Agent) -> None:
        """Have these agents make the links that their topology gives them."""
        for agent in agents:
            assert await agent.node._check_links() == []

    async def alive(self) -> list[Agent]:
        """Start every agent, linked and beating."""
        agents = self.all_agents()
        await self.link(*agents)
        self.beat(*agents)
        return agents

    def kill(self, agent: Agent) -> None:
        """SIGKILL the agent: it does nothing more, and its peers' connections break."""
        for task in agent.tasks:
            task.cancel()
        self.network.kill(agent.settings.node_id)

    def broadcast(self, name: str, arrivals_s: Mapping[str, float], question: str = QUESTION) -> Broadcast:
        """The document and schedule for one agent: shard i lives on the next ``replication`` agents from i on."""
        count = len(self.names)
        placement = tuple(
            tuple(self.names[(shard + copy) % count] for copy in range(self._replication)) for shard in range(count)
        )
        shards = {
            shard: tuple(fragment for fragment in FRAGMENTS if shard_of(fragment.title, count) == shard)
            for shard in range(count)
            if name in placement[shard]
        }
        schedule = tuple(Question(task_id=task, question=question, at_s=at_s) for task, at_s in arrivals_s.items())
        return Broadcast(document="test", shards=shards, placement=placement, schedule=schedule)

    def store(self, *agents: Agent, arrivals_s: Mapping[str, float] | None = None) -> None:
        """Give these agents the document and the schedule."""
        for agent in agents:
            broadcast = self.broadcast(agent.settings.node_id, arrivals_s or {})
            agent.node._workspace.keep_broadcast(broadcast)
            agent.node._take(broadcast)

    def message(
        self, sender: str, recipient: str, kind: Kind, body: dict[str, JsonValue], message_id: str | None = None
    ) -> Message:
        """A message as a peer played by the test would send it."""
        return Message(
            message_id=message_id or f"test-{next(self._ids)}",
            kind=kind,
            sender=sender,
            recipient=recipient,
            traffic=Traffic.TASK,
            body=body,
        )
