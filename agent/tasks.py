"""Owns tasks: begins them on schedule, runs their pipeline over the mesh, commits answers, takes over dead owners'."""

import asyncio
import contextlib
from collections.abc import Sequence
from functools import partial

from pydantic import JsonValue

from agent.agreement import Agreement
from agent.deaths import Deaths
from agent.errand import PATIENCE_IN_DEADLINES, JsonObject, Step, StepFailedError
from agent.exchange import Exchange
from agent.journal import Journal
from agent.mesh import MeshNetwork
from agent.notices import Notices
from agent.roles import Roles
from agent.settings import AgentSettings
from agent.spawn import Spawn, beside
from agent.tools import REGISTRY
from agent.tools.contract import StepRejectedError
from agent.workspace import Question, Workspace
from protocols.clock import Clock
from protocols.message import Cause

_LATER_S = 1e-6
_LAST_WORD_S = 1.0
"""As long as a receipt is waited for: an elector that is silent does not hold up the end."""


class TaskOwner:
    """The tasks of one agent; a task's owner is the first on its preference list that is held for alive."""

    def __init__(
        self,
        settings: AgentSettings,
        mesh: MeshNetwork,
        roles: Roles,
        exchange: Exchange,
        agreement: Agreement,
        deaths: Deaths,
        workspace: Workspace,
        clock: Clock,
        journal: Journal,
        spawn: Spawn,
    ) -> None:
        self._settings = settings
        self._roles = roles
        self._exchange = exchange
        self._agreement = agreement
        self._deaths = deaths
        self._workspace = workspace
        self._clock = clock
        self._journal = journal
        self._spawn = spawn
        self._schedule: tuple[Question, ...] = ()
        self._t0 = 0.0
        self._arrived = 0
        self._arrivals: dict[str, float] = {}
        self._running: dict[str, asyncio.Event] = {}
        # Tasks that others are asked to promise, and what tells that they are settled.
        self._deciding: dict[str, asyncio.Event] = {}
        self._is_ending = False
        # When the present life of an agent began, as far as it is not its first.
        self._born: dict[str, float] = {}
        self._returned_at = float("-inf")
        self._notices = Notices(settings, mesh, roles, agreement, clock, spawn)
        agreement.yielded = self._yield
        agreement.knew = self._knew
        agreement.newer = self._newer

    async def run_schedule(self, schedule: tuple[Question, ...], t0: float, since: float) -> None:
        """Begin each task at its time if it is this agent's; returns after the last arrival.

        Times do not wait for answers (open loop). Tasks that arrived before ``since`` (monotonic seconds) belong to
        those who were alive then.
        """
        self._schedule, self._t0 = schedule, t0
        self._arrivals = {question.task_id: t0 + question.at_s for question in schedule}
        self._born[self._settings.node_id] = since
        if since > t0:  # others may not have heard of this life yet, and stand in for the last one
            self._agreement.disturbed()
        for number, question in enumerate(schedule, start=1):
            arrival = t0 + question.at_s
            await self._clock.sleep(arrival - self._clock.now())
            self._arrived = number
            if arrival >= since and self._owner(question.task_id, self._eligible()) == self._settings.node_id:
                self._begin(question, None)

    async def wind_up(self) -> None:
        """Before an orderly end: ask for no more promises, and commit what has been promised by now.

        Whoever has given a promise leaves the task to this agent for good; all that has not got so far is taken over.
        """
        self._is_ending = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORD_S):
                for settled in list(self._deciding.values()):
                    await settled.wait()

    def reborn(self, peer: str) -> None:
        """``peer`` is a new process: what has arrived until now is none of its tasks.

        This agent may be newer still, and hear of it late: then it takes it for as old as itself, and is told better.
        """
        own = self._born.get(self._settings.node_id, self._t0)
        is_late = own > self._t0 and peer not in self._born
        self._born[peer] = own if is_late else self._clock.now()

    def returned(self, peer: str) -> None:
        """``peer`` is alive again: what could not be done without it may be done now."""
        self._returned_at = self._clock.now()
        self._deaths.returned(peer)
        self._notices.returned(peer)

    def take_over(self, victim: str, unnoticed_s: float) -> None:
        """``victim`` is lost: its unsettled tasks go to the next on their lists, perhaps to this agent.

        It may have died ``unnoticed_s`` ago; what it had for longer than a deadline by then is settled.
        """
        horizon = self._clock.now() - unnoticed_s - self._settings.task_deadline_s
        self._notices.lost(victim, horizon)
        for question in self._schedule[: self._arrived]:
            task, arrival = question.task_id, self._t0 + question.at_s
            if arrival < horizon:
                continue
            # Whoever has been restarted since knows nothing of what it had begun, the victim too if it is back.
            lived = [
                name for name in self._roles.alive() if self._born.get(name, arrival) <= arrival and name != victim
            ]
            if self._owner(task, (*lived, victim)) == victim and self._owner(task, lived) == self._settings.node_id:
                self._begin(question, Cause(victim=victim, request=task))

    def _eligible(self) -> tuple[str, ...]:
        """Who may own a task that arrives now; with take-over off nobody stands in for the dead."""
        if self._settings.recovery.takeover:
            return self._roles.alive()
        return tuple(member.node_id for member in self._settings.roster)

    def _owner(self, task: str, alive: Sequence[str]) -> str | None:
        return next((name for name in self._roles.owners(task) if name in alive), None)

    def _begin(self, question: Question, cause: Cause | None) -> None:
        if question.task_id in self._running or not self._agreement.is_open(question.task_id):
            return
        self._running[question.task_id] = asyncio.Event()
        self._spawn(self._run(question, cause))

    async def _run(self, question: Question, cause: Cause | None) -> None:
        task = question.task_id
        blame: JsonObject = {"cause": [cause.victim, cause.request]} if cause else {}
        self._journal.append("task_start", task=task, takeover=cause is not None, **blame)
        self._note(task, question=question.question, takeover=cause is not None)
        pipeline = beside(self._work_out(question, cause), self._spawn, (StepFailedError, StepRejectedError))
        overtaken = asyncio.ensure_future(self._running[task].wait())
        try:
            await asyncio.wait({pipeline, overtaken}, return_when=asyncio.FIRST_COMPLETED)
            won = pipeline.result() if pipeline.done() else None
            if won is not None:
                self._settle(question, *won)
                self._note(task, end="answered")
            else:
                self._note(task, end="answered by another agent")
        except (StepFailedError, StepRejectedError) as error:
            reason = error.reason if isinstance(error, StepFailedError) else "rejected"
            self._journal.append("task_failed", task=task, reason=reason)
            self._note(task, end=f"failed: {reason}")
        finally:
            pipeline.cancel()
            overtaken.cancel()
            del self._running[task]
            if task in self._deciding:
                self._deciding.pop(task).set()

    async def _work_out(self, question: Question, cause: Cause | None) -> tuple[JsonObject, tuple[str, ...]] | None:
        """The answer and who knows that it is committed here, or None where it is another's to commit."""
        state = await self._pipeline(question, cause)
        if self._is_ending:
            await asyncio.Event().wait()  # until the end
        if not self._settings.recovery.takeover:  # nobody else could have begun it
            return state, ()
        self._deciding[question.task_id] = asyncio.Event()
        told = await self._agreement.win(question.task_id, inherited=cause is not None)
        return None if told is None else (state, told)

    async def _pipeline(self, question: Question, cause: Cause | None) -> JsonObject:
        state: JsonObject = {"question": question.question}
        give_up_at = self._t0 + question.at_s + PATIENCE_IN_DEADLINES * self._settings.task_deadline_s
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
            workers: list[str] = []
            output = await self._exchange.ask(step, cause, workers.append, self._prolong)
            state = tool.advance(state, output)
            self._note(question.task_id, step=name, by=workers[-1], **trail_of(output))
        return state

    async def _prolong(self) -> float | None:
        """Until when a step is wanted, now that its time is up.

        For as long as it takes while anybody is silent, or this agent itself was: it blames itself first, and not whom
        it has asked.
        """
        deadline_s = self._settings.task_deadline_s
        # Whom one that was cut off does not find back at once it finds back one a beat; it does its part after that.
        finding_back_s = len(self._settings.roster) * self._settings.detector.longest_interval_s
        is_back = self._returned_at >= self._clock.now() - finding_back_s - deadline_s
        wanted = is_back or self._agreement.is_disturbed() or await self._may_return()
        return self._clock.now() + deadline_s if wanted else None

    async def _may_return(self) -> bool:
        """Whether somebody is missing who is not dead beyond doubt."""
        alive = self._roles.alive()
        missing = [member.node_id for member in self._settings.roster if member.node_id not in alive]
        return not await self._deaths.are_proven(missing)

    def _note(self, task: str, **told: JsonValue) -> None:
        """Keep what is known of a task from now on, for a person to read; ``at_s`` are seconds after t0."""
        self._workspace.note_task({"task": task, "at_s": round(self._clock.now() - self._t0, 3), **told})

    def _settle(self, question: Question, state: JsonObject, knowing: Sequence[str]) -> None:
        task, answer = question.task_id, state.get("answer")
        chain = state.get("chain")
        links = chain if isinstance(chain, list) else []
        evidence: list[JsonValue] = [link["fragment_id"] for link in links if isinstance(link, dict)]
        self._journal.append("answer", task=task, answer=answer, evidence=evidence)
        self._workspace.note_answer(
            {"task": task, "question": question.question, "answer": answer, "fragments": evidence, "chain": chain}
        )
        if self._settings.recovery.takeover:  # else nobody would do it again
            self._notices.committed(task, knowing)

    def _yield(self, task: str) -> None:
        overtaken = self._running.get(task)
        if overtaken is not None:
            overtaken.set()

    def _newer(self, peer: str, task: str) -> None:
        """``peer`` says that its life is younger than ``task``."""
        self._born[peer] = max(self._born.get(peer, self._t0), self._arrivals.get(task, self._t0) + _LATER_S)

    def _knew(self, name: str, task: str) -> bool:
        arrival = self._arrivals.get(task, self._clock.now())
        return self._born.get(name, arrival) <= arrival


def trail_of(output: JsonObject) -> JsonObject:
    """What a step found, without the texts of fragments: the sentences that count come with the next step."""
    fragments = output.get("fragments")
    if not isinstance(fragments, list):
        return output
    named: list[JsonValue] = [f"{one['fragment_id']} {one['title']}" for one in fragments if isinstance(one, dict)]
    return {**output, "fragments": named}
