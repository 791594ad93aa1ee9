"""Tasks begin on schedule, each at one owner; a dead owner's go to the next on the list, once, unless they are done."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from agent.membership import RESTART_STEP, News
from agent.tasks import _PATIENCE_IN_DEADLINES
from protocols.message import Traffic
from tests.agent.lab import ANSWER, Agent, Lab

MakeLab = Callable[..., Lab]
DEADLINE_S = 2.0
UNNOTICED_S = 2 * 1.0 + 0.5 + 1.0
"""The detector's bound with its defaults, and a second."""


def owned(agent: Agent, *owners: str) -> str:
    """A task whose preference list begins with these owners."""
    return next(f"q{number}" for number in range(10_000) if agent.roles.owners(f"q{number}")[: len(owners)] == owners)


def started(agents: Iterable[Agent], *tasks: str) -> list[tuple[str, str, bool]]:
    """Who began which task, and whether as a take-over; of these tasks or of all, in order of time."""
    events = [event for agent in agents for event in agent.events("task_start")]
    events.sort(key=lambda event: float(event["t"]))
    return [
        (event["node"], event["task"], event["takeover"]) for event in events if not tasks or event["task"] in tasks
    ]


def all_events(agents: Iterable[Agent], *names: str) -> list[dict[str, Any]]:
    """These events of all these agents."""
    return [event for agent in agents for event in agent.events(*names)]


async def running(lab: Lab, arrivals_s: dict[str, float] | None = None) -> list[Agent]:
    """All agents, linked and started; the clock starts now."""
    agents = lab.all_agents()
    await lab.link(*agents)
    start(lab, agents, arrivals_s or {})
    return agents


def start(lab: Lab, agents: Iterable[Agent], arrivals_s: dict[str, float]) -> None:
    """Give these agents the document and the schedule, and the start instant: now."""
    t0 = lab.clock.now()
    for agent in agents:
        lab.store(agent, arrivals_s=arrivals_s)
        assert agent.node._start(t0)


def suspect(agents: Iterable[Agent], victim: str) -> None:
    """Let each of them believe that the victim is dead."""
    for agent in agents:
        agent.heartbeat._carry_out(agent.membership.told([News(victim, 0, alive=False)]))


async def test_arrivals_do_not_wait_for_answers(make_lab: MakeLab) -> None:
    """Open loop: with a worker that is hopelessly behind, every task still begins at its scheduled time."""
    async with make_lab(agent_count=1, step_work_ms=1000, concurrent_steps=1) as lab:
        arrivals_s = {f"q{number}": 0.05 * number for number in range(40)}
        t0 = lab.clock.now()
        (a,) = await running(lab, arrivals_s)
        await asyncio.sleep(3)
        begun_s = [event["t"] - t0 for event in a.events("task_start")]
        assert begun_s == pytest.approx(list(arrivals_s.values()), abs=1e-5)
        assert a.events("answer") == []


async def test_each_task_is_done_once_by_the_first_on_its_list(make_lab: MakeLab) -> None:
    """All alive and of one view: one start, one right answer with its evidence, at the owner everyone computes."""
    async with make_lab(agent_count=8) as lab:
        tasks = [f"q{number}" for number in range(40)]
        agents = await running(lab, dict.fromkeys(tasks, 0.1))
        await asyncio.sleep(2)
        owners = agents[0].roles.owners
        assert sorted(started(agents)) == sorted((owners(task)[0], task, False) for task in tasks)
        answers = all_events(agents, "answer")
        assert sorted(answer["task"] for answer in answers) == sorted(tasks)
        assert {(answer["answer"], tuple(answer["evidence"])) for answer in answers} == {(ANSWER, ("f-1", "f-2"))}
        kept = agents[0].settings.workspace.joinpath("answers.jsonl").read_text().splitlines()
        assert len(kept) == len(agents[0].events("answer"))


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


async def test_new_tasks_of_a_dead_owner_go_by_the_view(make_lab: MakeLab) -> None:
    """After the suspicion the next on the list is simply the owner: no take-over, no cause."""
    async with make_lab(agent_count=8) as lab:
        probe = lab.agent("agent_1")
        task = owned(probe, "agent_2", "agent_1")
        start(lab, [probe], {task: 5.0})
        suspect([probe], "agent_2")
        await asyncio.sleep(4.9)
        assert started([probe]) == []
        await asyncio.sleep(0.2)
        assert started([probe]) == [("agent_1", task, False)]


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
        a.heartbeat._carry_out(a.membership.told(news))
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


async def test_a_task_taken_over_late_still_gets_a_whole_deadline(make_lab: MakeLab) -> None:
    """Its owner's patience is long over; the one who takes over waits for as long as for a task of its own."""
    async with make_lab(agent_count=8, detector={"mode": "probe", "interval_s": 5.0}) as lab:
        a = lab.agent("agent_3")
        task = owned(a, "agent_2", "agent_3")
        for name in ("agent_1", "agent_5"):  # those who can search
            lab.adapter(name)
            lab.network.freeze(name)
        start(lab, [a], {task: 0.0})
        await asyncio.sleep(_PATIENCE_IN_DEADLINES * DEADLINE_S + 1)
        suspect([a], "agent_2")
        began = lab.clock.now()
        await asyncio.sleep(10)
        (failed,) = a.events("task_failed")
        assert DEADLINE_S - 0.5 < failed["t"] - began <= DEADLINE_S + 0.01


async def test_with_take_over_off_a_dead_owners_tasks_stay_undone(make_lab: MakeLab) -> None:
    """``takeover: false``: neither those under way nor those to come find a new owner."""
    async with make_lab(agent_count=8, recovery={"takeover": False}) as lab:
        a = lab.agent("agent_1")
        before, after = owned(a, "agent_2", "agent_1", "agent_3"), owned(a, "agent_2", "agent_1", "agent_4")
        own = owned(a, "agent_1")
        start(lab, [a], {before: 0.5, after: 2.0, own: 2.0})
        await asyncio.sleep(1)
        suspect([a], "agent_2")
        await asyncio.sleep(2)
        assert started([a]) == [("agent_1", own, False)]


async def test_an_owner_that_restarts_unnoticed_loses_its_tasks_to_the_next(make_lab: MakeLab) -> None:
    """Nobody missed it, but its new life knows nothing of what it had begun: the next on the list takes over."""
    async with make_lab(agent_count=8) as lab:
        a = lab.agent("agent_1")
        task = owned(a, "agent_2", "agent_1")
        start(lab, [a], {task: 0.1})
        await asyncio.sleep(0.5)
        a.heartbeat._carry_out(a.membership.told([News("agent_2", RESTART_STEP, alive=True)]))
        await asyncio.sleep(0.1)
        assert started([a]) == [("agent_1", task, True)]


async def test_a_restarted_agent_goes_on_from_its_return_and_misses_no_arrival(make_lab: MakeLab) -> None:
    """What arrived before it is back belongs to others; from its first hello on, arrivals are its own again."""
    async with make_lab(agent_count=8) as lab:
        task = {}
        agents = await running(lab)
        for name, third in (("before", "agent_3"), ("during", "agent_4"), ("after", "agent_5")):
            task[name] = owned(agents[0], "agent_2", "agent_1", third)
        arrivals_s = {task["before"]: 1.0, task["during"]: 3.0005, task["after"]: 4.0}
        t0 = lab.clock.now()
        start(lab, agents, arrivals_s)
        await asyncio.sleep(0.5)
        lab.kill(agents[1])
        suspect([agents[0]], "agent_2")
        await asyncio.sleep(t0 + 3.0 - lab.clock.now())
        del lab.network.dead["agent_2"]
        reborn = lab.agent("agent_2", RESTART_STEP)
        await reborn.node._rejoin()  # takes longer than until 3.0005 s
        assert lab.clock.now() - t0 > 3.005
        await asyncio.sleep(t0 + 6 - lab.clock.now())
        lives = [agents[0], *agents[2:], reborn]  # the second life goes on in the first one's journal
        assert started(lives, task["before"]) == [("agent_1", task["before"], False)]
        assert ("agent_2", task["during"], False) in started(lives)
        assert started(lives, task["after"]) == [("agent_2", task["after"], False)]
        assert {event["task"] for event in all_events(lives, "answer")} == set(arrivals_s)


async def test_the_cause_of_a_take_over_waits_for_the_first_message(make_lab: MakeLab) -> None:
    """If the new owner can do the first step by itself, the request for the second carries the cause."""
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
        assert [message.body["tool"] for message in caused] == ["extract"]
        assert [message.traffic for message in caused] == [Traffic.RETRY]
        (repair,) = agents[0].events("repair")[-1:]
        assert (repair["kind"], repair["cause"]) == ("task", ["agent_2", task])


@pytest.mark.parametrize(("question", "reason"), [(None, "unavailable"), (7, "rejected")])
async def test_a_task_that_cannot_be_done_fails_with_its_reason(
    make_lab: MakeLab, question: int | None, reason: str
) -> None:
    """A fragment without a live holder, or a step that makes no sense: one line that says so, and the owner goes on."""
    async with make_lab(agent_count=1) as lab:
        (a,) = await running(lab)
        a.worker.store._shards.clear()
        a.worker.placement = (("agent_9",),) * 3
        broadcast = lab.broadcast("agent_1", {"q1": 0.0, "q2": 1.0})
        if question is not None:
            schedule = tuple(item.model_copy(update={"question": question}) for item in broadcast.schedule)
            broadcast = broadcast.model_copy(update={"schedule": schedule})
        lab.spawn(a.owner.run_schedule(broadcast.schedule, lab.clock.now(), 0.0))
        await asyncio.sleep(3)
        assert [(event["task"], event["reason"]) for event in a.events("task_failed")] == [
            ("q1", reason),
            ("q2", reason),
        ]
        assert a.owner._running == {}
