"""The kill and its healing against a target that only pretends, and the driver that calls them in time."""

import asyncio

import pytest
from pydantic import JsonValue

from chaos import faults
from chaos.faults.kill import FAULT
from chaos.schedule import Order
from chaos.storm import Storm, acting_on, carry_out
from protocols.errors import FaultError

from .fake_target import FakeTarget


class FakeClock:
    """Sleeps at once, and knows how long."""

    def __init__(self, now: float) -> None:
        self.time = now

    def now(self) -> float:
        """Seconds."""
        return self.time

    async def sleep(self, duration_s: float) -> None:
        """Jump ahead."""
        self.time += max(0.0, duration_s)


def test_kills_go_out_back_to_back() -> None:
    """All kill calls are recorded first, then all kills are sent, and only then come the proofs."""
    target = FakeTarget()
    asyncio.run(FAULT.inject(target, ("a", "b", "c"), target.record))
    assert [event for event, _ in target.log] == ["kill_call"] * 3 + ["sent"] * 3 + ["death"] * 3
    assert ("death", {"victim": "b", "signal": 9}) in target.log


def test_a_death_by_another_signal_is_a_failed_fault() -> None:
    """Only signal 9 proves our kill; whoever died otherwise was not killed by us."""
    target = FakeTarget(signals={"b": 15})
    asyncio.run(FAULT.inject(target, ("a", "b"), target.record))
    outcomes = {fields["victim"]: event for event, fields in target.log if event in ("death", "fault_failed")}
    assert outcomes == {"a": "death", "b": "fault_failed"}


def test_a_missing_proof_is_a_failed_fault() -> None:
    """The bound on the proof ends in a record with the reason, and the other victims are still proven dead."""
    target = FakeTarget(immortal="a")
    asyncio.run(FAULT.inject(target, ("a", "b"), target.record))
    assert ("fault_failed", {"victim": "a", "reason": "a outlived 10.0 s"}) in target.log
    assert ("death", {"victim": "b", "signal": 9}) in target.log


@pytest.mark.parametrize("target", [FakeTarget(reason="it is a picture"), FakeTarget(refusal="all agents")])
def test_a_refused_order_hurts_nobody(target: FakeTarget) -> None:
    """What the target cannot do or refuses is an error before the first kill call."""
    with pytest.raises(FaultError):
        asyncio.run(FAULT.inject(target, ("a",), target.record))
    assert target.log == []


def test_heal_restarts_every_victim() -> None:
    """Each restart is recorded at its call and when the victim serves again, or with the reason why it does not."""
    target = FakeTarget(immortal="b")
    asyncio.run(FAULT.heal(target, ("a", "b"), target.record))
    assert [event for event, fields in target.log if fields["victim"] == "a"] == ["heal_call", "restarted", "heal_done"]
    assert [event for event, fields in target.log if fields["victim"] == "b"] == ["heal_call", "fault_failed"]


def test_orders_are_carried_out_at_their_time() -> None:
    """The driver waits for t0 plus the order's time, from the clock it is given."""
    target, clock = FakeTarget(), FakeClock(1000.0)
    times: dict[str, float] = {}

    def record(ev: str, *, at: float | None = None, **fields: JsonValue) -> None:
        times.setdefault(ev, clock.now())
        target.record(ev, at=at, **fields)

    orders = (Order(60, "kill", "inject", ("a",)), Order(75, "kill", "heal", ("a",)))
    asyncio.run(carry_out(orders, act=acting_on(target, record), clock=clock, t0=1002.0))
    assert (times["kill_call"], times["heal_done"]) == (1062.0, 1077.0)


def test_an_unknown_fault_is_refused_before_the_first_order() -> None:
    """A typo in a later order does not leave half a storm behind."""
    target = FakeTarget()
    orders = (Order(1, "kill", "inject", ("a",)), Order(2, "flood", "inject", ("a",)))
    with pytest.raises(FaultError, match=r"kill.*flood"):
        asyncio.run(carry_out(orders, act=acting_on(target, target.record), clock=FakeClock(0), t0=0))
    assert target.log == []


def test_every_fault_is_found_by_its_file() -> None:
    """A fault's name is the name of its file."""
    assert "kill" in faults.names()
    assert [faults.load(name).name for name in faults.names()] == list(faults.names())


def test_orders_do_not_wait_for_one_another_but_those_for_one_victim_do() -> None:
    """A slow blow upon one agent holds up its own healing, and nobody else's."""
    done: list[tuple[str, tuple[str, ...]]] = []
    slow = asyncio.Event()

    async def act(order: Order) -> None:
        if order.victims == ("a",) and order.action == "inject":
            await slow.wait()
        done.append((order.action, order.victims))
        if order.victims == ("b",):
            slow.set()

    orders = (
        Order(1, "pause", "inject", ("a",)),
        Order(2, "pause", "heal", ("a",)),
        Order(3, "pause", "inject", ("b",)),
    )
    asyncio.run(carry_out(orders, act=act, clock=FakeClock(0), t0=0))
    assert done == [("inject", ("b",)), ("inject", ("a",)), ("heal", ("a",))]


def test_relief_heals_who_lives_and_nobody_else() -> None:
    """What is in force when the storm ends is undone, once; who was killed stays dead, who was healed is left alone."""
    target = FakeTarget()
    orders = (
        Order(1, "pause", "inject", ("a",)),
        Order(1, "kill", "inject", ("b",)),
        Order(1, "cut", "inject", ("c",), wave=1),
        Order(2, "pause", "heal", ("a",)),
    )

    async def play() -> None:
        storm = Storm(orders, act=acting_on(target, target.record), clock=FakeClock(0), t0=0)
        await storm.carry_out()
        target.log.clear()
        await storm.relieve()
        await storm.relieve()

    asyncio.run(play())
    wave = {"victim": "c", "fault": "cut", "wave": 1}
    assert target.log == [("heal_call", wave), ("put back", {"victim": "c"}), ("heal_done", wave)]
