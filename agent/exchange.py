"""Has a step done by a peer: request, receipt, result; and again by another when the peer dies."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import JsonValue

from agent.journal import Journal
from agent.mesh import Link, MeshNetwork
from agent.roles import Roles
from agent.settings import AgentSettings
from protocols.clock import Clock
from protocols.errors import FailstormError, ProtocolError
from protocols.message import Cause, Message, Traffic

JsonObject = dict[str, JsonValue]
ExecuteLocally = Callable[["Step", str], Awaitable[JsonObject]]

_FIRST_BACKOFF_S = 0.05
_LONGEST_BACKOFF_S = 0.5


class StepFailedError(FailstormError):
    """A step could not be done by anybody in time; ``reason`` is one word for the journal."""

    def __init__(self, step: str, reason: str) -> None:
        super().__init__(f"expected {step} to be done, got: {reason}")
        self.reason = reason


class UnansweredError(FailstormError):
    """One attempt came to nothing."""


@dataclass(frozen=True)
class Step:
    """One piece of work of a task; ``step_id`` stays the same however often it is tried."""

    task_id: str
    step_id: str
    tool: str
    input: JsonObject
    give_up_at: float
    """Monotonic second after which nobody wants the result any more."""
    candidates: Callable[[], Sequence[str]]
    """Who can do it now, asked again before each attempt."""


@dataclass
class Errand:
    """One step under way: its message keeps its id over all attempts, so late answers still count."""

    step: Step
    request_id: str
    cause: Cause | None
    result: asyncio.Future[JsonObject]
    peer: str | None = None
    lost: asyncio.Event = field(default_factory=asyncio.Event)
    attempts: int = 0
    passed_over: list[str] = field(default_factory=list)


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
    ) -> None:
        self.execute_locally: ExecuteLocally | None = None
        self._settings = settings
        self._mesh = mesh
        self._roles = roles
        self._clock = clock
        self._journal = journal
        self._new_id = new_id
        self._open: dict[str, Errand] = {}
        self._attempt_timeout_s = max(1.0, settings.task_deadline_s / 2)
        # How long a failed send waits for the failure detector to say whether the peer is dead.
        self._verdict_s = settings.detector.timeout_s + 0.1
        mesh.on("result", self._on_result)

    async def ask(self, step: Step, cause: Cause | None = None) -> JsonObject:
        """The output of ``step``, done by the best candidate that lives to finish it; raises StepFailedError.

        ``cause`` marks the first message as a repair (of a task whose owner died).
        """
        future: asyncio.Future[JsonObject] = asyncio.get_running_loop().create_future()
        errand = Errand(step, self._new_id(), cause, future)
        self._open[errand.request_id] = errand
        backoff_s = _FIRST_BACKOFF_S
        try:
            while True:
                peer = self._choose(errand)
                if peer is not None:
                    try:
                        return await self._attempt(errand, peer)
                    except UnansweredError:
                        if not self._settings.recovery.republish:
                            raise StepFailedError(step.step_id, "peer_lost") from None
                        continue
                if self._clock.now() + backoff_s > step.give_up_at:
                    raise StepFailedError(step.step_id, "nobody_left")
                errand.passed_over.clear()
                await self._clock.sleep(backoff_s)
                backoff_s = min(2 * backoff_s, _LONGEST_BACKOFF_S)
        finally:
            del self._open[errand.request_id]

    def peer_lost(self, victim: str) -> None:
        """``victim`` is suspected: whatever it was asked to do has to be asked of another."""
        for errand in self._open.values():
            if errand.peer == victim:
                errand.cause = Cause(victim=victim, request=errand.request_id)
                errand.lost.set()

    def _choose(self, errand: Errand) -> str | None:
        able = [name for name in errand.step.candidates() if name not in errand.passed_over]
        ordered = self._roles.order(errand.step.step_id, able, self._mesh.links)
        return ordered[0] if ordered else None

    async def _attempt(self, errand: Errand, peer: str) -> JsonObject:
        errand.peer = peer
        errand.lost.clear()
        errand.attempts += 1
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
        publish = asyncio.ensure_future(self._publish(errand, peer))
        lost = asyncio.ensure_future(errand.lost.wait())
        ended: set[asyncio.Future[Any]] = {lost, errand.result}
        try:
            # Bounded by the timeouts of connect and acknowledgement; a suspicion ends it earlier.
            await self._wait({publish, *ended}, errand, math.inf)
            delivered = publish.done() and _succeeded(publish)
            await self._wait(ended, errand, self._attempt_timeout_s if delivered else self._verdict_s)
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
        self._journal_request(errand, self._settings.node_id, "self")
        return self._unpack(errand, self._settings.node_id, await self.execute_locally(errand.step, errand.request_id))

    async def _publish(self, errand: Errand, peer: str) -> None:
        step = errand.step
        again = errand.attempts > 1 or errand.cause is not None
        message = Message(
            message_id=errand.request_id,
            kind="request",
            sender=self._settings.node_id,
            recipient=peer,
            traffic=Traffic.RETRY if again else Traffic.TASK,
            cause=errand.cause,
            body={"task": step.task_id, "step": step.step_id, "tool": step.tool, "input": step.input},
        )
        cause = errand.cause
        link: Link = "warm" if peer in self._mesh.links else "new"
        self._journal_request(errand, peer, link)
        link = await self._mesh.send(message)
        if cause is not None:
            kind = "request" if cause.request == errand.request_id else "task"
            self._journal.append("repair", cause=[cause.victim, cause.request], kind=kind, peer=peer, link=link)
            if errand.cause is cause:
                errand.cause = None

    def _journal_request(self, errand: Errand, peer: str, link: Link) -> None:
        cause: JsonObject = {"cause": [errand.cause.victim, errand.cause.request]} if errand.cause else {}
        self._journal.append(
            "request",
            task=errand.step.task_id,
            step=errand.step.step_id,
            req=errand.request_id,
            peer=peer,
            attempt=errand.attempts,
            link=link,
            **cause,
        )

    def _unpack(self, errand: Errand, peer: str, result: JsonObject) -> JsonObject:
        output = result.get("output")
        if result.get("ok") is True and isinstance(output, dict):
            return output
        if result.get("error") == "unavailable":
            raise StepFailedError(errand.step.step_id, "unavailable")
        # The peer does not see itself as able (views differ for a moment), or it failed: ask another.
        errand.result = asyncio.get_running_loop().create_future()
        errand.passed_over.append(peer)
        raise UnansweredError(peer)

    async def _on_result(self, message: Message) -> None:
        errand = self._open.get(message.in_reply_to or "")
        if errand is not None and not errand.result.done():
            errand.result.set_result(message.body)


def _succeeded(publish: asyncio.Future[None]) -> bool:
    error = publish.exception()
    if error is not None and not isinstance(error, ProtocolError):
        raise error
    return error is None
