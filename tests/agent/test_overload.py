"""More work than the mesh can do at once: what is late is waited for and not done twice, so the mesh comes back."""

import asyncio
import math
from itertools import pairwise
from statistics import median

import pytest
from pydantic import JsonValue

from agent.decisions import News
from agent.errand import PATIENCE_IN_DEADLINES, StepFailedError
from agent.patience import Patience
from agent.roundtrip import RoundTrip
from protocols.message import Message
from tests.agent.asking import OK, REFUSED, REJECTED, UNAVAILABLE, Stage, stage
from tests.agent.owning import DEADLINE_S, MakeLab, all_events, running

WORK_MS = 150.0
"""Of a step; two agents for each tool, one step at a time: 13 tasks a second at most."""
RATE_PER_S = 6
ARRIVE_S = 16
BURST, BURST_AT_S = 40, 2.0


async def test_after_a_burst_the_mesh_is_as_quick_as_before(make_lab: MakeLab) -> None:
    """Forty tasks at once are three seconds of work at the least, longer than anybody waits before there were any."""
    steady = {f"q{number}": number / RATE_PER_S for number in range(ARRIVE_S * RATE_PER_S)}
    arrivals_s = dict(sorted((steady | {f"b{n}": BURST_AT_S for n in range(BURST)}).items(), key=lambda at: at[1]))
    async with make_lab(agent_count=8, step_work_ms=WORK_MS, concurrent_steps=1) as lab:
        t0 = lab.clock.now()
        agents = await running(lab, arrivals_s)
        lab.beat(*agents)
        await asyncio.sleep(ARRIVE_S + PATIENCE_IN_DEADLINES * DEADLINE_S)
        taken_s = {event["task"]: event["t"] - t0 - arrivals_s[event["task"]] for event in all_events(agents, "answer")}
        assert set(taken_s) == set(arrivals_s)
        before, after = ([taken_s[f"q{n + first}"] for n in range(10)] for first in (0, len(steady) - 10))
        assert median(after) < 1.5 * median(before)
        started = [event["step"] for event in all_events(agents, "step_start") if event["tool"] != "lookup"]
        assert len(started) < 1.2 * len(set(started))


async def test_what_waited_longer_than_anybody_wants_it_is_not_begun(make_lab: MakeLab) -> None:
    """Only its asker knows for how long it is wanted, and tells; asked again, it is done."""
    async with stage(make_lab, concurrent_steps=1, step_work_ms=300.0) as s:
        worker, asker = s.lab.agent("agent_2"), s.peers["agent_3"]
        body: dict[str, JsonValue] = {"task": "q", "tool": "extract", "input": {"question": "?", "fragments": []}}
        first, second = (
            s.lab.message("agent_3", "agent_2", "request", {**body, "step": step, "patience_s": 0.1}) for step in "ab"
        )
        for message in (first, second):
            worker.adapter.inbox.put_nowait(message)
        await asyncio.sleep(1)
        assert [event["step"] for event in worker.events("step_start")] == ["a"]
        results = {(m := asker.inbox.get_nowait()).in_reply_to: m.body for _ in range(asker.inbox.qsize())}
        assert results[second.message_id] == {"ok": False, "error": "late"}
        worker.adapter.inbox.put_nowait(second)
        await asyncio.sleep(1)
        assert [event["step"] for event in worker.events("step_start")] == ["a", "b"]


@pytest.mark.parametrize(
    ("told", "taken_s"),
    [(0.5, 0.5), (0, 0.0), (-3, 0.0), (1e9, 6.0), (None, 2.0), ("1", 2.0), ([], 2.0), (math.inf, 2.0), (math.nan, 2.0)],
)
async def test_patience_is_what_the_asker_says_within_reason(
    make_lab: MakeLab, told: JsonValue, taken_s: float
) -> None:
    """At most three deadlines; whatever makes no sense counts as one."""
    async with stage(make_lab) as s:
        assert s.a.worker._give_up_at(told) - s.lab.clock.now() == pytest.approx(taken_s)


async def test_more_time_does_not_make_it_another_request(make_lab: MakeLab) -> None:
    """Whoever works on it goes on, and its late answer counts; asked again, it is told how long it is wanted now."""
    async with stage(make_lab) as s:
        calls: list[float] = []

        async def prolong() -> float:
            calls.append(s.lab.clock.now())
            return s.lab.clock.now() + 2.0

        began = s.lab.clock.now()
        asked = asyncio.ensure_future(s.a.exchange.ask(s.step(("agent_2",), patience_s=1.4), prolong=prolong))
        first = await s.next_request()
        await asyncio.sleep(4)
        await s.answer(first, OK)
        assert await asked == OK["output"]
        # A pause that would end too late is not begun.
        assert [at - began for at in calls] == pytest.approx([1.4, 3.4], abs=0.5)
        sent = s.lab.network.sent("request")
        assert len(sent) > 1
        assert {message.message_id for message in sent} == {first.message_id}
        told = [message.body["patience_s"] for message in sent]
        assert told[0] == 1.4
        assert all(isinstance(patience_s, float) and 0 < patience_s <= 2.0 for patience_s in told)


@pytest.mark.parametrize(
    ("answer", "reason", "prolonged"),
    [
        (UNAVAILABLE, "unavailable", 1),
        (REFUSED, "nobody_left", 1),
        (None, "too_late|nobody_left", 1),
        (REFUSED, "no_budget", 1),
        (REJECTED, "rejected", 0),
    ],
)
async def test_more_time_is_asked_for_where_it_may_help(
    make_lab: MakeLab, answer: dict[str, JsonValue] | None, reason: str, prolonged: int
) -> None:
    """What makes no sense to anybody never will; of the rest whoever wants it says whether it is still wanted."""
    async with stage(make_lab) as s:
        calls: list[float] = []

        async def prolong() -> None:
            calls.append(s.lab.clock.now())

        if reason == "no_budget":
            s.a.exchange.budget.spend = lambda now: False  # type: ignore[method-assign]  # noqa: ARG005
        s.a.exchange.within_reach = lambda _title: False
        asked = asyncio.ensure_future(s.a.exchange.ask(s.step(("agent_2",), patience_s=1.5), prolong=prolong))
        request = await s.next_request()
        if answer is not None:
            s.lab.spawn(answer_all(s, request, answer))
        with pytest.raises(StepFailedError, match=reason):
            await asked
        assert len(calls) == prolonged


async def answer_all(s: Stage, request: Message, answer: dict[str, JsonValue]) -> None:
    """Answer this request and all that follow alike."""
    while True:
        await s.answer(request, answer)
        request = await s.next_request()


def test_patience_follows_what_answers_take_and_comes_back() -> None:
    """Never below its least; of ever slower answers each counts for at most twice what is waited for."""
    patience = Patience(1.0)
    assert patience.attempt_s("search") == 1.0
    for _ in range(50):
        patience.answered("search", 0.02)
    assert patience.attempt_s("search") == 1.0
    patience.answered("search", 60.0)
    assert 1.0 < patience.attempt_s("search") < 3.0
    for _ in range(50):
        patience.answered("search", 4.0)
    assert 4.0 <= patience.attempt_s("search") < 6.0
    assert patience.attempt_s("triple") == 1.0
    for _ in range(30):
        patience.answered("search", 0.02)
    assert patience.attempt_s("search") == 1.0


def test_who_waits_in_vain_waits_twice_as_long_next_time() -> None:
    """Each attempt that was delivered and not answered doubles it, for this request only."""
    patience = Patience(1.5)
    assert [patience.attempt_s("search", timeouts) for timeouts in range(4)] == [1.5, 3.0, 6.0, 12.0]
    assert patience.attempt_s("search") == 1.5


async def test_attempts_without_an_answer_lie_twice_as_far_apart_each_time(make_lab: MakeLab) -> None:
    """With nobody else to ask it is asked again, ever more rarely."""
    async with stage(make_lab) as s:
        asked = s.ask(s.step(("agent_2", "agent_3"), patience_s=8))
        at_s = [(await s.next_request(), s.lab.clock.now())[1] for _ in range(3)]
        assert [later - sooner for sooner, later in pairwise(at_s)] == pytest.approx([1.0, 2.0], abs=0.1)
        asked.cancel()
        await asyncio.wait([asked])


async def test_a_late_answer_teaches_to_wait_longer(make_lab: MakeLab) -> None:
    """It was asked of another after a second; the next request waits for as long as the late answer took."""
    async with stage(make_lab) as s:
        for _ in range(8):
            asked = s.ask(s.step(("agent_2", "agent_3"), patience_s=20))
            first = await s.next_request()
            await asyncio.sleep(1.8)
            await s.answer(first, OK)
            await asked
            await asyncio.sleep(2)  # its repetition has arrived somewhere by now
            for peer in s.peers.values():
                while not peer.inbox.empty():
                    peer.inbox.get_nowait()
        assert [line["attempt"] for line in s.requests()][-3:] == [1, 1, 1]
        assert max(line["attempt"] for line in s.requests()) == 2


async def test_what_was_refused_says_nothing_about_what_it_takes(make_lab: MakeLab) -> None:
    """However late the refusals come."""
    async with stage(make_lab) as s:
        for _ in range(5):
            asked = s.ask(s.step(("agent_2",)))
            request = await s.next_request()
            await asyncio.sleep(0.9)
            await s.answer(request, REJECTED)
            with pytest.raises(StepFailedError, match="rejected"):
                await asked
        assert s.a.exchange._patience.attempt_s("search") == 1.0


def test_the_first_answer_bounds_the_next_at_three_times_its_own() -> None:
    """RFC 6298, section 2.2: the mean is the first time, the deviation half of it."""
    answers = RoundTrip()
    assert answers.bound_s == 0.0
    answers.took(0.2)
    assert answers.bound_s == pytest.approx(0.6)


@pytest.mark.parametrize("failure", ["dies", "rejects"])
async def test_an_attempt_that_failed_was_not_waited_for_in_vain(make_lab: MakeLab, failure: str) -> None:
    """Whoever is asked after it is waited for as long as the first would have been."""
    async with stage(make_lab) as s:
        candidates = ("agent_2", "agent_3", "agent_4")
        preferred = s.a.roles.order("q/search", candidates, [])[0]
        if failure == "rejects":
            s.lab.network.rejects[preferred, "request"] = None
        asked = s.ask(s.step(candidates, patience_s=8))
        second = await s.next_request()
        if failure == "dies":
            await asyncio.sleep(0.1)  # its receipt has come
            s.suspect(preferred)
            second = await s.next_request()
        second_at = s.lab.clock.now()
        third = await s.next_request()
        assert len({preferred, second.recipient, third.recipient}) == 3
        assert s.lab.clock.now() - second_at == pytest.approx(1.0, abs=0.1)
        asked.cancel()
        await asyncio.wait([asked])


async def test_a_step_is_wanted_longer_while_somebody_is_away_or_has_just_come_back(make_lab: MakeLab) -> None:
    """Who comes back finds the others within a beat each, and then has a deadline; who is dead never comes back."""
    async with make_lab(agent_count=4) as lab:
        a, b, *_ = await lab.alive()
        assert await a.owner._prolong() is None
        a.owner.returned("agent_2")
        assert await a.owner._prolong() == lab.clock.now() + DEADLINE_S
        await asyncio.sleep(4 * 1.0 + DEADLINE_S + 0.1)
        assert await a.owner._prolong() is None
        a.hear(News("agent_2", 0, alive=False))
        lab.network.freeze("agent_2")
        assert await a.owner._prolong() == lab.clock.now() + DEADLINE_S
        lab.kill(b)
        await asyncio.sleep(4 * 1.0 + 2 * 0.5 + 1)  # until nobody can have missed this agent any more
        assert await a.owner._prolong() is None


async def test_who_was_slow_itself_gives_its_tasks_more_time(make_lab: MakeLab) -> None:
    """A standstill of its own is nobody else's fault: what it has asked for is wanted as long as that may show."""
    async with make_lab(agent_count=4) as lab:
        a, *_ = await lab.alive()
        assert await a.owner._prolong() is None
        a.node._lag._recent.append((lab.clock.now(), 0.3))
        assert await a.owner._prolong() == lab.clock.now() + DEADLINE_S
        a.node._lag._recent.clear()
        await asyncio.sleep(4 * 1.0 + 2 * 0.5 + 0.1)
        assert await a.owner._prolong() is None
