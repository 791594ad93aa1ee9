"""Freezes, cuts and squeezes through a target on an engine that only pretends."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from pydantic import JsonValue

from chaos import faults
from chaos.parameters import NONE, Parameters
from chaos.targets.fleet import MEMORY_MIB, Fleet
from protocols.errors import FaultError

from .fake_engine import RUN, FakeContainer, FakeEngine, lab_with_strangers
from .kills import answer_with, target_on

MIB = 2**20
GIVEN = {"squeeze": Parameters(cpus=0.5), "memory": Parameters(spare_mib=2)}


def order(engine: FakeEngine, action: str, fault: str, *victims: str, parameters: Parameters = NONE) -> list[str]:
    """Carry one order out; returns what was recorded, a reason for a failure."""
    events: list[str] = []

    def record(ev: str, *, at: float | None = None, **fields: JsonValue) -> None:
        assert at is None
        events.append(str(fields.get("reason", ev)))

    async def act(names: Sequence[str]) -> None:
        async with target_on(engine, answer_with(1000)) as target:
            if action == "inject":
                await faults.load(fault).inject(target, names, record, parameters)
            else:
                await faults.load(fault).heal(target, names, record)

    asyncio.run(act(victims))
    return events


def agent(engine: FakeEngine, number: int) -> FakeContainer:
    """One agent of the run."""
    return engine.ids[engine.id_of(f"fail-storm-agent-{number}-1")]


@pytest.mark.parametrize(
    ("fault", "hurt", "whole"),
    [
        ("pause", {"paused": True}, {"paused": False}),
        ("cut", {"networks": []}, {"networks": ["lab_mesh"]}),
        ("squeeze", {"cpu_quota": 50_000}, {"cpu_quota": -1}),
        (
            "memory",
            {"memory_bytes": 42 * MIB, "swap_bytes": 42 * MIB},
            {"memory_bytes": 512 * MIB, "swap_bytes": 1024 * MIB},
        ),
        ("restart", {"state": "exited", "exit_code": 0}, {"state": "running"}),
    ],
)
def test_a_container_is_hurt_healed_and_nobody_else_touched(
    fault: str, hurt: dict[str, object], whole: dict[str, object]
) -> None:
    """The engine's own word proves both; strangers and the other agents stay as they were."""
    engine = lab_with_strangers()
    assert order(engine, "inject", fault, "agent_3", parameters=GIVEN.get(fault, NONE)) == ["fault_call", "fault_done"]
    assert {key: getattr(agent(engine, 3), key) for key in hurt} == hurt
    assert order(engine, "heal", fault, "agent_3") == ["heal_call", "heal_done"]
    assert {key: getattr(agent(engine, 3), key) for key in whole} == whole
    assert set(engine.touched()) == {"fail-storm-agent-3-1"}


@pytest.mark.parametrize("fault", ["pause", "cut", "squeeze", "memory"])
def test_an_order_that_the_engine_takes_and_forgets_is_a_failed_fault(fault: str) -> None:
    """Nothing is believed that the engine does not confirm afterwards."""
    engine = lab_with_strangers()
    agent(engine, 2).deaf = True
    call, reason = order(engine, "inject", fault, "agent_2", parameters=GIVEN.get(fault, NONE))
    assert call == "fault_call"
    assert reason.startswith("expected agent_2 to ")


def test_a_dead_container_is_neither_frozen_nor_cut() -> None:
    """A blow upon the dead did not land; nor does healing what somebody else has healed."""
    engine = lab_with_strangers()
    agent(engine, 1).state = "exited"
    for fault in ("pause", "cut"):
        assert "but it is dead" in order(engine, "inject", fault, "agent_1")[1]
        assert "somebody else" in order(engine, "heal", fault, "agent_2")[1]


def test_a_death_for_want_of_memory_is_told_with_its_cause() -> None:
    """The engine's OOMKilled is read when the limit is to be lifted; any other death is none of it."""
    engine = lab_with_strangers()
    for number, out_of_memory in ((1, True), (2, False)):
        agent(engine, number).state, agent(engine, number).exit_code = "exited", 137
        agent(engine, number).out_of_memory = out_of_memory
    assert "killed it for want of it (exit code 137); raise spare_mib" in order(engine, "heal", "memory", "agent_1")[1]
    assert "but it is dead" in order(engine, "heal", "memory", "agent_2")[1]


def test_the_memory_that_is_given_back_is_what_compose_gives() -> None:
    """Healing needs no memory of who was hurt, so that the figure stands in two files."""
    assert (
        f"mem_limit: {MEMORY_MIB}m\n  pids_limit" in Path("compose.yaml").read_text("utf-8").partition("services:")[0]
    )


def test_bent_links_are_refused_before_anything_is_recorded() -> None:
    """There is no proxy between containers."""
    with pytest.raises(FaultError, match="no proxy stands between containers"):
        order(lab_with_strangers(), "inject", "partition", "agent_1")


def test_healing_everything_needs_no_memory() -> None:
    """Whoever lives is thawed, connected and unlimited; the dead and the strangers are left alone."""
    engine = lab_with_strangers()
    agent(engine, 1).paused = True
    agent(engine, 2).networks.clear()
    agent(engine, 3).cpu_quota, agent(engine, 3).memory_bytes = 5000, 41 * MIB
    agent(engine, 4).state, agent(engine, 4).paused = "exited", True
    engine.ids[engine.id_of("agent_3")].paused = True
    done = Fleet(engine, RUN).heal_all()
    assert done == ("agent_1 thawed", "agent_2 connected", "agent_3 unlimited", "agent_3 given memory")
    assert Fleet(engine, RUN).heal_all() == ()
    assert engine.ids[engine.id_of("agent_3")].paused
    assert set(engine.touched()) == {f"fail-storm-agent-{number}-1" for number in (1, 2, 3)}
