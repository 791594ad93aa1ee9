"""An agent that is told to end commits what others have promised it, and leaves all else to its heirs."""

import asyncio
from collections import Counter

import pytest

from agent.node import Node
from protocols.wire import ByteCounter
from tests.agent.lab import Lab
from tests.agent.owning import MakeLab, all_events, running, suspect
from tests.agent.specimen import Agent

ONE_WAY_S = 0.05
RECEIPT_S = 1.0


async def asked_for_a_promise(lab: Lab, agent: Agent) -> str:
    """Wait until this agent asks for its first promise; returns the task."""
    while not (sent := lab.network.sent("commit", source=agent.settings.node_id)):  # noqa: ASYNC110 - virtual time
        await asyncio.sleep(0.001)
    task = sent[0].body["task"]
    assert isinstance(task, str)
    return task


async def end(lab: Lab, agents: list[Agent], leaver: Agent) -> None:
    """The end of ``leaver``: it says nothing more, and all others hear of it."""
    lab.kill(leaver)
    suspect([agent for agent in agents if agent is not leaver], leaver.settings.node_id)


async def test_an_agent_that_ends_commits_what_is_being_promised_and_its_heirs_do_the_rest(make_lab: MakeLab) -> None:
    """The end comes while one question is on its way, and other tasks have not got so far: all are committed, once."""
    tasks = {f"q{number}": 0.1 + 0.02 * number for number in range(40)}
    async with make_lab(agent_count=8) as lab:
        lab.network.one_way_s = ONE_WAY_S
        agents = await running(lab, tasks)
        leaver = agents[2]
        task = await asked_for_a_promise(lab, leaver)
        assert leaver.events("answer") == []
        began = lab.clock.now()
        await leaver.owner.wind_up()
        assert lab.clock.now() - began <= 2 * ONE_WAY_S
        assert task in [event["task"] for event in leaver.events("answer")]
        asked = len(lab.network.sent("commit", source="agent_3"))
        await asyncio.sleep(2 * ONE_WAY_S)
        assert [late.body for late in lab.network.sent("commit", source="agent_3")[asked:] if "task" in late.body] == []
        await end(lab, agents, leaver)
        await asyncio.sleep(8)
        counts = Counter(event["task"] for event in all_events(agents, "answer"))
        assert counts == dict.fromkeys(tasks, 1)


async def test_an_agent_with_nothing_to_commit_ends_at_once(make_lab: MakeLab) -> None:
    """A task that is still being worked at does not hold up the end, and is nobody's afterwards."""
    async with make_lab(agent_count=8, step_work_ms=500) as lab:
        agents = await running(lab, {"q1": 0.1})
        await asyncio.sleep(0.3)
        began = lab.clock.now()
        for agent in agents:
            await agent.owner.wind_up()
        assert lab.clock.now() == began
        await asyncio.sleep(5)
        assert all_events(agents, "answer") == []


async def test_silent_electors_hold_up_the_end_no_longer_than_a_receipt_takes(make_lab: MakeLab) -> None:
    """A majority out of reach may stay away for ever."""
    async with make_lab(agent_count=8) as lab:
        lab.network.one_way_s = ONE_WAY_S
        agents = await running(lab, {f"q{number}": 0.1 for number in range(8)})
        leaver = agents[2]
        await asked_for_a_promise(lab, leaver)
        for name in lab.names:
            if name != "agent_3":
                lab.network.freeze(name)
        began = lab.clock.now()
        await leaver.owner.wind_up()
        assert lab.clock.now() - began == pytest.approx(RECEIPT_S)
        assert leaver.events("answer") == []


@pytest.mark.sockets
async def test_an_agent_ends_its_work_before_its_connections(make_lab: MakeLab) -> None:
    """Who sees a connection of its end takes that for the end of its process: nothing may come after it."""
    lab = make_lab(agent_count=2)
    node = Node(lab.settings("agent_1"), lab.clock, ByteCounter(), lambda: "1")
    order: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            order.append("work")

    async def close() -> None:
        order.append("connections")

    node._adapter = lab.adapter("agent_1")
    node._adapter.close = close  # type: ignore[method-assign]
    life = asyncio.ensure_future(node.run())
    while not node._settings.workspace.joinpath("journal.jsonl").read_text():  # noqa: ASYNC110 - no event tells of it
        await asyncio.sleep(0.01)
    node._spawn(work())
    await asyncio.sleep(0)
    node.stop()
    await life
    assert order == ["work", "connections"]
