"""Conducts one run, from the first process to the report."""

import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
from pydantic import JsonValue
from rich.console import Console

from agent.journal import Journal
from agent.settings import CONDUCTOR
from chaos.storm import carry_out
from orchestrator import host, report, run_dir, seeds, timeline
from orchestrator.canary import Canaries
from orchestrator.conductor import Conductor
from orchestrator.live import LiveView
from orchestrator.ports import HOST
from orchestrator.roster import agents_of
from orchestrator.run_dir import RunDir
from orchestrator.runtime.local import LocalRuntime
from orchestrator.scenario import GENERATED, Scenario
from orchestrator.timeline import Timeline
from orchestrator.workload.document import GaiaDocument, GeneratorParameters, load_document
from orchestrator.workload.generator import generate
from orchestrator.workload.placement import cut, place
from orchestrator.workload.schedule import ScheduledTask, schedule_tasks
from protocols import registry
from protocols.clock import Clock, MonotonicClock
from protocols.errors import FailstormError
from protocols.wire import ByteCounter, counting_loop

EXIT_LAB, EXIT_INTERRUPTED = 3, 130
_START_TIMEOUT_S = 30.0
_START_TIMEOUT_PER_AGENT_S = 1.5
_ADMIN_TIMEOUT_S = 60.0
_WATCH_S = 0.25
_QUESTIONS_PER_FRAGMENT = 10


@dataclass(frozen=True)
class Workload:
    """What the mesh will be asked."""

    document: GaiaDocument
    holders: list[list[str]]
    tasks: tuple[ScheduledTask, ...]


def conduct(scenario: Scenario, *, debug: bool = False) -> int:
    """Run ``scenario`` on local processes and report; returns the exit code (DESIGN: 0 valid … 130 interrupted).

    Whatever ends the run, no agent is left behind and what was measured is reported.
    """
    console = Console()
    results_dir = Path(scenario.output.results_dir)
    run_id = run_dir.new_run_id(datetime.now(UTC), scenario.storm.protocol, scenario.storm.seed)
    folder = run_dir.create(results_dir, run_id)
    (folder.path / "scenario.yaml").write_text(scenario.to_yaml(), encoding="utf-8")
    run_dir.publish(folder, results_dir.parent)
    run = Run(scenario, folder, MonotonicClock(), console, debug=debug)
    with asyncio.Runner(loop_factory=lambda: counting_loop(run.counter)) as runner:
        ended_by = runner.run(run.play())
    if ended_by:
        console.print(f"fail-storm: {ended_by}", style="bold red", markup=False, highlight=False, soft_wrap=True)
    if not run.clock_started:
        return EXIT_INTERRUPTED if run.interrupted else EXIT_LAB
    written = report.write_report(folder.path, copy_to=results_dir.parent)
    report.print_summary(written, console)
    if run.interrupted:
        return EXIT_INTERRUPTED
    return EXIT_LAB if ended_by else written.exit_code


class Run:
    """One run; :meth:`play` does it all."""

    def __init__(self, scenario: Scenario, folder: RunDir, clock: Clock, console: Console, *, debug: bool) -> None:
        self.counter = ByteCounter()
        self.interrupted = False
        self.clock_started = False
        self._scenario = scenario
        self._timeline = timeline.plan(scenario)
        self._folder = folder
        self._clock = clock
        self._console = console
        self._debug = debug
        self._journal = Journal(folder.conductor_journal, "orchestrator", 0, clock)
        self._killed: dict[str, None] = {}

    async def play(self) -> str:
        """Everything from the first process to the last; returns why it ended early, empty when it did not."""
        for note in self._timeline.notes:
            self._console.print(note, style="yellow", markup=False, highlight=False)
        story = asyncio.create_task(self._story(), name="story")
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._interrupt, story)
        try:
            await story
        except asyncio.CancelledError:
            return "interrupted"
        except (FailstormError, OSError) as error:
            return str(error)
        finally:
            self._journal.close()
        return ""

    def _interrupt(self, story: asyncio.Task[None]) -> None:
        self.interrupted = True
        story.cancel()

    async def _story(self) -> None:
        workload = _workload(self._scenario, self._timeline)
        self._journal_plan(workload)
        async with AsyncExitStack() as stack:
            log = stack.enter_context(self._folder.log.open("w", encoding="utf-8"))
            names = [agent.node_id for agent in self._timeline.agents]
            view = LiveView(
                self._folder.path, self._timeline.windows, names, self._clock, self._console, log, debug=self._debug
            )
            await stack.enter_async_context(view)
            stack.push(self._journal_early_end)
            admin = await stack.enter_async_context(httpx.AsyncClient(timeout=_ADMIN_TIMEOUT_S, trust_env=False))
            runtime = LocalRuntime(
                agents_of(self._scenario, self._timeline, self._folder), self._folder, admin, self._clock
            )
            stack.push_async_callback(runtime.stop)
            self._prepare_protocol(names)
            await runtime.start(_START_TIMEOUT_S + _START_TIMEOUT_PER_AGENT_S * len(names))
            await self._conduct(runtime, admin, workload)

    def _prepare_protocol(self, names: Sequence[str]) -> None:
        """Let the protocol make what its nodes need before the first one starts: certificates, for instance."""
        workspaces = {name: self._folder.workspace(name).resolve() for name in names}
        for workspace in workspaces.values():
            workspace.mkdir(exist_ok=True)
        adapter = registry.load(self._scenario.storm.protocol)
        adapter.prepare(self._folder.path.resolve(), workspaces | {CONDUCTOR: self._folder.path.resolve()})

    def _journal_early_end(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """Called when all agents are gone and the view is still there to say why."""
        if error is not None:
            self._journal.append("interrupted", reason=str(error) or "interrupted")

    async def _conduct(self, runtime: LocalRuntime, admin: httpx.AsyncClient, workload: Workload) -> None:
        agents = agents_of(self._scenario, self._timeline, self._folder)
        urls = {agent.node_id: runtime.admin_url(agent.node_id) for agent in agents}
        workspace = self._folder.path.resolve()
        conductor = Conductor(agents, urls, admin, workspace, self._clock, self._journal, self.counter)
        async with conductor, self._canaries():
            await conductor.check_edges()
            shards = cut(workload.document.fragments, len(workload.holders))
            questions = [task.for_agents() for task in workload.tasks]
            title = self._scenario.storm.document
            t0 = await conductor.broadcast(title, shards, workload.holders, questions)
            await conductor.start(t0)
            self.clock_started = True
            await self._storm(runtime, t0)
        self._journal.append("run_end")

    async def _storm(self, runtime: LocalRuntime, t0: float) -> None:
        """Carry out the faults and let the clock run out; the survivors are on their own."""
        watchers = [
            asyncio.create_task(host.journal_cpu(self._clock, self._journal), name="host"),
            asyncio.create_task(self._watch_for_losses(runtime), name="losses"),
        ]
        try:
            await carry_out(self._timeline.orders, target=runtime.target, clock=self._clock, t0=t0, record=self._record)
            await self._clock.sleep(t0 + self._timeline.windows.duration_s - self._clock.now())
        finally:
            for watcher in watchers:
                watcher.cancel()

    @asynccontextmanager
    async def _canaries(self) -> AsyncIterator[None]:
        canaries = Canaries(lambda node: self._journal.append("canary_eof", victim=node))
        ports = {agent.node_id: agent.admin_port for agent in self._timeline.agents}
        await canaries.hold([(victim, HOST, ports[victim]) for victim in self._timeline.victims])
        try:
            yield
        finally:
            canaries.release()

    async def _watch_for_losses(self, runtime: LocalRuntime) -> None:
        """Journal an agent that ended although nobody killed it, once."""
        known: dict[str, None] = {}
        while True:
            for node, status in runtime.ended().items():
                if node not in self._killed and node not in known:
                    known[node] = None
                    self._journal.append("agent_lost", victim=node, status=status)
            await self._clock.sleep(_WATCH_S)

    def _record(self, ev: str, *, at: float | None = None, **fields: JsonValue) -> None:
        victim = fields.get("victim")
        if ev == "kill_call" and isinstance(victim, str):
            self._killed[victim] = None
        elif ev == "heal_done" and isinstance(victim, str):
            del self._killed[victim]
        self._journal.append_at(self._clock.now() if at is None else at, ev, **fields)

    def _journal_plan(self, workload: Workload) -> None:
        storm = self._scenario.storm
        distribution, _ = registry.sdk(storm.protocol)
        self._journal.append(
            "run_start",
            run_id=self._folder.run_id,
            protocol=storm.protocol,
            sdk=distribution,
            runtime=LocalRuntime.name,
            seed=storm.seed,
            scenario=self._scenario.to_mapping(),
            windows=self._timeline.windows.model_dump(mode="json"),
            victims=list(self._timeline.victims),
            host=host.describe(),
            versions=host.versions(distribution),
        )
        self._journal.append(
            "roster",
            agents=[
                {"node_id": agent.node_id, "tool": agent.tool, "neighbours": list(agent.neighbours)}
                for agent in self._timeline.agents
            ],
        )
        self._journal.append("placement", holders=[list(names) for names in workload.holders])
        for task in workload.tasks:
            self._journal.append(
                "task", task=task.task_id, at_s=task.at_s, answer=task.answer, shards=list(task.shards)
            )


def _workload(scenario: Scenario, planned: Timeline) -> Workload:
    storm = scenario.storm
    if storm.document == GENERATED:
        # A small world holds only so many distinct questions; the schedule asks them again in another order.
        questions = max(1, min(len(planned.arrivals_s), _QUESTIONS_PER_FRAGMENT * storm.fragments))
        parameters = GeneratorParameters(seed=storm.seed, fragment_count=storm.fragments, question_count=questions)
        document = generate(parameters, seeds.stream(storm.seed, "document"))
    else:
        document = load_document(Path(storm.document))
    names = [agent.node_id for agent in planned.agents]
    holders = place(len(names), names, scenario.replication, storm.seed)
    tasks = schedule_tasks(document, planned.arrivals_s, len(holders), seeds.stream(storm.seed, "tasks"))
    return Workload(document, holders, tasks)
