"""The target for containers against an engine that only pretends: whom it kills, and what it refuses."""

import asyncio
import threading

import pytest

from chaos.targets.docker import DockerTarget
from protocols.clock import MonotonicClock
from protocols.errors import ConfigError, FaultError

from .fake_engine import STRANGERS, FakeEngine, lab_with_strangers, labels
from .kills import inject, nobody_answers, target_on


def test_a_kill_is_proven_by_the_die_event() -> None:
    """The victims die by signal 9 and nobody else is touched, however similar the name or the labels."""
    engine = lab_with_strangers()
    events = inject(engine, "agent_3", "agent_1")
    assert events[:2] == [("kill_call", {"victim": "agent_3"}), ("kill_call", {"victim": "agent_1"})]
    assert [ev for ev, _ in events[2:]] == ["death", "death"]
    assert all(fields["signal"] == 9 for _, fields in events[2:])
    assert engine.running() == ["fail-storm-agent-2-1", "fail-storm-agent-4-1", *STRANGERS]


def test_the_labels_are_checked_whatever_the_engine_lists() -> None:
    """An engine that ignores the filter changes nothing."""
    engine = lab_with_strangers()
    engine.filters = False
    inject(engine, "agent_3")
    assert engine.touched() == ["fail-storm-agent-3-1"]


def test_events_are_subscribed_and_labels_are_inspected_before_the_kill() -> None:
    """The engine is asked in this order, and the kill goes to the very id that was inspected just before."""
    engine = lab_with_strangers()
    inject(engine, "agent_2")
    victim = engine.id_of("fail-storm-agent-2-1")
    assert engine.log[:4] == [("events", ""), ("list", ""), ("inspect", victim), ("kill", victim)]


def test_kills_go_out_in_parallel() -> None:
    """Each kill has a thread: three meet inside the engine."""
    engine = lab_with_strangers()
    engine.meeting = threading.Barrier(3)
    events = inject(engine, "agent_1", "agent_2", "agent_3")
    assert [ev for ev, _ in events] == ["kill_call"] * 3 + ["death"] * 3


@pytest.mark.parametrize(
    ("victims", "message"),
    [
        ((), "at least one victim"),
        (("agent_1", "agent_2", "agent_3", "agent_4"), "order for all 4"),
        (("agent_1", "agent_7"), "agent_7"),
        (("agent_1", "agent_1"), "every victim once"),
        (("agent_9",), "agents of this run"),
        (("agent_8",), "agents of this run"),
        (("chaos",), "agents of this run"),
        (("fail-storm-agent-3-1",), "agents of this run"),
        (("../agent_3",), "agents of this run"),
        ((f"{3:064x}",), "agents of this run"),
        (("agent_",), "agents of this run"),
        (("",), "agents of this run"),
    ],
)
def test_impossible_orders_are_refused(victims: tuple[str, ...], message: str) -> None:
    """Nobody, everybody, somebody twice, a stranger, a name or an id of a container: nobody is touched."""
    engine = lab_with_strangers()
    with pytest.raises(FaultError, match=message):
        inject(engine, *victims)
    assert engine.touched() == []


def test_two_containers_for_one_agent_are_refused() -> None:
    """Which of the two would die is nobody's guess."""
    engine = lab_with_strangers()
    engine.add("fail-storm-agent-1-run-1", labels("agent_1"))
    with pytest.raises(FaultError, match="one container for agent_1"):
        inject(engine, "agent_1")
    assert engine.touched() == []


def test_only_the_victims_of_the_latest_order_can_be_killed() -> None:
    """A kill without an order, or after a refused one, hits nobody."""
    engine = lab_with_strangers()

    async def kill_unasked() -> None:
        async with target_on(engine) as target:
            await target.authorise(["agent_1"])
            with pytest.raises(FaultError, match="latest order"):
                await target.kill("agent_2")
            with pytest.raises(FaultError, match="at least one"):
                await target.authorise([])
            with pytest.raises(FaultError, match="latest order"):
                await target.kill("agent_1")

    asyncio.run(kill_unasked())
    assert engine.touched() == []


@pytest.mark.parametrize(
    "changed",
    [{}, labels("agent_1", run="another"), labels("agent_2"), labels("agent_1", role="chaos")],
    ids=["none", "run", "node", "role"],
)
def test_the_labels_count_at_the_moment_of_the_kill(changed: dict[str, str]) -> None:
    """Whatever the list said: labels that are not the victim's when it is inspected spare the container."""
    engine = lab_with_strangers()

    async def kill_after_a_change() -> None:
        async with target_on(engine) as target:
            await target.authorise(["agent_1"])
            engine.ids[engine.id_of("fail-storm-agent-1-1")].labels = changed
            with pytest.raises(FaultError, match="it is spared"):
                await target.kill("agent_1")
            with pytest.raises(FaultError, match="it is spared"):
                await target.restart("agent_1")

    asyncio.run(kill_after_a_change())
    assert engine.touched() == []


@pytest.mark.parametrize("run", ["", "a=b", "../x", "a b", "-x"])
def test_a_run_needs_an_id(run: str) -> None:
    """An empty or odd id could match the labels of others."""
    with pytest.raises(ConfigError, match="run id"):
        DockerTarget(FakeEngine(), run, nobody_answers, MonotonicClock())
