"""A worker does each request once, only with a tool it has, a bounded number at a time, and answers until heard."""

import asyncio
import random
from collections.abc import Callable

import pytest
from pydantic import JsonValue

from agent.decisions import News
from agent.errand import Step
from agent.fragments import FragmentUnavailableError
from protocols.message import Message
from tests.agent.lab import FRAGMENTS, QUESTION, Lab
from tests.agent.specimen import Agent

MakeLab = Callable[..., Lab]
ASKER = "agent_1"
WORKER = "agent_2"
"""The dealer gives it ``extract``."""
EXTRACT: dict[str, JsonValue] = {"question": QUESTION, "fragments": []}


def request(lab: Lab, tool: str, payload: JsonValue, name: str = "q", worker: str = WORKER) -> Message:
    """A request for a step of its own name."""
    body: dict[str, JsonValue] = {"task": name, "step": f"{name}/{tool}", "tool": tool, "input": payload}
    return lab.message(ASKER, worker, "request", body)


async def results(lab: Lab, wait_s: float = 1.0) -> list[dict[str, JsonValue]]:
    """What the asker has been answered until then."""
    await asyncio.sleep(wait_s)
    inbox = lab.network.adapters[ASKER].inbox
    messages = [inbox.get_nowait() for _ in range(inbox.qsize())]
    return [message.body for message in messages if message.kind == "result"]


def stage(lab: Lab, worker: str = WORKER) -> Agent:
    """The worker under test, and an asker that the test plays."""
    lab.adapter(ASKER)
    return lab.agent(worker)


async def test_a_repeated_request_is_done_once_and_answered_again(make_lab: MakeLab) -> None:
    """While it is under way a repetition adds nothing; afterwards it gets the same result, without a second start."""
    async with make_lab() as lab:
        a = stage(lab)
        message = request(lab, "extract", EXTRACT)
        for _ in range(3):
            a.adapter.inbox.put_nowait(message)
        assert await results(lab) == [{"ok": True, "output": {"sentences": []}}]
        a.adapter.inbox.put_nowait(message)
        assert await results(lab) == [{"ok": True, "output": {"sentences": []}}]
        assert [event["ev"] for event in a.events("step_start", "step_done")] == ["step_start", "step_done"]
        replies = lab.network.sent("result", WORKER)
        assert {reply.in_reply_to for reply in replies} == {message.message_id}


async def test_a_tool_it_does_not_have_is_refused_and_may_be_asked_again(make_lab: MakeLab) -> None:
    """No start is journaled; when the agent has adopted the tool by then, the same request is done."""
    async with make_lab() as lab:
        a = stage(lab)
        lost = News("agent_3", 0, alive=False), News("agent_4", 0, alive=False)
        messages = [request(lab, tool, {"question": QUESTION}) for tool in ("triple", "reason")]
        for message in messages:
            a.adapter.inbox.put_nowait(message)
        assert await results(lab) == [{"ok": False, "error": "refused"}] * 2
        assert a.events("step_start") == []
        a.hear(*lost)
        adopted = [event["tool"] for event in a.events("adopt")]
        assert adopted
        for message in messages:
            a.adapter.inbox.put_nowait(message)
        await asyncio.sleep(1)
        assert [event["tool"] for event in a.events("step_start")] == adopted


@pytest.mark.parametrize(
    "body",
    [{}, {"task": "q"}, {"task": 1, "step": 2, "tool": 3, "input": 4}, {"task": "q", "step": "s", "tool": "extract"}],
)
async def test_a_request_without_its_parts_is_rejected(make_lab: MakeLab, body: dict[str, JsonValue]) -> None:
    """Nonsense gets an answer that says what was expected, and starts nothing."""
    async with make_lab() as lab:
        a = stage(lab)
        a.adapter.inbox.put_nowait(lab.message(ASKER, WORKER, "request", body))
        (result,) = await results(lab)
        assert (result["ok"], result["error"]) == (False, "rejected")
        assert a.events("step_start") == []


async def test_a_payload_that_is_not_the_tools_is_rejected(make_lab: MakeLab) -> None:
    """The step was started and ended badly, and says why."""
    async with make_lab() as lab:
        a = stage(lab)
        a.adapter.inbox.put_nowait(request(lab, "extract", {"question": 7}))
        (result,) = await results(lab)
        assert (result["ok"], result["error"]) == (False, "rejected")
        assert "expected ExtractInput" in str(result["detail"])
        assert [event["ok"] for event in a.events("step_done")] == [False]


async def test_no_more_steps_run_at_once_than_there_are_slots(make_lab: MakeLab) -> None:
    """Seven steps on three slots: three start at once, each of the others when one ends; lookups need no slot."""
    async with make_lab(concurrent_steps=3, step_work_ms=100) as lab:
        a = stage(lab)
        lab.store(a)
        began = lab.clock.now()
        for number in range(7):
            a.adapter.inbox.put_nowait(request(lab, "extract", EXTRACT, f"q{number}"))
        held = next(title for title in map(str, range(100)) if a.worker.shelves.store.holds(title))
        a.adapter.inbox.put_nowait(request(lab, "lookup", {"title": held}, "q9"))
        await asyncio.sleep(1)
        running = most = 0
        for event in a.events("step_start", "step_done"):
            if event["step"].endswith("/extract"):
                running += 1 if event["ev"] == "step_start" else -1
                most = max(most, running)
        assert (most, running) == (3, 0)
        starts = [event["t"] - began for event in a.events("step_start") if event["tool"] == "extract"]
        assert len(starts) == 7
        assert [start < 0.01 for start in starts] == [True] * 3 + [False] * 4
        lookup = next(event["t"] - began for event in a.events("step_start") if event["tool"] == "lookup")
        assert lookup < 0.01


async def test_a_search_that_waits_for_its_lookups_holds_no_slot(make_lab: MakeLab) -> None:
    """Every holder is frozen: searches that wait for them leave the worker free for others."""
    async with make_lab(agent_count=8, concurrent_steps=2, detector={"mode": "probe"}) as lab:
        for name in lab.names[1:]:
            lab.adapter(name)
        a = lab.agent("agent_5")
        lab.store(a)
        assert not a.worker.shelves.store.holds(FRAGMENTS[0].title)
        for name in lab.names[1:4] + lab.names[5:]:
            lab.network.freeze(name)
        lab.adapter(ASKER)
        for number in range(4):
            a.adapter.inbox.put_nowait(request(lab, "search", {"question": QUESTION}, f"q{number}", "agent_5"))
        await asyncio.sleep(0.1)
        assert len(a.events("step_start")) == 4
        a.adapter.inbox.put_nowait(request(lab, "search", {"question": "?"}, "q4", "agent_5"))
        assert await results(lab, 0.1) == [{"ok": True, "output": {"fragments": []}}]


async def test_an_unavailable_step_is_tried_afresh_when_it_is_asked_for_again(make_lab: MakeLab) -> None:
    """What was out of reach may be back: the answer is not remembered."""
    async with make_lab(agent_count=8) as lab:
        a = stage(lab, "agent_5")
        message = request(lab, "search", {"question": QUESTION}, worker="agent_5")
        for starts in (1, 2):
            a.adapter.inbox.put_nowait(message)
            (result,) = await results(lab)
            assert (result["error"], result["title"]) == ("unavailable", "Aurora Bridge")
            assert len(a.events("step_start")) == starts


async def test_the_service_time_is_the_declared_one_with_a_seeded_jitter(make_lab: MakeLab) -> None:
    """Within ten percent of ``step_work_ms``, different from step to step, and the same for the same seed."""
    async with make_lab(step_work_ms=200) as lab:
        a, b = lab.agent("agent_1"), lab.agent("agent_3")
        times_s = [a.worker._service_time_s(f"q{number}/search") for number in range(200)]
        assert all(0.18 <= time_s <= 0.22 for time_s in times_s)
        assert max(times_s) - min(times_s) > 0.03
        random.seed(12345)
        assert times_s == [b.worker._service_time_s(f"q{number}/search") for number in range(200)]


async def test_a_step_takes_its_service_time(make_lab: MakeLab) -> None:
    """From start to end as long as declared, on the injected clock."""
    async with make_lab(step_work_ms=200) as lab:
        a = stage(lab)
        a.adapter.inbox.put_nowait(request(lab, "extract", EXTRACT))
        await asyncio.sleep(1)
        start, done = a.events("step_start", "step_done")
        assert done["t"] - start["t"] == pytest.approx(a.worker._service_time_s("q/extract"), abs=1e-5)


async def test_an_answer_that_fails_is_sent_again_until_the_asker_is_held_for_dead(make_lab: MakeLab) -> None:
    """A living asker gets its result after a while; to a dead one nobody goes on talking."""
    async with make_lab() as lab:
        a = stage(lab)
        lab.network.rejects[ASKER, "result"] = None
        a.adapter.inbox.put_nowait(request(lab, "extract", EXTRACT, "q1"))
        await asyncio.sleep(0.2)
        assert len(lab.network.sent("result")) == 2
        lab.network.rejects.clear()
        assert len(await results(lab)) == 1
        assert len({message.message_id for message in lab.network.sent("result")}) == 1
        lab.network.calls.clear()
        a.adapter.inbox.put_nowait(request(lab, "extract", EXTRACT, "q2"))
        await asyncio.sleep(0.01)
        lab.network.kill(ASKER)
        await asyncio.sleep(5)
        # Before the first failure was confirmed, and once more to learn that it was.
        assert len(lab.network.of("connect", WORKER, ASKER)) <= 2


async def test_results_are_remembered_for_a_bounded_number_of_requests(
    make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest are forgotten first; asked for again they are done again."""
    monkeypatch.setattr("agent.worker._REMEMBERED_RESULTS", 2)
    async with make_lab() as lab:
        a = stage(lab)
        messages = [request(lab, "extract", EXTRACT, f"q{number}") for number in range(3)]
        for message in messages:
            a.adapter.inbox.put_nowait(message)
        await asyncio.sleep(1)
        assert len(a.worker._results) == 2
        for message in messages:
            a.adapter.inbox.put_nowait(message)
            await asyncio.sleep(1)
        assert [event["task"] for event in a.events("step_start")][:4] == ["q0", "q1", "q2", "q0"]


def for_step(lab: Lab, patience_s: float = 1.0) -> Step:
    """The step that a lookup is for."""
    return Step("q", "q/search", "search", {}, lab.clock.now() + patience_s, tuple)


async def test_a_fragment_is_fetched_from_a_live_holder_or_read_at_home(make_lab: MakeLab) -> None:
    """Own shards cost no message; others are asked of whoever holds them, also when one holder is dead."""
    async with make_lab(agent_count=6) as lab:
        agents = lab.all_agents()
        lab.store(*agents)
        fragment = FRAGMENTS[0]
        holders = [agent for agent in agents if agent.worker.shelves.store.holds(fragment.title)]
        asker = next(agent for agent in agents if agent not in holders)
        assert await holders[0].worker.shelves.fetch(fragment.title, for_step(lab)) == fragment
        assert lab.network.sent("request") == []
        lab.kill(holders[0])
        assert await asker.worker.shelves.fetch(fragment.title, for_step(lab)) == fragment


async def test_a_title_nobody_knows_is_an_answer(make_lab: MakeLab) -> None:
    """The holder of its shard has the last word: there is no such entity."""
    async with make_lab(agent_count=6) as lab:
        agents = lab.all_agents()
        lab.store(*agents)
        assert await agents[0].worker.shelves.fetch("No Such Thing", for_step(lab)) is None


async def test_a_fragment_without_a_live_holder_is_unavailable_at_once(make_lab: MakeLab) -> None:
    """Nobody waits for the dead: with all holders suspected the lookup fails immediately."""
    async with make_lab(agent_count=6) as lab:
        agents = lab.all_agents()
        lab.store(*agents)
        title = FRAGMENTS[0].title
        asker = next(agent for agent in agents if not agent.worker.shelves.store.holds(title))
        for agent in agents:
            if agent.worker.shelves.store.holds(title):
                lab.kill(agent)
                asker.heartbeat.doubt(agent.settings.node_id, "request")
        await asyncio.sleep(0.1)
        before = lab.clock.now()
        with pytest.raises(FragmentUnavailableError):
            await asker.worker.shelves.fetch(title, for_step(lab))
        assert lab.clock.now() == before


@pytest.mark.parametrize(("patience_s", "ends_s"), [(1.0, 1.0), (6.0, 2.0)])
async def test_holders_that_cannot_be_reached_in_time_make_a_fragment_unavailable(
    make_lab: MakeLab, patience_s: float, ends_s: float
) -> None:
    """Frozen, not yet suspected: the lookup ends when its step does, or after a deadline if that is sooner."""
    async with make_lab(agent_count=6, detector={"mode": "probe"}) as lab:
        agents = lab.all_agents()
        lab.store(*agents)
        title = FRAGMENTS[0].title
        asker = next(agent for agent in agents if not agent.worker.shelves.store.holds(title))
        for agent in agents:
            if agent.worker.shelves.store.holds(title):
                lab.network.freeze(agent.settings.node_id)
        before = lab.clock.now()
        with pytest.raises(FragmentUnavailableError):
            await asker.worker.shelves.fetch(title, for_step(lab, patience_s))
        assert ends_s - 0.5 < lab.clock.now() - before <= ends_s + 0.01


async def test_a_lookup_before_the_broadcast_is_unavailable(make_lab: MakeLab) -> None:
    """An agent that knows no placement yet says so; it does not break."""
    async with make_lab(agent_count=5) as lab:
        a = stage(lab, "agent_5")  # the dealer begins anew
        a.adapter.inbox.put_nowait(request(lab, "search", {"question": QUESTION}, worker="agent_5"))
        assert await results(lab) == [{"ok": False, "error": "unavailable", "title": "Aurora Bridge"}]


@pytest.mark.parametrize("title", ["elsewhere", 7, None])
async def test_a_lookup_of_a_shard_it_does_not_hold_is_refused(make_lab: MakeLab, title: JsonValue) -> None:
    """Only the holder may say that there is no such fragment; nonsense is refused alike."""
    async with make_lab(agent_count=6) as lab:
        a = stage(lab)
        lab.store(a)
        foreign = next(name for name in map(str, range(100)) if not a.worker.shelves.store.holds(name))
        a.adapter.inbox.put_nowait(request(lab, "lookup", {"title": foreign if title == "elsewhere" else title}))
        assert await results(lab) == [{"ok": False, "error": "refused"}]
        assert a.events("step_start") == []
