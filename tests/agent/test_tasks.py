"""Tasks begin on schedule, each once, at the owner that everybody computes."""

import asyncio

import pytest

from agent.membership import RESTART_STEP
from tests.agent.lab import ANSWER
from tests.agent.owning import PATIENCE_S, MakeLab, all_events, owned, running, start, started, suspect


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


@pytest.mark.parametrize(("question", "reason"), [(None, "unavailable"), (7, "rejected")])
async def test_a_task_that_cannot_be_done_fails_with_its_reason(
    make_lab: MakeLab, question: int | None, reason: str
) -> None:
    """A fragment without a live holder, or a step that makes no sense: one line that says so, and the owner goes on."""
    async with make_lab(agent_count=1) as lab:
        (a,) = await running(lab)
        a.worker.shelves.store._shards.clear()
        a.worker.shelves.placement = (("agent_9",),) * 3
        broadcast = lab.broadcast("agent_1", {"q1": 0.0, "q2": 1.0})
        if question is not None:
            schedule = tuple(item.model_copy(update={"question": question}) for item in broadcast.schedule)
            broadcast = broadcast.model_copy(update={"schedule": schedule})
        lab.spawn(a.owner.run_schedule(broadcast.schedule, lab.clock.now(), 0.0))
        await asyncio.sleep(1 + PATIENCE_S)
        assert [(event["task"], event["reason"]) for event in a.events("task_failed")] == [
            ("q1", reason),
            ("q2", reason),
        ]
        assert a.owner._running == {}


async def test_a_failed_task_is_not_begun_again_when_somebody_dies(make_lab: MakeLab) -> None:
    """A death is a reason to take over the victim's tasks, and no other."""
    async with make_lab(agent_count=8) as lab:
        a = lab.observer()
        task = owned(a, "agent_1", "agent_2")
        start(lab, [a], {task: 0.0})
        a.worker.shelves.store._shards.clear()
        a.worker.shelves.placement = (("agent_9",),) * 8
        await asyncio.sleep(PATIENCE_S)
        assert [event["task"] for event in a.events("task_failed")] == [task]
        suspect([a], "agent_2")
        await asyncio.sleep(1)
        assert started([a]) == [("agent_1", task, False)]
