"""Owns tasks: begins them on schedule, runs their pipeline over the mesh, commits answers, takes over dead owners'."""

import asyncio
from functools import partial

from agent.exchange import Exchange, JsonObject, Step, StepFailedError
from agent.heartbeat import Spawn
from agent.journal import Journal
from agent.mesh import MeshNetwork
from agent.roles import Roles
from agent.settings import AgentSettings
from agent.tools import REGISTRY
from agent.tools.contract import StepRejectedError
from agent.workspace import Question, Workspace
from protocols.clock import Clock
from protocols.errors import ProtocolError
from protocols.message import Cause, Message, Traffic

_PATIENCE_IN_DEADLINES = 3
"""A late answer earns nothing, but it is not a lost task; after three deadlines nobody waits any more."""


class TaskOwner:
    """The tasks of one agent; a task's owner is the first on its preference list that is held for alive."""

    def __init__(
        self,
        settings: AgentSettings,
        mesh: MeshNetwork,
        roles: Roles,
        exchange: Exchange,
        workspace: Workspace,
        clock: Clock,
        journal: Journal,
        spawn: Spawn,
    ) -> None:
        self._settings = settings
        self._mesh = mesh
        self._roles = roles
        self._exchange = exchange
        self._workspace = workspace
        self._clock = clock
        self._journal = journal
        self._spawn = spawn
        self._schedule: tuple[Question, ...] = ()
        self._t0 = 0.0
        self._arrived = 0
        self._settled: dict[str, None] = {}
        self._running: dict[str, asyncio.Event] = {}
        detector = settings.detector
        # A death is noticed at most this long after it; a task settled by its owner before that needs no one else.
        self._unnoticed_s = detector.misses * detector.interval_s + detector.timeout_s + 1.0
        mesh.on("commit", self._on_commit)

    async def run_schedule(self, schedule: tuple[Question, ...], t0: float, since: float) -> None:
        """Begin each task at its time if it is this agent's; returns after the last arrival.

        Times do not wait for answers (open loop). Tasks that arrived before ``since`` (monotonic seconds) belong to
        those who were alive then.
        """
        self._schedule, self._t0 = schedule, t0
        for number, question in enumerate(schedule, start=1):
            arrival = t0 + question.at_s
            await self._clock.sleep(arrival - self._clock.now())
            self._arrived = number
            if arrival >= since and self._owner(question.task_id, self._eligible()) == self._settings.node_id:
                self._begin(question, None)

    def take_over(self, victim: str) -> None:
        """``victim`` is held for dead: its unsettled tasks go to the next on their lists, perhaps to this agent."""
        # A victim that has come back already, before anyone missed it, knows nothing of what it had begun.
        alive = tuple(name for name in self._roles.alive() if name != victim)
        before = (*alive, victim)
        horizon = self._clock.now() - self._unnoticed_s - self._settings.task_deadline_s
        for question in self._schedule[: self._arrived]:
            task = question.task_id
            if self._t0 + question.at_s < horizon:
                continue
            if self._owner(task, before) == victim and self._owner(task, alive) == self._settings.node_id:
                self._begin(question, Cause(victim=victim, request=task))

    def _eligible(self) -> tuple[str, ...]:
        """Who may own a task that arrives now; with take-over off nobody stands in for the dead."""
        if self._settings.recovery.takeover:
            return self._roles.alive()
        return tuple(member.node_id for member in self._settings.roster)

    def _owner(self, task: str, alive: tuple[str, ...]) -> str:
        return next(name for name in self._roles.owners(task) if name in alive)

    def _begin(self, question: Question, cause: Cause | None) -> None:
        if question.task_id in self._settled or question.task_id in self._running:
            return
        self._running[question.task_id] = asyncio.Event()
        self._spawn(self._run(question, cause))

    async def _run(self, question: Question, cause: Cause | None) -> None:
        task = question.task_id
        blame: JsonObject = {"cause": [cause.victim, cause.request]} if cause else {}
        self._journal.append("task_start", task=task, takeover=cause is not None, **blame)
        self._workspace.note_task({"task": task, "question": question.question, "takeover": cause is not None})
        pipeline = asyncio.ensure_future(self._pipeline(question, cause))
        overtaken = asyncio.ensure_future(self._running[task].wait())
        try:
            await asyncio.wait({pipeline, overtaken}, return_when=asyncio.FIRST_COMPLETED)
            if pipeline.done():
                await self._settle(question, pipeline.result())
        except (StepFailedError, StepRejectedError) as error:
            reason = error.reason if isinstance(error, StepFailedError) else "rejected"
            self._journal.append("task_failed", task=task, reason=reason)
        finally:
            pipeline.cancel()
            overtaken.cancel()
            del self._running[task]

    async def _pipeline(self, question: Question, cause: Cause | None) -> JsonObject:
        state: JsonObject = {"question": question.question}
        give_up_at = self._t0 + question.at_s + _PATIENCE_IN_DEADLINES * self._settings.task_deadline_s
        if cause is not None:  # a task taken over late still gets its chance
            give_up_at = max(give_up_at, self._clock.now() + self._settings.task_deadline_s)
        for name, tool in REGISTRY.items():
            step = Step(
                task_id=question.task_id,
                step_id=f"{question.task_id}/{name}",
                tool=name,
                input=tool.next_input(state),
                give_up_at=give_up_at,
                candidates=partial(self._roles.holders, name),
            )
            state = tool.advance(state, await self._exchange.ask(step, cause))
            if not self._roles.can(name):  # done here it was no message yet
                cause = None
        return state

    async def _settle(self, question: Question, state: JsonObject) -> None:
        task, answer = question.task_id, state.get("answer")
        chain = state.get("chain")
        evidence = [link["fragment_id"] for link in chain if isinstance(link, dict)] if isinstance(chain, list) else []
        self._settled[task] = None
        self._journal.append("answer", task=task, answer=answer, evidence=evidence)
        self._workspace.note_answer({"task": task, "question": question.question, "answer": answer, "chain": chain})
        # As many live agents know of the commitment as hold each fragment; so a task survives as many deaths.
        heirs = [name for name in self._roles.owners(task) if name in self._roles.alive()]
        heirs = [name for name in heirs if name != self._settings.node_id][: self._settings.replication - 1]
        for heir in heirs:
            self._spawn(self._notify(heir, task))

    async def _notify(self, heir: str, task: str) -> None:
        try:
            await self._mesh.send(self._mesh.message(heir, "commit", Traffic.TASK, {"task": task}))
        except ProtocolError:
            return  # at worst the task is done once more, which the journal shows

    async def _on_commit(self, message: Message) -> None:
        task = message.body.get("task")
        if isinstance(task, str):
            self._settled[task] = None
            overtaken = self._running.get(task)
            if overtaken is not None:
                overtaken.set()
