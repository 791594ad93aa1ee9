"""A whole storm in virtual time: real agents, the lab's own plan and workload, a network in memory, a whole journal."""

import asyncio
import itertools
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

from pydantic import JsonValue

from agent.journal import Journal
from agent.node import Node
from agent.settings import CONDUCTOR, AgentSettings
from agent.vitals import flush_bytes, journal_bytes
from agent.workspace import Broadcast
from orchestrator import journal as journals
from orchestrator import prologue, timeline
from orchestrator.evidence import Evidence
from orchestrator.report_content import build
from orchestrator.roster import Site, agents_of
from orchestrator.scenario import Scenario
from orchestrator.workload.assignment import Workload, assign
from orchestrator.workload.placement import cut
from protocols import tally
from protocols.adapter import AdapterContext, Identity
from protocols.message import Message
from protocols.wire import ByteCounter
from tests.agent.memory_net import MemoryAdapter, MemoryNetwork
from tests.agent.virtual_time import LoopClock, run_virtually
from tests.teeth.sabotage import Saboteur, Unbroken

_HEAD_BYTES = 200
"""What a request and its receipt are without their content, about as in HTTP."""


class _Wire(MemoryAdapter):
    """The network in memory, with bytes to count and a delay that varies a little."""

    def __init__(self, context: AdapterContext, network: MemoryNetwork, rng: Random) -> None:
        super().__init__(context, network)
        self._rng = rng

    def _one_way_s(self, source: str, dest: str) -> float:
        return super()._one_way_s(source, dest) * self._rng.uniform(0.5, 1.5)

    async def _exchange(self, peer: str, content: Message | None = None) -> None:
        traffic, _ = tally.current()
        size = _HEAD_BYTES + (len(content.to_json()) if content is not None else 0)
        await super()._exchange(peer, content)
        self.context.counter.add("client", peer, traffic, size, _HEAD_BYTES)
        self._network.adapters[peer].context.counter.add("server", self.name_here, traffic, _HEAD_BYTES, size)


class VirtualStorm:
    """One run of ``scenario`` in ``folder``; ``noise`` varies the network's delays and nothing else."""

    def __init__(
        self, scenario: Scenario, folder: Path, noise: int, saboteur: type[Saboteur], broken: Sequence[str] | None
    ) -> None:
        self._scenario = scenario
        self._plan = timeline.plan(scenario)
        self._folder = folder
        self._saboteur = saboteur
        self._broken = broken
        self._network = MemoryNetwork()
        self._clock = LoopClock()
        self._rng = Random(f"{noise}|delays")
        self._ids = itertools.count(1)
        self._tasks: dict[str, list[asyncio.Task[None]]] = {}
        site = Site(lambda _: "127.0.0.1", "127.0.0.1", lambda node: folder / "workspaces" / node, 1, None)
        self._agents = agents_of(scenario, self._plan, "virtual", site)

    async def play(self) -> None:
        """From the first link to the last instant; the journals are in the folder then."""
        self._folder.mkdir(parents=True, exist_ok=True)
        own = Journal(self._folder / journals.CONDUCTOR_FILE, CONDUCTOR, 0, self._clock)
        workload = assign(self._scenario, self._plan)
        prologue.journal_plan(own, "virtual", "virtual", self._scenario, self._plan, workload)
        async with asyncio.TaskGroup() as group:
            nodes = {settings.node_id: self._start(settings, group) for settings in self._agents}
            await self._conduct(own, nodes, workload)
            for tasks in self._tasks.values():
                for task in tasks:
                    task.cancel()
        for name, node in nodes.items():
            if name not in self._plan.victims:
                flush_bytes(node._counter, node._journal)
            node._journal.close()
        own.close()

    def _start(self, settings: AgentSettings, group: asyncio.TaskGroup) -> Node:
        name = settings.node_id
        counter = ByteCounter()
        node = Node(settings, self._clock, counter, lambda: f"{name}-{next(self._ids)}")
        context = AdapterContext(
            Identity(name, 0), lambda peer: settings.member(peer).endpoint, self._clock, counter, settings.workspace
        )
        adapter = self._saboteur(context, lambda context: _Wire(context, self._network, self._rng))
        adapter.broken &= self._broken is None or name in self._broken
        node._adapter = adapter
        tasks = self._tasks.setdefault(name, [])

        def spawn(work: Coroutine[Any, Any, None]) -> None:
            tasks.append(group.create_task(work))

        node._assemble(spawn)
        spawn(node._mesh.receive_forever())
        spawn(journal_bytes(counter, self._clock, node._journal))
        return node

    async def _conduct(self, own: Journal, nodes: Mapping[str, Node], workload: Workload) -> None:
        failed: list[JsonValue] = [
            [name, *failure] for name, node in nodes.items() for failure in await node._check_links()
        ]
        own.append("edge_check", edges=sum(len(one.neighbours) for one in self._agents), failed=failed)
        shards = cut(workload.document.fragments, len(workload.holders))
        schedule = tuple(task.for_agents() for task in workload.tasks)
        for name, node in nodes.items():
            mine = {at: tuple(shards[at]) for at, holders in enumerate(workload.holders) if name in holders}
            node._take(Broadcast(document="generated", shards=mine, placement=tuple(map(tuple, workload.holders)),
                                 schedule=schedule))  # fmt: skip
        t0 = self._clock.now()
        own.append("broadcast", ms=0.0)
        own.append("t0", t0=t0)
        for node in nodes.values():
            assert node._start(t0)
            node._spawn(node._heartbeat.beat_forever())
        await self._clock.sleep(t0 + self._plan.windows.kill_at_s - self._clock.now())
        for victim in self._plan.victims:
            own.append("kill_call", victim=victim)
            self._kill(victim)
            own.append("canary_eof", victim=victim)
            own.append("death", victim=victim, signal=9)
        await self._clock.sleep(t0 + self._plan.windows.duration_s - self._clock.now())
        own.append("run_end")

    def _kill(self, victim: str) -> None:
        for task in self._tasks[victim]:
            task.cancel()
        self._network.kill(victim)


def events(folder: Path) -> Iterator[journals.Event]:
    """Every line of every journal of the run in this folder."""
    for path in (folder / journals.CONDUCTOR_FILE, *sorted(folder.glob("workspaces/*/journal.jsonl"))):
        yield from journals.load(path)


def play(
    scenario: Scenario,
    folder: Path,
    noise: int,
    saboteur: type[Saboteur] = Unbroken,
    broken: Sequence[str] | None = None,
) -> Mapping[str, Any]:
    """Run it and return what ``failstorm_metrics.json`` would say; ``broken`` names the broken agents, None is all."""
    run_virtually(VirtualStorm(scenario, folder, noise, saboteur, broken).play())
    return build(folder, Evidence.from_events(events(folder)), None, 0).content
