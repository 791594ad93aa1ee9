"""A document as large as the lab takes, over a mesh of real agents: how it is spread, held and read.

Eight agents link to each other and get their shards over the protocol, as at the start of every run. Then a peer
outside of the mesh looks fragments up by their titles, one after the other, each at an agent that holds it. What an
agent holds is what it journaled of its memory, and what lies in its own folder, where its next life would find it.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
from pydantic import JsonValue

from agent.fragments import Fragment, shard_of
from agent.journal import Journal
from agent.roles import LOOKUP
from agent.settings import CONDUCTOR
from agent.workspace import Broadcast
from benchmarks.comparison import spread
from benchmarks.results import Holding, LargeDocument
from orchestrator import seeds, timeline
from orchestrator.conductor import Conductor
from orchestrator.journal import JournalReader
from orchestrator.layout import lay_out
from orchestrator.ports import check_ports
from orchestrator.roster import agents_of, local_site
from orchestrator.run_dir import create
from orchestrator.runtime import admin_url, start_timeout_s
from orchestrator.runtime.local import LocalRuntime
from orchestrator.scenario import Scenario
from orchestrator.workload.assignment import assign
from orchestrator.workload.placement import cut
from protocols import registry
from protocols.adapter import AdapterContext, BaseProtocolAdapter, Identity, Timeouts
from protocols.clock import Clock
from protocols.errors import ConfigError, LabError
from protocols.message import Message, Traffic
from protocols.wire import ByteCounter, classify, counting_loop

AGENTS = 8
LOOKUPS = 1000
_WARM_UP = 50
_BASE_PORTS = (28_000, 30_000, 40)
_DURATION_S = 16.0
"""Nobody waits for it: no clock is started. A control must have a length."""
_PATIENT = Timeouts(connect_s=10.0, ack_s=30.0)
_RESULT_TIMEOUT_S = 30.0
_ADMIN_TIMEOUT_S = 60.0
_MB = 1e6


def measure(
    subject: str, folder: Path, clock: Clock, *, fragments: int, progress: Callable[[float], None]
) -> LargeDocument:
    """Spread ``fragments`` over AGENTS agents and read them; ``progress`` is told the share that is done."""
    scenario = _scenario(subject, fragments)
    began = clock.now()
    stage = _Stage(scenario, folder, clock)
    made_s = clock.now() - began
    progress(0.2)
    with asyncio.Runner(loop_factory=lambda: counting_loop(stage.counter)) as runner:
        return runner.run(stage.play(made_s, progress))


def _scenario(subject: str, fragments: int) -> Scenario:
    """A control on ports that nobody has; raises LabError when there are none."""
    storm = {
        "protocol": subject,
        "agent_count": AGENTS,
        "fragments": fragments,
        "kill_fraction": 0.0,
        "duration": _DURATION_S,
    }
    for base in range(*_BASE_PORTS):
        network = {"base_port": base, "admin_base_port": base + AGENTS + 1}
        scenario = Scenario.model_validate({"scenario": storm, "network": network})
        with suppress(ConfigError):
            check_ports(scenario.ports.all)
            return scenario
    raise LabError(f"expected {2 * AGENTS + 2} free ports in a row, got none from {_BASE_PORTS[0]} on")


class _Stage:
    """One mesh and its document, from the first process to the last."""

    def __init__(self, scenario: Scenario, folder: Path, clock: Clock) -> None:
        self.counter = ByteCounter()
        planned = timeline.plan(scenario)
        self._scenario = scenario
        self._clock = clock
        self._folder = create(folder, "large-document")
        self._agents = agents_of(scenario, planned, self._folder.run_id, local_site(self._folder))
        self._workload = assign(scenario, planned)
        self._shards = cut(self._workload.document.fragments, len(self._workload.holders))
        self._numbers = itertools.count(1)
        lay_out(self._folder, self._agents)

    async def play(self, made_s: float, progress: Callable[[float], None]) -> LargeDocument:
        """Start, spread, look up, and read what each agent holds."""
        async with self._mesh() as conductor:
            async with conductor:
                await conductor.check_edges()
                progress(0.4)
                before_mb = self._memory("VmRSS")
                questions = [task.for_agents() for task in self._workload.tasks]
                await conductor.broadcast("generated", self._shards, self._workload.holders, questions)
            progress(0.7)
            lookups_ms = await self._look_up_all()
            after_mb, peak_mb = self._memory("VmRSS"), self._memory("VmHWM")
        (told,) = [one for one in JournalReader(self._folder.conductor_journal) if one["ev"] == "broadcast"]
        fragments = self._workload.document.fragments
        return LargeDocument(
            subject=self._scenario.storm.protocol,
            fragments=len(fragments),
            replication=self._scenario.replication,
            document_mb=sum(len(one.model_dump_json()) for one in fragments) / _MB,
            made_s=made_s,
            broadcast_ms=float(str(told["ms"])),
            messages=int(str(told["parts"])),
            lookup=spread(lookups_ms[_WARM_UP:]),
            holdings=[self._holding(node, before_mb[node], after_mb[node], peak_mb[node]) for node in self._names],
        )

    @property
    def _names(self) -> list[str]:
        return [agent.node_id for agent in self._agents]

    @asynccontextmanager
    async def _mesh(self) -> AsyncIterator[Conductor]:
        """All agents as processes, none of which is left behind, and their conductor, not yet serving."""
        own = Journal(self._folder.conductor_journal, CONDUCTOR, 0, self._clock)

        def record(ev: str, *, at: float | None = None, **fields: JsonValue) -> None:
            own.append_at(self._clock.now() if at is None else at, ev, **fields)

        async with httpx.AsyncClient(timeout=_ADMIN_TIMEOUT_S, trust_env=False) as admin:
            runtime = LocalRuntime(self._agents, self._folder, admin, self._clock, record)
            try:
                await runtime.start(start_timeout_s(len(self._agents)))
                urls = {agent.node_id: admin_url(agent) for agent in self._agents}
                home = self._folder.path.resolve()
                yield Conductor(self._agents, urls, admin, home, self._clock, own, self.counter)
            finally:
                await runtime.stop()
                own.close()

    def _memory(self, line: str) -> dict[str, float]:
        """MB of each agent, by a line of its ``/proc/<pid>/status``: VmRSS now, VmHWM at its highest."""
        found = {}
        for node in self._names:
            pid = next(one["pid"] for one in self._journal_of(node) if one["ev"] == "agent_start")
            status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
            kib = next(text for text in status.splitlines() if text.startswith(f"{line}:")).split()[1]
            found[node] = int(kib) * 1024 / _MB
        return found

    def _journal_of(self, node: str) -> JournalReader:
        return JournalReader(self._folder.workspace(node) / "journal.jsonl")

    async def _look_up_all(self) -> list[float]:
        """How long each lookup took, ms, in their order."""
        rng = seeds.stream(self._scenario.storm.seed, "lookups")
        fragments = self._workload.document.fragments
        wanted = rng.choices(fragments, k=_WARM_UP + LOOKUPS)
        reader = self._reader()
        await reader.start()
        try:
            for node in self._names:
                with classify(Traffic.HANDSHAKE, node):
                    await reader.connect(node)
            holders = [rng.choice(self._workload.holders[self._shard(one)]) for one in wanted]
            return [await self._look_up(reader, node, one) for node, one in zip(holders, wanted, strict=True)]
        finally:
            await reader.close()

    def _reader(self) -> BaseProtocolAdapter:
        """The conductor's place in the roster, now taken by who reads."""
        context = AdapterContext(
            Identity(CONDUCTOR, 0),
            lambda name: self._agents[0].member(name).endpoint,
            self._clock,
            self.counter,
            self._folder.path.resolve(),
            _PATIENT,
        )
        return registry.load(self._scenario.storm.protocol)(context)

    def _shard(self, fragment: Fragment) -> int:
        return shard_of(fragment.title, len(self._workload.holders))

    async def _look_up(self, reader: BaseProtocolAdapter, node: str, wanted: Fragment) -> float:
        request = Message(
            message_id=f"lookup-{next(self._numbers)}",
            kind="request",
            sender=CONDUCTOR,
            recipient=node,
            traffic=Traffic.TASK,
            body={"task": "lookups", "step": wanted.fragment_id, "tool": LOOKUP, "input": {"title": wanted.title}},
        )
        began = self._clock.now()
        async with asyncio.timeout(_RESULT_TIMEOUT_S):
            with classify(Traffic.TASK, node):
                await reader.send_message(node, request)
            result = await reader.receive_message()
        took_ms = 1000 * (self._clock.now() - began)
        if result.body != {"ok": True, "output": {"fragment": wanted.model_dump(mode="json")}}:
            raise LabError(f"expected {wanted.fragment_id} of {node}, got {str(result.body)[:200]}")
        return took_ms

    def _holding(self, node: str, before_mb: float, after_mb: float, peak_mb: float) -> Holding:
        """What lies in the folder of ``node``, fragment by fragment."""
        own = [shard for shard, names in enumerate(self._workload.holders) if node in names]
        folder = self._folder.workspace(node)
        kept = Broadcast.model_validate_json((folder / "broadcast.json").read_bytes()).shards
        lying = {
            int(path.stem): [Fragment.model_validate_json(line) for line in path.read_bytes().splitlines()]
            for path in sorted((folder / "shards").glob("*.jsonl"))
        }
        held = [one for fragments in (*kept.values(), *lying.values()) for one in fragments]
        wanted = sum(len(self._shards[shard]) for shard in own)
        stored = [sum(map(len, place.values())) for place in (kept, lying)]
        stored += [int(str(one["fragments"])) for one in self._journal_of(node) if one["ev"] == "init"]
        return Holding(
            node=node,
            shards=len(own),
            fragments=max(stored),
            missing=wanted - min(stored),
            foreign=sum(self._shard(one) not in own for one in held),
            before_mb=before_mb,
            after_mb=after_mb,
            peak_mb=peak_mb,
        )
