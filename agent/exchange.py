"""Has a step done by a peer: request, receipt, result; and again by another when the peer dies."""

import asyncio
import math
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from agent.errand import Errand, JsonObject, OutOfReachError, Step, StepFailedError, UnansweredError
from agent.journal import Journal
from agent.mesh import Link, MeshNetwork
from agent.patience import Patience
from agent.retries import RETRIES_PER_S, RETRIES_PER_SUCCESS, Backoff, RetryBudget
from agent.roles import Roles
from agent.settings import AgentSettings
from agent.spawn import Spawn, beside
from protocols.clock import Clock
from protocols.errors import ProtocolError
from protocols.message import Cause, Message, Traffic

ExecuteLocally = Callable[[Step, str], Awaitable[JsonObject]]
Prolong = Callable[[], Awaitable[float | None]]
"""Asked when a step's time is up: until which monotonic second it is wanted now, if it still is."""

_FIRST_BACKOFF_S = 0.05
_LONGEST_BACKOFF_S = 0.5
_MORE_TIME_MAY_HELP = ("nobody_left", "no_budget", "unavailable", "too_late")


async def _no_longer() -> None:
    """Nobody wants the step any more."""


class Exchange:
    """All requests of one agent that are not answered yet."""

    def __init__(
        self,
        settings: AgentSettings,
        mesh: MeshNetwork,
        roles: Roles,
        clock: Clock,
        journal: Journal,
        new_id: Callable[[], str],
        spawn: Spawn,
    ) -> None:
        self.execute_locally: ExecuteLocally | None = None
        self.within_reach: Callable[[str], bool] = lambda _title: True
        """Whether this agent knows of a live holder of the fragment with that title."""
        self._settings = settings
        self._mesh = mesh
        self._roles = roles
        self._clock = clock
        self._journal = journal
        self._new_id = new_id
        self._spawn = spawn
        self._open: dict[str, Errand] = {}
        self._repaired: dict[Cause, None] = {}
        self.budget = RetryBudget(RETRIES_PER_SUCCESS, RETRIES_PER_S, enforced=settings.recovery.retry_budget)
        """Pays for whatever this agent tries again."""
        self._rng = random.Random(f"{settings.seed}|{settings.node_id}|retries")  # noqa: S311 - a jitter, not a secret
        self._patience = Patience(max(1.0, settings.task_deadline_s / 2))
        # How long a failed send waits for the failure detector to say whether the peer is dead.
        self._verdict_s = settings.detector.timeout_s + 0.1
        mesh.on("result", self._on_result)

    async def ask(
        self,
        step: Step,
        cause: Cause | None = None,
        done_by: Callable[[str], None] = lambda _peer: None,
        prolong: Prolong = _no_longer,
    ) -> JsonObject:
        """The output of ``step``, done by the best candidate that lives to finish it; raises StepFailedError.

        ``cause`` marks its messages, until one is acknowledged, as a repair (of a task whose owner died). ``done_by``
        is told who did it. However often ``prolong`` gives it more time, it stays one request: who works on it goes on.
        """
        future: asyncio.Future[JsonObject] = asyncio.get_running_loop().create_future()
        backoff = Backoff(_FIRST_BACKOFF_S, _LONGEST_BACKOFF_S, self._rng)
        errand = Errand(step, self._new_id(), cause, future, backoff)
        self._open[errand.request_id] = errand
        try:
            while True:
                try:
                    peer, output = await self._pursue(errand)
                except StepFailedError as error:
                    more = await prolong() if error.reason in _MORE_TIME_MAY_HELP else None
                    if more is None:
                        raise
                    errand.step = replace(errand.step, give_up_at=more)
                else:
                    self.budget.earn()
                    done_by(peer)
                    return output
        finally:
            del self._open[errand.request_id]

    async def _pursue(self, errand: Errand) -> tuple[str, JsonObject]:
        """Who did it, and its output; raises StepFailedError."""
        while True:
            peer = self._choose(errand)
            if peer is None:
                await self._back_off(errand, "nobody_left")
                errand.passed_over.clear()
                continue
            if errand.attempts and not self.budget.spend(self._clock.now()):
                await self._back_off(errand, "no_budget")
                continue
            try:
                return peer, await self._attempt(errand, peer)
            except UnansweredError:
                if not self._settings.recovery.republish:
                    raise StepFailedError(errand.step.step_id, "peer_lost") from None
            except OutOfReachError as error:
                await self._until_within_reach(errand, str(error))

    def peer_lost(self, victim: str) -> None:
        """``victim`` is suspected: whatever it was asked to do has to be asked of another."""
        for cause in [cause for cause in self._repaired if cause.victim == victim]:
            del self._repaired[cause]
        for errand in self._open.values():
            if errand.peer == victim:
                errand.cause = Cause(victim=victim, request=errand.request_id)
                errand.lost.set()

    async def _back_off(self, errand: Errand, reason: str) -> None:
        """Wait, each time longer, with a jitter that keeps those who wait apart; raises StepFailedError in time."""
        pause_s = errand.backoff.next_s()
        if self._clock.now() + pause_s > errand.step.give_up_at:
            raise StepFailedError(errand.step.step_id, reason)
        await self._clock.sleep(pause_s)

    async def _until_within_reach(self, errand: Errand, title: str) -> None:
        """Wait for a holder of the fragment; waiting costs nothing, asking again is paid for."""
        await self._back_off(errand, "unavailable")
        while not self.within_reach(title):
            await self._back_off(errand, "unavailable")

    def _choose(self, errand: Errand) -> str | None:
        candidates = [name for name in errand.step.candidates() if name not in errand.rejected_by]
        if errand.rejected_by and not candidates:
            raise StepFailedError(errand.step.step_id, errand.rejection)
        able = [name for name in candidates if name not in errand.passed_over]
        ordered = self._roles.order(errand.step.step_id, able, self._mesh.links)
        return ordered[0] if ordered else None

    async def _attempt(self, errand: Errand, peer: str) -> JsonObject:
        errand.peer = peer
        errand.lost.clear()
        errand.attempts += 1
        errand.asked_at[peer] = self._clock.now()
        if self._clock.now() >= errand.step.give_up_at:
            raise StepFailedError(errand.step.step_id, "too_late")
        if peer == self._settings.node_id:
            return await self._do_it_here(errand)
        if not await self._answered(errand, peer):
            errand.passed_over.append(peer)
            raise UnansweredError(peer)
        return self._unpack(errand, peer, errand.result.result())

    async def _answered(self, errand: Errand, peer: str) -> bool:
        """Publish and wait: False once the peer is suspected, refuses, or takes too long."""
        publish = beside(self._publish(errand, peer), self._spawn, (ProtocolError,))
        lost = asyncio.ensure_future(errand.lost.wait())
        ended: set[asyncio.Future[Any]] = {lost, errand.result}
        try:
            # Bounded by the timeouts of connect and acknowledgement; a suspicion ends it earlier.
            await self._wait({publish, *ended}, errand, math.inf)
            delivered = publish.done() and publish.exception() is None
            tool, timeouts = errand.step.tool, errand.timeouts
            await self._wait(ended, errand, self._patience.attempt_s(tool, timeouts) if delivered else self._verdict_s)
            errand.timeouts += delivered and not any(end.done() for end in ended)
            if errand.result.done():
                # An answer may overtake its receipt, and the receipt of a repair is evidence.
                await self._wait({publish, lost}, errand, self._verdict_s)
        finally:
            publish.cancel()
            lost.cancel()
        return errand.result.done()

    async def _wait(self, ends: set[asyncio.Future[Any]], errand: Errand, patience_s: float) -> None:
        left_s = max(0.0, errand.step.give_up_at - self._clock.now())
        await asyncio.wait(ends, timeout=min(patience_s, left_s), return_when=asyncio.FIRST_COMPLETED)

    async def _do_it_here(self, errand: Errand) -> JsonObject:
        if self.execute_locally is None:
            raise StepFailedError(errand.step.step_id, "not_ready")
        me, cause = self._settings.node_id, self._unrepaired(errand)
        self._journal_request(errand, me, "self", cause)
        if cause is not None and cause.request == errand.request_id:
            self._journal.append("repair", cause=[cause.victim, cause.request], kind="request", peer=me, link="self")
        step = replace(errand.step, cause=cause)
        return self._unpack(errand, me, await self.execute_locally(step, errand.request_id))

    def _unrepaired(self, errand: Errand) -> Cause | None:
        """What the next message of this errand repairs, unless another message has already."""
        return None if errand.cause in self._repaired else errand.cause

    async def _publish(self, errand: Errand, peer: str) -> None:
        step, cause = errand.step, self._unrepaired(errand)
        again = errand.attempts > 1 or cause is not None
        message = Message(
            message_id=errand.request_id,
            kind="request",
            sender=self._settings.node_id,
            recipient=peer,
            traffic=Traffic.RETRY if again else Traffic.TASK,
            cause=cause,
            body={
                "task": step.task_id,
                "step": step.step_id,
                "tool": step.tool,
                "input": step.input,
                "patience_s": round(max(0.0, step.give_up_at - self._clock.now()), 3),
            },
        )
        link: Link = "warm" if peer in self._mesh.links else "new"
        self._journal_request(errand, peer, link, cause)
        link = await self._mesh.send(message)
        if cause is not None:
            kind = "task" if cause.request == step.task_id else "request"
            self._journal.append("repair", cause=[cause.victim, cause.request], kind=kind, peer=peer, link=link)
            self._repaired[cause] = None

    def _journal_request(self, errand: Errand, peer: str, link: Link, cause: Cause | None) -> None:
        blame: JsonObject = {"cause": [cause.victim, cause.request]} if cause else {}
        self._journal.append(
            "request",
            task=errand.step.task_id,
            step=errand.step.step_id,
            req=errand.request_id,
            peer=peer,
            attempt=errand.attempts,
            link=link,
            **blame,
        )

    def _unpack(self, errand: Errand, peer: str, result: JsonObject) -> JsonObject:
        output = result.get("output")
        if result.get("ok") is True and isinstance(output, dict):
            return output
        errand.result, errand.peer = asyncio.get_running_loop().create_future(), None
        if result.get("error") == "unavailable":
            raise OutOfReachError(str(result.get("title")))
        if result.get("error") in ("rejected", "model"):
            # What it was asked makes no sense to it, and never will; or its model failed, and was asked often enough.
            errand.rejected_by.append(peer)
            errand.rejection = str(result["error"])
        else:
            errand.passed_over.append(peer)  # it does not see itself as able (views differ for a moment)
        raise UnansweredError(peer)

    async def _on_result(self, message: Message) -> None:
        errand = self._open.get(message.in_reply_to or "")
        if errand is not None and not errand.result.done():
            if message.body.get("ok") is True and message.sender in errand.asked_at:
                self._patience.answered(errand.step.tool, self._clock.now() - errand.asked_at[message.sender])
            errand.result.set_result(message.body)
