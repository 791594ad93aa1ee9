"""A storm under way against a runtime that only pretends: called off, healed at its end, losses told."""

import asyncio
from collections.abc import Iterable
from typing import Any, ClassVar, cast

import pytest

from agent.journal import Journal
from chaos.schedule import Order
from orchestrator import timeline
from orchestrator.chaos_settings import Abort
from orchestrator.live_state import LiveState
from orchestrator.scenario import Scenario
from orchestrator.storming import Storming
from protocols.errors import LabError
from tests.agent.virtual_time import LoopClock, run_virtually

T0 = 1000.0


class Runtime:
    """Notes the orders and when they came."""

    name: ClassVar[str] = "local"
    watch_s: ClassVar[float] = 0.25

    def __init__(self, *, dumb: bool = False) -> None:
        self.orders: list[tuple[float, str, str]] = []
        self.gone: dict[str, int] = {}
        self.dumb = dumb

    async def act(self, order: Order) -> None:
        """Pretend, except that nobody is healed who is asked dumbly."""
        self.orders.append((asyncio.get_running_loop().time() - T0, order.action, order.fault))
        if self.dumb and order.action == "heal":
            raise LabError("nobody there")

    async def ended(self) -> dict[str, int]:
        """As the test wants."""
        return self.gone


class Lines:
    """Stands in for the journal."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def append(self, ev: str, **fields: Any) -> None:
        """Keep it, unless it only says what the runtime notes as well."""
        if ev != "order":
            self.lines.append((ev, fields))


class State:
    """A live view in which success is what the test says."""

    t0_s = T0

    def __init__(self, success: float | None) -> None:
        self.success = success

    def current(self, _now_s: float) -> "State":
        """The same at all times."""
        return self


def play(
    chaos: Iterable[dict[str, object]], abort: Abort, runtime: Runtime, success: float | None = 1.0
) -> list[tuple[str, dict[str, Any]]]:
    """Play a storm of 24 s; returns what was journaled."""
    planned = timeline.plan(Scenario.model_validate({"chaos": list(chaos), "scenario": {"duration": 24}}))
    journal = Lines()

    async def storm() -> float:
        storming = Storming(
            planned,
            abort,
            cast("Any", runtime),
            cast("LiveState", State(success)),
            LoopClock(),
            cast("Journal", journal),
        )
        losses = asyncio.create_task(storming.watch_for_losses())
        await storming.play(T0)
        losses.cancel()
        return asyncio.get_running_loop().time()

    assert run_virtually(storm()) == pytest.approx(T0 + 24)
    return journal.lines


FREEZE_AND_KILL: list[dict[str, object]] = [
    {"fault": "pause", "victims": {"count": 2}},
    {"fault": "kill", "at": "kill+4", "victims": {"count": 1}},
]


def test_what_has_no_end_of_its_own_is_healed_at_the_end_of_the_run() -> None:
    """The frozen are thawed when the clock has run out; who was killed stays dead."""
    runtime = Runtime()
    assert play(FREEZE_AND_KILL, Abort(), runtime) == []
    assert runtime.orders == [(12, "inject", "pause"), (16, "inject", "kill"), (24, "heal", "pause")]


@pytest.mark.parametrize(
    ("abort", "success", "reason"),
    [
        (Abort(success_below=0.5), 0.2, "success fell to 0.20, below 0.5"),
        (Abort(alive_below=7), 1.0, "6 agents are not struck, fewer than 7"),
    ],
)
def test_a_storm_that_goes_too_far_is_called_off(abort: Abort, success: float, reason: str) -> None:
    """Soon after the blow all are healed, the kill that was still to come does not come, and the run goes on."""
    runtime = Runtime()
    assert play(FREEZE_AND_KILL, abort, runtime, success) == [("abort", {"reason": reason})]
    assert [order[1:] for order in runtime.orders] == [("inject", "pause"), ("heal", "pause")]
    assert 12 <= runtime.orders[1][0] <= 12.25


def test_conditions_that_do_not_come_true_change_nothing() -> None:
    """Also after the last order the run lasts as long as it should."""
    runtime = Runtime()
    assert play(FREEZE_AND_KILL, Abort(success_below=0.5, alive_below=2), runtime) == []
    assert [order[1] for order in runtime.orders] == ["inject", "inject", "heal"]


def test_who_cannot_be_healed_is_told() -> None:
    """The run cannot be valid then."""
    lines = play(FREEZE_AND_KILL[:1], Abort(), Runtime(dumb=True))
    assert [(ev, fields["reason"]) for ev, fields in lines] == [("fault_failed", "nobody there")] * 2


def test_an_agent_that_ends_by_itself_is_lost_and_a_killed_one_is_not() -> None:
    """Being frozen is no reason to end."""
    runtime = Runtime()
    planned = timeline.plan(Scenario.model_validate({"chaos": FREEZE_AND_KILL, "scenario": {"duration": 24}}))
    frozen, killed = planned.orders[0].victims[0], planned.orders[1].victims[0]
    act = runtime.act

    async def act_and_end(order: Order) -> None:
        await act(order)
        if order.fault == "kill":
            runtime.gone = {frozen: 1, killed: -9}

    runtime.act = act_and_end  # type: ignore[method-assign]
    assert play(FREEZE_AND_KILL, Abort(), runtime) == [("agent_lost", {"victim": frozen, "status": 1})]
