"""A dead owner's tasks go to the next on the list, once and with their cause, unless they are done already."""

import asyncio

import pytest

from agent.decisions import News
from agent.errand import PATIENCE_IN_DEADLINES
from agent.membership import RESTART_STEP
from protocols.message import Traffic
from tests.agent.owning import DEADLINE_S, UNNOTICED_S, MakeLab, all_events, owned, running, start, started, suspect


async def test_a_dead_owners_unfinished_tasks_are_taken_over_once_with_their_cause(make_lab: MakeLab) -> None:
    """Each goes to the next on its list, whoever noticed first; its first message names victim and task."""
    async with make_lab(agent_count=8, step_work_ms=200) as lab:
        tasks = [f"q{number}" for number in range(60)]
        agents = await running(lab, dict.fromkeys(tasks, 0.1))
        await asyncio.sleep(0.3)
        victim, survivors = agents[1], [agents[0], *agents[2:]]
        lab.kill(victim)
        orphans = [task for task in tasks if agents[0].roles.owners(task)[0] == "agent_2"]
        assert len(orphans) > 3
        suspect(survivors[:2], "agent_2")  # the others hear it from these
        await asyncio.sleep(3)
        taken = [start for start in started(survivors) if start[2]]
        assert sorted(taken) == sorted((agents[0].roles.owners(task)[1], task, True) for task in orphans)
        causes = {event["task"]: event["cause"] for event in all_events(survivors, "task_start") if event["takeover"]}
        assert causes == {task: ["agent_2", task] for task in orphans}
        repairs = [event["cause"] for event in all_events(survivors, "repair") if event["kind"] == "task"]
        assert sorted(repairs) == sorted(causes.values())
        answers = [event["task"] for event in all_events(survivors, "answer")]
        assert sorted(answers) == sorted(tasks)


async def test_a_suspicion_just_before_an_arrival_begins_the_task_once(make_lab: MakeLab) -> None:
    """A task that has not arrived yet is no task to take over; it begins at its time, and only then."""
    async with make_lab(agent_count=8) as lab:
        a = lab.agent("agent_1")
        early, late = owned(a, "agent_2", "agent_1", "agent_3"), owned(a, "agent_2", "agent_1", "agent_4")
        start(lab, [a], {early: 1.0, late: 2.0})
        await asyncio.sleep(1.5)
        suspect([a], "agent_2")
        await asyncio.sleep(0.4)
        assert started([a]) == [("agent_1", early, True)]
        await asyncio.sleep(0.2)
        assert started([a]) == [("agent_1", early, True), ("agent_1", late, False)]


@pytest.mark.parametrize("order", [("agent_2", "agent_3"), ("agent_3", "agent_2")])
async def test_two_deaths_in_any_order_leave_no_orphan(make_lab: MakeLab, order: tuple[str, str]) -> None:
    """When owner and heir both die, the third takes over, at the second suspicion and once."""
    async with make_lab(agent_count=8) as lab:
        a = lab.agent("agent_1")
        task = owned(a, "agent_2", "agent_3", "agent_1")
        start(lab, [a], {task: 0.1})
        await asyncio.sleep(0.2)
        suspect([a], order[0])
        assert started([a]) == []
        suspect([a], order[1])
        await asyncio.sleep(0.1)
        assert started([a]) == [("agent_1", task, True)]


async def test_two_deaths_in_one_message_are_one_take_over(make_lab: MakeLab) -> None:
    """News of both at once: the task begins once."""
    async with make_lab(agent_count=8) as lab:
        a = lab.agent("agent_1")
        task = owned(a, "agent_2", "agent_3", "agent_1")
        start(lab, [a], {task: 0.1})
        await asyncio.sleep(0.2)
        news = [News(victim, 0, alive=False) for victim in ("agent_2", "agent_3")]
        a.hear(*news)
        await asyncio.sleep(0.1)
        assert started([a]) == [("agent_1", task, True)]


@pytest.mark.parametrize(("replication", "redone"), [(2, False), (1, True)])
async def test_a_commit_notice_prevents_that_work_is_done_again(
    make_lab: MakeLab, replication: int, *, redone: bool
) -> None:
    """The heir of a settled task knows of it; without replication nobody does, and the task is done again."""
    async with make_lab(agent_count=8, replication=replication) as lab:
        task = owned(lab.agent("agent_1"), "agent_2", "agent_1")
        b = lab.agent("agent_2")
        agents = [next(iter(lab.agents.values())), b, *(lab.agent(name) for name in lab.names[2:])]
        await lab.link(*agents)
        start(lab, agents, {task: 0.1})
        await asyncio.sleep(1)
        assert len(b.events("answer")) == 1
        lab.kill(b)
        suspect(agents[:1], "agent_2")
        await asyncio.sleep(1)
        assert (("agent_1", task, True) in started(agents)) is redone


async def test_a_commit_notice_that_fails_is_repeated_a_few_times(make_lab: MakeLab) -> None:
    """A heir that does not take it hears it again, marked as a retry; one that never does is given up."""
    async with make_lab(agent_count=8) as lab:
        a = lab.observer()
        task = owned(a, "agent_1", "agent_2")
        lab.network.rejects["agent_2", "commit"] = None
        a.owner._notices.committed(task, ())
        await asyncio.sleep(0.2)
        lab.network.rejects.clear()
        await asyncio.sleep(5)
        notices = [notice for notice in lab.network.sent("commit") if notice.recipient == "agent_2"]
        assert [notice.traffic for notice in notices] == [Traffic.TASK, Traffic.RETRY, Traffic.RETRY]
        assert [notice.body for notice in notices] == [{"settled": [task]}] * 3
        lab.network.rejects["agent_2", "commit"] = None
        a.owner._notices.committed(owned(a, "agent_1", "agent_2", "agent_3"), ())
        await asyncio.sleep(5)
        assert len([notice for notice in lab.network.sent("commit") if notice.recipient == "agent_2"]) == 3 + 4


async def test_when_the_heir_is_dead_the_next_one_is_told(make_lab: MakeLab) -> None:
    """The failed notice finds the death; as many know of the answer as before: of 2r-1 electors all but the owner."""
    async with make_lab(agent_count=8, replication=3) as lab:
        a = lab.observer()
        task = owned(a, "agent_1", "agent_2")
        lab.network.kill("agent_2")
        a.owner._notices.committed(task, ())
        await asyncio.sleep(1)
        told = [notice.recipient for notice in lab.network.sent("commit") if notice.recipient != "agent_2"]
        assert sorted(told) == sorted(a.roles.owners(task)[2:6])


async def test_a_take_over_stops_when_the_owner_turns_out_to_have_answered(make_lab: MakeLab) -> None:
    """A false suspicion costs a second start, but no second answer, once the notice is in."""
    async with make_lab(agent_count=8, step_work_ms=500, task_deadline_s=10.0) as lab:
        agents = await running(lab)
        task = owned(agents[0], "agent_2", "agent_1")
        start(lab, agents, {task: 0.0})
        await asyncio.sleep(1.2)
        suspect([agents[0]], "agent_2")
        await asyncio.sleep(5)
        assert started(agents, task) == [("agent_2", task, False), ("agent_1", task, True)]
        assert [event["node"] for event in all_events(agents, "answer")] == ["agent_2"]
        assert all_events(agents, "task_failed") == []
        assert agents[0].exchange._open == {}


async def test_tasks_settled_long_ago_are_not_taken_over(make_lab: MakeLab) -> None:
    """Older than a deadline before the earliest moment at which the victim can have died unnoticed: left alone."""
    horizon_s = UNNOTICED_S + DEADLINE_S
    async with make_lab(agent_count=8) as lab:
        a = lab.agent("agent_1")
        old, recent = owned(a, "agent_2", "agent_1", "agent_3"), owned(a, "agent_2", "agent_1", "agent_4")
        start(lab, [a], {old: 1.0, recent: 1.2})
        await asyncio.sleep(1.1 + horizon_s)
        suspect([a], "agent_2")
        await asyncio.sleep(0.1)
        assert started([a]) == [("agent_1", recent, True)]


@pytest.mark.parametrize(
    ("agent_count", "detector", "victims"),
    [
        (16, {"fanout": 1}, ("agent_9",)),
        (16, {}, ("agent_1", "agent_9")),
        (8, {"fanout": 7, "misses": 6}, ("agent_1", "agent_6")),
    ],
)
async def test_a_hub_that_notices_late_takes_over_what_was_under_way(
    make_lab: MakeLab, agent_count: int, detector: dict[str, int], victims: tuple[str, ...]
) -> None:
    """A leaf that dies just after its turn among many, or together with the hub, leaves no task undone."""
    tasks = {f"q{number}": 7.0 + number / 5 for number in range(100)}
    probing = {"mode": "probe", **detector}
    async with make_lab(agent_count=agent_count, topology="star", step_work_ms=350, detector=probing) as lab:
        agents = await running(lab, tasks)
        began = lab.clock.now()
        lab.beat(*agents)
        # Until a moment after the leaf has been probed and heard.
        while lab.clock.now() < began + 10 or not lab.network.of("probe", "agent_1", victims[-1]):
            lab.network.calls.clear()
            await asyncio.sleep(0.05)
        for agent in agents:
            if agent.settings.node_id in victims:
                lab.kill(agent)
        await asyncio.sleep(25)
        survivors = [agent for agent in agents if agent.settings.node_id not in victims]
        assert {agent.membership.suspects for agent in survivors} == {victims}
        assert {event["task"] for event in all_events(agents, "answer")} == set(tasks)


async def test_who_is_restarted_leaves_to_others_what_arrived_before(make_lab: MakeLab) -> None:
    """Owner and heir died and are back: the survivor took their tasks over, and the heir does not do them again."""
    async with make_lab(agent_count=8) as lab:
        agents = await running(lab)
        task = owned(agents[0], "agent_2", "agent_3", "agent_1")
        start(lab, agents, {task: 0.0})
        await asyncio.sleep(0.001)
        for place in (1, 2):
            lab.kill(agents[place])
        others = [agents[0], *agents[3:]]
        for victim in ("agent_2", "agent_3"):
            suspect(others, victim)
        await asyncio.sleep(2)
        for name in ("agent_2", "agent_3"):
            del lab.network.dead[name]
        heir, owner = lab.agent("agent_3", RESTART_STEP), lab.agent("agent_2", RESTART_STEP)
        await heir.node._rejoin()
        await owner.node._rejoin()
        await asyncio.sleep(2)
        assert started([*others, heir, owner], task)[-1] == ("agent_1", task, True)


async def test_a_task_taken_over_late_still_gets_a_whole_deadline(make_lab: MakeLab) -> None:
    """Its owner's patience is long over; the one who takes over waits for as long as for a task of its own."""
    async with make_lab(agent_count=8, detector={"mode": "probe", "interval_s": 5.0}) as lab:
        a = lab.agent("agent_3")
        task = owned(a, "agent_2", "agent_3")
        for name in ("agent_1", "agent_5"):  # those who can search
            lab.adapter(name)
            lab.network.freeze(name)
        start(lab, [a], {task: 0.0})
        await asyncio.sleep(PATIENCE_IN_DEADLINES * DEADLINE_S + 1)
        suspect([a], "agent_2")
        began = lab.clock.now()
        await asyncio.sleep(10)
        (failed,) = a.events("task_failed")
        assert DEADLINE_S - 0.5 < failed["t"] - began <= DEADLINE_S + 0.01


async def test_an_owner_that_restarts_unnoticed_loses_its_tasks_to_the_next(make_lab: MakeLab) -> None:
    """Nobody missed it, but its new life knows nothing of what it had begun: the next on the list takes over."""
    async with make_lab(agent_count=8) as lab:
        a = lab.agent("agent_1")
        task = owned(a, "agent_2", "agent_1")
        start(lab, [a], {task: 0.1})
        await asyncio.sleep(0.5)
        a.hear(News("agent_2", RESTART_STEP, alive=True))
        await asyncio.sleep(0.1)
        assert started([a]) == [("agent_1", task, True)]


async def test_the_cause_of_a_take_over_waits_for_the_first_message(make_lab: MakeLab) -> None:
    """If the new owner can do the first step by itself, its first lookup carries the cause, and nothing after it."""
    async with make_lab(agent_count=8) as lab:
        agents = await running(lab)
        task = owned(agents[0], "agent_2", "agent_1")  # agent_1 searches by itself
        start(lab, agents, {task: 0.0})
        await asyncio.sleep(0.001)
        lab.kill(agents[1])
        suspect([agents[0]], "agent_2")
        lab.network.calls.clear()
        await asyncio.sleep(1)
        assert started(agents[:1]) == [("agent_1", task, True)]
        caused = [message for message in lab.network.sent("request", "agent_1") if message.cause is not None]
        assert [message.body["tool"] for message in caused] == ["lookup"]
        assert [message.traffic for message in caused] == [Traffic.RETRY]
        (repair,) = agents[0].events("repair")[-1:]
        assert (repair["kind"], repair["cause"]) == ("task", ["agent_2", task])
