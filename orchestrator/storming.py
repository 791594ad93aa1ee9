"""The storm of one run under way: orders at their time, called off when it goes too far, healed at its end."""

import asyncio
from collections.abc import Mapping

from agent.journal import Journal
from agent.settings import EXIT_LAB as AGENT_GAVE_UP
from chaos import faults
from chaos.schedule import Order
from chaos.storm import Storm
from orchestrator.chaos_settings import Abort
from orchestrator.live_state import LiveState
from orchestrator.runtime import Runtime
from orchestrator.timeline import Timeline
from protocols.clock import Clock
from protocols.errors import LabError

_LOOK_S = 0.25


class Storming:
    """Carries out the schedule and lets the clock run out; the survivors are on their own."""

    def __init__(
        self, timeline: Timeline, abort: Abort, runtime: Runtime, state: LiveState, clock: Clock, journal: Journal
    ) -> None:
        self._timeline = timeline
        self._abort = abort
        self._runtime = runtime
        self._state = state
        self._clock = clock
        self._journal = journal
        self._down: dict[str, None] = {}
        self._struck: dict[str, None] = {}

    def healed(self, victim: str) -> None:
        """``victim`` serves again: from now on its end would be a loss."""
        self._down.pop(victim, None)
        self._struck.pop(victim, None)

    async def play(self, t0: float) -> None:
        """Return when the run's time is over and nobody suffers any more; raises FaultError for a refused order."""
        storm = Storm(self._timeline.orders, act=self._act, clock=self._clock, t0=t0)
        try:
            over_at = t0 + self._timeline.windows.duration_s
            await self._until_called_off(storm, over_at)
            await self._clock.sleep(over_at - self._clock.now())
        finally:
            # Also when the user interrupts: what lives is healed before it is asked to end.
            await self._relieve(storm)

    async def _act(self, order: Order) -> None:
        # Before it is sent: what chaos did is known with its answer, and the mesh may be faster.
        self._journal.append("order", action=order.action, fault=order.fault, victims=list(order.victims))
        if order.action == "inject":
            self._struck.update(dict.fromkeys(order.victims))
            if faults.load(order.fault).effect == "ends":
                # From now on their end is no loss, however late chaos says so.
                self._down.update(dict.fromkeys(order.victims))
        await self._runtime.act(order)

    async def _until_called_off(self, storm: Storm, over_at: float) -> None:
        """Return after the last order, or, where there are conditions, when one came true or the run is over."""
        if not self._abort.is_set:
            await storm.carry_out()
            return
        blows = asyncio.create_task(storm.carry_out(), name="storm")
        watch = asyncio.create_task(self._too_far(), name="abort")
        try:
            await asyncio.wait([blows, watch], return_when=asyncio.FIRST_COMPLETED)
            if not watch.done():
                await blows
                # What is still in force can go too far as well.
                await asyncio.wait([watch], timeout=max(0.0, over_at - self._clock.now()))
            if watch.done():
                self._journal.append("abort", reason=watch.result())
                blows.cancel()
                await asyncio.wait([blows])
                await self._relieve(storm)
        finally:
            blows.cancel()
            watch.cancel()

    async def _relieve(self, storm: Storm) -> None:
        for victim, reason in (await storm.relieve()).items():
            self._journal.append("fault_failed", victim=victim, reason=reason)

    async def _too_far(self) -> str:
        """Wait until a condition of ``abort`` comes true; returns which, with its numbers."""
        while True:
            await self._clock.sleep(_LOOK_S)
            success = self._state.current(self._clock.now()).success if self._struck else None
            alive = len(self._timeline.agents) - len(self._struck)
            bound, least = self._abort.success_below, self._abort.alive_below
            if bound is not None and success is not None and success < bound:
                return f"success fell to {success:.2f}, below {bound:g}"
            if least is not None and alive < least:
                return f"{alive} agents are not struck, fewer than {least}"

    async def watch_for_losses(self) -> None:
        """Journal an agent that ended although nobody ended it, once.

        Raises LabError for one that says itself that it could not go on: the evidence has a hole from there.
        """
        known: dict[str, None] = {}
        while True:
            ended: Mapping[str, int] = await self._runtime.ended()
            for node, status in ended.items():
                if node not in self._down and node not in known:
                    known[node] = None
                    self._journal.append("agent_lost", victim=node, status=status)
                    if status == AGENT_GAVE_UP:
                        raise LabError(f"{node} could not go on: {self._runtime.last_words(node)}")
            await self._clock.sleep(self._runtime.watch_s)
