"""Freezes and cuts, which look like deaths: whatever agents believe, no task is lost and none is committed twice."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from tests.agent.lab import ANSWER, Lab
from tests.agent.owning import MakeLab, all_events, owned, running, suspect
from tests.agent.specimen import Agent

FAULT_AT_S = 1.5
FAULT_S = 4.0
SEEDS = (0,)
"""Each is another set of tasks, and another moment for the fault; more are for a search by hand."""
QUIET_S = 8.0
"""Time after the heal in which all that waited comes to its end."""


async def freeze(lab: Lab, _: list[Agent]) -> None:
    """Two agents stand still at once, are given up, and go on with all they knew."""
    for name in ("agent_3", "agent_7"):
        lab.network.halt(name)
    await asyncio.sleep(FAULT_S)
    for name in ("agent_3", "agent_7"):
        lab.network.go_on(name)


def split(count: int) -> Callable[[Lab, list[Agent]], Awaitable[None]]:
    """The first so many agents and the others do not reach each other."""

    async def fault(lab: Lab, _: list[Agent]) -> None:
        here, there = lab.names[:count], lab.names[count:]
        lab.network.cut(here, there)
        lab.network.cut(there, here)
        await asyncio.sleep(FAULT_S)
        lab.network.cuts.clear()

    return fault


async def deafen(lab: Lab, _: list[Agent]) -> None:
    """What two agents send arrives, what is sent to them does not."""
    lab.network.cut(lab.names, ("agent_2", "agent_5"))
    await asyncio.sleep(FAULT_S)
    lab.network.cuts.clear()


async def flap(lab: Lab, _: list[Agent]) -> None:
    """One agent is cut off again and again, each time for just longer than it takes to be given up."""
    for _round in range(3):
        lab.network.cut(["agent_4"], lab.names)
        lab.network.cut(lab.names, ["agent_4"])
        await asyncio.sleep(2.6)
        lab.network.cuts.clear()
        await asyncio.sleep(1.2)


async def cascade(lab: Lab, agents: list[Agent]) -> None:
    """One freezes, then another is cut off, then a third is killed, before the first is back."""
    lab.network.halt("agent_1")
    await asyncio.sleep(1.5)
    lab.network.cut(["agent_4"], lab.names)
    lab.network.cut(lab.names, ["agent_4"])
    await asyncio.sleep(1.5)
    lab.kill(agents[5])
    await asyncio.sleep(2)
    lab.network.go_on("agent_1")
    await asyncio.sleep(1)
    lab.network.cuts.clear()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    "fault",
    [freeze, split(4), split(3), split(1), deafen, flap, cascade],
    ids=["freeze", "even split", "uneven split", "cut", "one-way cut", "flapping", "cascade"],
)
async def test_silence_loses_no_task_and_commits_none_twice(
    make_lab: MakeLab, fault: Callable[[Lab, list[Agent]], Awaitable[None]], seed: int
) -> None:
    """Tasks arrive before, in and after the fault, and each is committed by one agent, once, with the right answer."""
    tasks = {f"{seed}-{number}": number / 6 + seed / 30 for number in range(48)}
    # Nobody waits for three deadlines only: that is less than the fault lasts.
    async with make_lab(agent_count=8, topology="mesh", task_deadline_s=0.8) as lab:
        agents = await running(lab, tasks)
        lab.beat(*agents)
        for agent in agents:
            lab.spawn(agent.node._lag.journal_forever(agent.node._journal), agent)
        await asyncio.sleep(FAULT_AT_S + seed / 7)
        await fault(lab, agents)
        await asyncio.sleep(QUIET_S)
        answers = all_events(agents, "answer")
        counts = Counter(event["task"] for event in answers)
        assert {task: count for task, count in counts.items() if count > 1} == {}
        assert set(tasks) - set(counts) == set()
        assert {event["answer"] for event in answers} == {ANSWER}


async def test_who_is_no_elector_asks_for_no_promise_and_leaves_the_task_to_electors_that_are_back(
    make_lab: MakeLab,
) -> None:
    """It has stood in for three who seemed dead, and are not: a promise to it would be one that nobody redeems."""
    async with make_lab(agent_count=8) as lab:
        a = lab.observer()
        electors = ("agent_5", "agent_6", "agent_7")
        task = owned(a, *electors, "agent_1")
        for name in electors:
            suspect([a], name)
        assert await a.owner._agreement.win(task, inherited=True) is None
        assert lab.network.sent("commit") == []


async def test_the_next_electors_decide_once_all_before_them_are_dead_beyond_doubt(make_lab: MakeLab) -> None:
    """A refused connection is the proof: then the fourth to sixth on the list are the electors, two of them enough."""
    async with make_lab(agent_count=8) as lab:
        a, _ = lab.agent("agent_1"), lab.agent("agent_2")
        electors = ("agent_5", "agent_6", "agent_7")
        task = owned(a, *electors, "agent_1", "agent_2")
        for name in electors:
            lab.network.kill(name)
            suspect([a], name)
        assert await a.owner._agreement.win(task, inherited=False) == ("agent_2",)


async def test_of_two_owners_who_wait_the_later_gives_way(make_lab: MakeLab) -> None:
    """Each has promised the task to itself and the third is silent; the first in line gets the other's promise."""
    async with make_lab(agent_count=8) as lab:
        a, b = lab.agent("agent_1"), lab.agent("agent_2")
        for name in lab.names[2:]:
            lab.adapter(name)
            lab.network.freeze(name)
        task = owned(a, "agent_1", "agent_2", "agent_3")
        lab.network.cut(["agent_1"], ["agent_2"])
        lab.network.cut(["agent_2"], ["agent_1"])
        first = asyncio.ensure_future(a.owner._agreement.win(task, inherited=True))
        later = asyncio.ensure_future(b.owner._agreement.win(task, inherited=True))
        await asyncio.sleep(3)
        assert not first.done()
        assert not later.done()
        lab.network.cuts.clear()
        assert await first == ("agent_2",)
        assert await later is None
