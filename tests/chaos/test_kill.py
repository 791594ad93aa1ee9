"""The kill and its healing against a target that only pretends, and the driver that calls them in time."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from pydantic import JsonValue

from chaos import faults
from chaos.faults.kill import FAULT
from chaos.schedule import Order
from chaos.storm import acting_on, carry_out
from protocols.errors import FaultError

Event = tuple[str, dict[str, JsonValue]]


@dataclass
class FakeTarget:
    """Does what it is told and writes it into ``log``, where the recorded events go too."""

    log: list[Event] = field(default_factory=list)
    signals: dict[str, int] = field(default_factory=dict)
    """Signal by which a node dies, 9 if it is not named here."""
    immortal: str = ""
    reason: str | None = None
    refusal: str = ""

    def record(self, ev: str, *, at: float | None = None, **fields: JsonValue) -> None:
        """Stand in for the journal."""
        assert at is None
        self.log.append((ev, fields))

    def available(self, _fault: str) -> str | None:
        """Answer as the test wants."""
        return self.reason

    async def authorise(self, _victims: Sequence[str]) -> None:
        """Refuse if the test wants."""
        if self.refusal:
            raise FaultError(self.refusal)

    async def kill(self, node: str) -> None:
        """Pretend."""
        self.log.append(("sent", {"victim": node}))

    async def wait_dead(self, node: str, timeout_s: float) -> int:
        """Give the other kills the chance to be later than this proof."""
        await asyncio.sleep(0)
        if node == self.immortal:
            raise FaultError(f"{node} outlived {timeout_s} s")
        return self.signals.get(node, 9)

    async def restart(self, node: str) -> None:
        """Pretend."""
        if node == self.immortal:
            raise FaultError(f"{node} does not start")
        self.log.append(("restarted", {"victim": node}))


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
