"""Conducts one run, from the first process to the report, wherever its agents live."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import httpx
from pydantic import JsonValue
from rich.console import Console

from agent.journal import Journal
from agent.settings import AgentSettings
from chaos.faults import Record
from chaos.links.control import Links
from orchestrator import host, hypothesis, junit, prologue, report, run_dir, timeline
from orchestrator.canary import Canaries
from orchestrator.conductor import Conductor
from orchestrator.events import parse
from orchestrator.events.agents import Answer
from orchestrator.events.conductor import Scheduled
from orchestrator.journal import Event
from orchestrator.layout import lay_out
from orchestrator.live import LiveView
from orchestrator.live_state import LiveState
from orchestrator.ports import HOST
from orchestrator.report import Report
from orchestrator.reserve import Reserve, size_bytes
from orchestrator.roster import agents_of, local_site
from orchestrator.run_dir import RunDir
from orchestrator.runtime import Runtime, RuntimeFactory, admin_url, start_timeout_s
from orchestrator.runtime.local import LocalRuntime
from orchestrator.scenario import Scenario
from orchestrator.storming import Storming
from orchestrator.success import is_success
from orchestrator.telemetry import epilogue, results
from orchestrator.telemetry.exporter import Exporter, serve
from orchestrator.telemetry.targets import write_targets
from orchestrator.workload.assignment import Workload, assign, with_measure
from orchestrator.workload.placement import cut
from protocols.clock import Clock, MonotonicClock, unix_offset_s
from protocols.errors import FailstormError, LabError
from protocols.wire import ByteCounter, counting_loop

EXIT_LAB, EXIT_INTERRUPTED = 3, 130
_ADMIN_TIMEOUT_S = 60.0


def conduct(scenario: Scenario, *, debug: bool = False) -> int:
    """Run ``scenario`` on local processes and report; returns the exit code (DESIGN: 0 valid … 130 interrupted).

    Whatever ends the run, no agent is left behind and what was measured is reported.
    """
    results_dir = Path(scenario.output.results_dir)
    run_id = run_dir.new_run_id(datetime.now(UTC), scenario.storm.protocol, scenario.storm.seed)
    folder = run_dir.create(results_dir, run_id)
    run_dir.write_atomically(folder.path / run_dir.SCENARIO_FILE, scenario.to_yaml())
    run_dir.publish(folder, results_dir.parent)
    planned = timeline.plan(scenario)
    links: Links | None = None
    if planned.needs_proxy:
        links = Links({agent.node_id: (HOST, agent.port) for agent in planned.agents}, scenario.storm.seed)
    agents = agents_of(scenario, planned, run_id, local_site(folder, links))
    lay_out(folder, agents)
    metrics_of = {agent.node_id: f"{HOST}:{agent.admin_port}" for agent in agents}
    write_targets(folder.path, run_id, metrics_of, f"{HOST}:{scenario.ports.conductor_admin}")
    clock = MonotonicClock()

    def processes(admin: httpx.AsyncClient, record: Record) -> LocalRuntime:
        return LocalRuntime(agents, folder, admin, clock, record, scenario.llm.model.environment(), links)

    code = Run(scenario, agents, folder, clock, Console(), processes, debug=debug).play(copy_to=results_dir.parent)
    junit.write(folder.path, scenario.output.junit)
    return code


def _is_success(task: Event, answer: Event) -> bool:
    return is_success(parse(task, Scheduled), parse(answer, Answer))


class Run:
    """One run of ``agents`` whose workspaces are laid out; :meth:`play` does it all."""

    def __init__(
        self,
        scenario: Scenario,
        agents: Sequence[AgentSettings],
        folder: RunDir,
        clock: Clock,
        console: Console,
        open_runtime: RuntimeFactory,
        *,
        document: Path | None = None,
        debug: bool = False,
    ) -> None:
        self._interrupted = False
        self._clock_started = False
        self._counter = ByteCounter()
        self._scenario = scenario
        self._timeline = timeline.plan(scenario)
        self._agents = agents
        self._folder = folder
        self._clock = clock
        self._console = console
        self._open_runtime = open_runtime
        self._document = document
        self._debug = debug
        self._journal = Journal(folder.conductor_journal, "orchestrator", 0, clock)
        self._storming: Storming | None = None
        self._state = LiveState(self._timeline.windows, [agent.node_id for agent in agents], _is_success)
        earlier = results.earlier(folder.path.parent, without=folder.run_id)
        self._exporter = Exporter(self._state, clock, unix_offset_s(), earlier)

    def play(self, copy_to: Path | None = None) -> int:
        """Everything from the first agent to the report, a copy of which goes to ``copy_to``; returns the exit code.

        Raises LabError when the report cannot be written.
        """
        with asyncio.Runner(loop_factory=lambda: counting_loop(self._counter)) as runner:
            ended_by, written = runner.run(self._play(copy_to))
        if ended_by:
            line = f"fail-storm: {ended_by}"
            self._console.print(line, style="bold red", markup=False, highlight=False, soft_wrap=True)
        if written is None:
            return EXIT_INTERRUPTED if self._interrupted else EXIT_LAB
        report.print_summary(written, self._console, told=ended_by)
        if self._interrupted:
            return EXIT_INTERRUPTED
        return EXIT_LAB if ended_by and not written.baseline_broke else written.exit_code

    async def _play(self, copy_to: Path | None) -> tuple[str, Report | None]:
        """The run and what follows; returns why it ended early, empty when it did not, and the report if there is one.

        The metrics are served until the end, so that Prometheus sees the results as well.
        """
        for note in self._timeline.notes:
            self._console.print(note, style="yellow", markup=False, highlight=False)
        async with AsyncExitStack() as served:
            ended_by = await self._until_over(asyncio.create_task(self._story(served), name="story"))
            written: Report | None = None
            try:
                if self._clock_started:
                    written = await epilogue.evaluate(self._folder.path, self._exporter, copy_to)
                    written = await self._with_prometheus(written, copy_to, linger=not ended_by)
            except LabError:
                if not ended_by:
                    raise
                # The lab has failed before, and what a disk is too full for is said once.
            return ended_by, written

    async def _with_prometheus(self, written: Report, copy_to: Path | None, *, linger: bool) -> Report:
        url = self._scenario.output.prometheus_url
        if url is None:
            return written
        asking = epilogue.ask_prometheus(written, self._exporter, self._clock, url, copy_to, linger=linger)
        task = asyncio.create_task(asking, name="prometheus")
        self._interrupt_on_signals(task)
        with contextlib.suppress(asyncio.CancelledError):
            return await task
        return written

    async def _until_over(self, story: asyncio.Task[None]) -> str:
        """Wait for the last agent's end; returns why it came early, empty when it did not."""
        self._interrupt_on_signals(story)
        try:
            await story
        except asyncio.CancelledError:
            return "interrupted"
        except (FailstormError, OSError) as error:
            return str(error)
        finally:
            self._journal.close()
        return ""

    def _interrupt_on_signals(self, task: asyncio.Task[Any]) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._interrupt, task)

    def _interrupt(self, task: asyncio.Task[Any]) -> None:
        self._interrupted = True
        task.cancel()

    async def _story(self, served: AsyncExitStack) -> None:
        async with AsyncExitStack() as stack:
            admin = await stack.enter_async_context(httpx.AsyncClient(timeout=_ADMIN_TIMEOUT_S, trust_env=False))
            runtime = self._open_runtime(admin, self._record)
            workload = assign(self._scenario, self._timeline, self._document)
            workload = await with_measure(workload, self._scenario)
            prologue.journal_plan(
                self._journal, self._folder.run_id, runtime.name, self._scenario, self._timeline, workload
            )
            reserve = Reserve(self._folder.path, size_bytes(len(self._agents), self._timeline.windows.duration_s))
            log = stack.enter_context(_log(self._folder.log))
            view = LiveView(
                self._folder.path, self._state, self._clock, self._console, log, debug=self._debug,
                followers=(self._exporter.follow,),
            )  # fmt: skip
            await stack.enter_async_context(view)
            port = self._timeline.conductor_admin_port
            await served.enter_async_context(serve(self._exporter, self._agents[0].bind_host, port))
            stack.push(self._journal_early_end)
            stack.callback(reserve.release)  # no agent is left that could fill it
            stack.push_async_callback(runtime.stop)
            await runtime.start(start_timeout_s(len(self._agents)))
            await self._conduct(runtime, admin, workload)

    def _journal_early_end(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """Called when all agents are gone and the view is still there to say why."""
        if error is not None:
            with contextlib.suppress(LabError):  # the first error is the one to tell
                self._journal.append("interrupted", reason=str(error) or "interrupted")

    async def _conduct(self, runtime: Runtime, admin: httpx.AsyncClient, workload: Workload) -> None:
        urls = {agent.node_id: admin_url(agent) for agent in self._agents}
        workspace = self._folder.path.resolve()
        conductor = Conductor(self._agents, urls, admin, workspace, self._clock, self._journal, self._counter)
        async with conductor, self._canaries():
            await conductor.check_edges()
            shards = cut(workload.document.fragments, len(workload.holders))
            questions = [task.for_agents() for task in workload.tasks]
            title = self._scenario.storm.document
            t0 = await conductor.broadcast(title, shards, workload.holders, questions)
            await conductor.start(t0)
            self._clock_started = True
            await self._storm(runtime, t0)
        self._journal.append("run_end")

    async def _storm(self, runtime: Runtime, t0: float) -> None:
        """Carry out the faults and let the clock run out; the survivors are on their own."""
        self._storming = Storming(
            self._timeline, self._scenario.abort, runtime, self._state, self._clock, self._journal
        )
        async with _beside(host.journal_cpu(self._clock, self._journal), self._storming.watch_for_losses()):
            await self._check_baseline(t0)
            await self._storming.play(t0)

    async def _check_baseline(self, t0: float) -> None:
        """Look at the baseline just before the storm; raises LabError, and there is no storm, when it is bad."""
        expected = self._scenario.expect.items()
        bounds = {name: bound for name, bound in expected if hypothesis.is_settled_before(name)}
        if not bounds:
            return
        windows = self._timeline.windows
        storm_s = min([windows.kill_at_s, *(order.at_s for order in self._timeline.orders)])
        await self._clock.sleep(t0 + storm_s - hypothesis.lead_s(windows) - self._clock.now())
        # In a thread: the loop goes on serving metrics, and the storm stays in time.
        kept = await asyncio.to_thread(hypothesis.check, self._folder.path, bounds, self._clock.now())
        self._journal.append("baseline_check", bounds=[list(row) for row in kept])
        broken = [f"{name} {bound}, got {value}" for name, bound, value, met in kept if not met]
        if broken:
            raise LabError(f"expected of the baseline {'; '.join(broken)}; there was no storm")

    @asynccontextmanager
    async def _canaries(self) -> AsyncIterator[None]:
        canaries = Canaries(self._note_eof)
        addresses = {agent.node_id: (agent.member(agent.node_id).host, agent.admin_port) for agent in self._agents}
        await canaries.hold([(victim, *addresses[victim]) for victim in self._timeline.victims])
        try:
            yield
        finally:
            canaries.release()

    def _note_eof(self, victim: str) -> None:
        with contextlib.suppress(LabError):  # a disk that is full for this line ends the run by another
            self._journal.append("canary_eof", victim=victim)

    def _record(self, ev: str, *, at: float | None = None, **fields: JsonValue) -> None:
        victim = fields.get("victim")
        if ev == "heal_done" and isinstance(victim, str) and self._storming is not None:
            self._storming.healed(victim)
        self._journal.append_at(self._clock.now() if at is None else at, ev, **fields)


@asynccontextmanager
async def _beside(*watchers: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Let the watchers run as long as the block; the first that fails ends it by its error."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(watcher) for watcher in watchers]
            yield
            for task in tasks:
                task.cancel()
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None


@contextmanager
def _log(path: Path) -> Iterator[TextIO]:
    """The story of the run, for the live view to write; a disk too full for its last lines costs nothing else."""
    file = path.open("w", encoding="utf-8")
    try:
        yield file
    finally:
        with contextlib.suppress(OSError):
            file.close()
