"""What the target for containers takes for the proof of a death and of a new life."""

import asyncio

import pytest

from chaos.faults.kill import FAULT
from chaos.messages import AgentState
from protocols.errors import FaultError

from .fake_engine import lab_with_strangers
from .kills import answer_with, failure, inject, target_on


@pytest.mark.parametrize(
    ("exit_code", "out_of_memory", "reason"),
    [
        (143, False, "got signal 15"),
        (0, False, "exit code 0"),
        (1, False, "exit code 1"),
        (137, True, "want of memory"),
    ],
)
def test_other_deaths_are_failed_faults(exit_code: int, out_of_memory: bool, reason: str) -> None:  # noqa: FBT001
    """Another signal, an exit, or the kernel's own kill is no proof of ours."""
    engine = lab_with_strangers()
    victim = engine.ids[engine.id_of("fail-storm-agent-1-1")]
    victim.dies_with, victim.out_of_memory = exit_code, out_of_memory
    events = inject(engine, "agent_1", "agent_2")
    assert reason in failure(events)
    assert ("death", {"victim": "agent_2", "signal": 9}) in events


def test_a_victim_that_had_ended_is_a_failed_fault() -> None:
    """A container that ended before is not killed, and its exit code is told."""
    engine = lab_with_strangers()
    engine.die(engine.id_of("fail-storm-agent-1-1"), 3)
    events = inject(engine, "agent_1", "agent_2")
    assert "before the kill with exit code 3" in failure(events)
    assert engine.touched() == ["fail-storm-agent-2-1"]


def test_an_untold_death_is_a_failed_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a die event within the bound there is no proof."""
    monkeypatch.setattr("chaos.faults.kill.PROOF_TIMEOUT_S", 0.01)
    engine = lab_with_strangers()
    engine.mute = True
    assert "die event" in failure(inject(engine, "agent_1"))


def test_an_earlier_death_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed, restarted, killed again: the second kill needs an event of its own."""
    monkeypatch.setattr("chaos.faults.kill.PROOF_TIMEOUT_S", 0.05)
    engine = lab_with_strangers()
    events: list[str] = []

    def record(ev: str, **_: object) -> None:
        events.append(ev)

    async def twice() -> None:
        async with target_on(engine, answer_with(1000)) as target:
            await FAULT.inject(target, ("agent_1",), record)
            await FAULT.heal(target, ("agent_1",), record)
            engine.mute = True
            await FAULT.inject(target, ("agent_1",), record)

    asyncio.run(twice())
    assert events == ["kill_call", "death", "heal_call", "heal_done", "kill_call", "fault_failed"]


def test_broken_events_end_the_wait_and_are_taken_up_again() -> None:
    """An engine that stops telling spares the victims of this order; the next order subscribes anew."""
    engine = lab_with_strangers()
    engine.ids[engine.id_of("fail-storm-agent-1-1")].dies_with = None

    async def break_off() -> None:
        async with target_on(engine) as target:
            await target.authorise(["agent_1", "agent_2"])
            await target.kill("agent_1")
            waiting = asyncio.create_task(target.wait_dead("agent_1", 5))
            engine.subscriptions[0].close()
            with pytest.raises(FaultError, match="broke off"):
                await waiting
            with pytest.raises(FaultError, match="agent_2 is spared"):
                await target.kill("agent_2")
            await target.authorise(["agent_2"])
            await target.kill("agent_2")
            assert await target.wait_dead("agent_2", 5) == 9

    asyncio.run(break_off())
    assert len(engine.subscriptions) == 2


def test_a_restart_ends_when_the_new_life_answers() -> None:
    """Silence and the old incarnation are waited out; a living container is not restarted."""
    engine = lab_with_strangers()

    async def restart() -> None:
        async with target_on(engine, answer_with(None, 0, 1000)) as target:
            await target.authorise(["agent_1"])
            with pytest.raises(FaultError, match="still runs"):
                await target.restart("agent_1")
            await target.kill("agent_1")
            await target.wait_dead("agent_1", 5)
            assert (await target.agents())["agent_1"] == AgentState(running=False, exit_code=137)
            await target.restart("agent_1")
            assert (await target.agents())["agent_1"] == AgentState(running=True, exit_code=None)

    asyncio.run(restart())


def test_each_restart_needs_a_newer_incarnation(monkeypatch: pytest.MonkeyPatch) -> None:
    """What answered after the first restart is no proof of the second."""
    engine = lab_with_strangers()

    async def restart_twice() -> None:
        async with target_on(engine, answer_with(1000)) as target:
            await target.authorise(["agent_1"])
            for _ in range(2):
                await target.kill("agent_1")
                await target.wait_dead("agent_1", 5)
                await target.restart("agent_1")
                monkeypatch.setattr("chaos.targets.docker.RESTART_TIMEOUT_S", 0.01)

    with pytest.raises(FaultError, match="agent_1 to serve within"):
        asyncio.run(restart_twice())


def test_an_agent_that_ends_again_is_not_waited_for() -> None:
    """The exit code of the new life is told at once."""
    engine = lab_with_strangers()
    victim = engine.id_of("fail-storm-agent-1-1")

    async def ends(_node: str) -> int | None:
        engine.die(victim, 2)
        return None

    async def restart() -> None:
        async with target_on(engine, ends) as target:
            engine.die(victim, 137)
            await target.authorise(["agent_1"])
            await target.restart("agent_1")

    with pytest.raises(FaultError, match="ended with exit code 2"):
        asyncio.run(restart())


def test_the_states_of_the_agents_are_told() -> None:
    """Only the run's agents, each with its exit code once it has ended; one that never ran has none."""
    engine = lab_with_strangers()
    engine.die(engine.id_of("fail-storm-agent-2-1"), 1)
    engine.ids[engine.id_of("fail-storm-agent-3-1")].state = "created"
    engine.ids[engine.id_of("fail-storm-agent-4-1")].state = "paused"

    async def states() -> dict[str, AgentState]:
        async with target_on(engine) as target:
            return await target.agents()

    assert asyncio.run(states()) == {
        "agent_1": AgentState(running=True, exit_code=None),
        "agent_2": AgentState(running=False, exit_code=1),
        "agent_3": AgentState(running=False, exit_code=None),
        "agent_4": AgentState(running=True, exit_code=None),
    }
