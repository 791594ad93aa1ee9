"""A step is asked of one peer after the other until somebody answers, and never beyond its time."""

import asyncio

import pytest

from agent.errand import JsonObject, Step, StepFailedError
from protocols.message import Traffic
from tests.agent.asking import OK, REFUSED, REJECTED, UNAVAILABLE, MakeLab, stage


async def test_a_step_is_asked_once_and_its_output_returned(make_lab: MakeLab) -> None:
    """One request of class task, over a new link if none is warm, and no repair."""
    async with stage(make_lab) as s:
        asked = s.ask()
        request = await s.next_request()
        await s.answer(request, OK)
        assert await asked == OK["output"]
        assert (request.traffic, request.cause) == (Traffic.TASK, None)
        step = {"task": "q", "step": "q/search", "tool": "search", "input": {"question": "?"}}
        assert request.body == {**step, "patience_s": 5.0}
        (line,) = s.requests()
        assert (line["req"], line["peer"], line["attempt"], line["link"]) == (
            request.message_id,
            request.recipient,
            1,
            "new",
        )
        assert s.a.events("repair") == []
        assert s.a.exchange._open == {}


@pytest.mark.parametrize("refusal", [REFUSED, {"ok": True}, {}, {"output": 3}])
async def test_a_refusal_or_nonsense_is_taken_elsewhere(make_lab: MakeLab, refusal: JsonObject) -> None:
    """Views may differ for a moment: whoever does not do it is passed over, until all have been."""
    async with stage(make_lab) as s:
        asked = s.ask()
        first = await s.next_request()
        await s.answer(first, refusal)
        second = await s.next_request()
        assert second.recipient != first.recipient
        await s.answer(second, refusal)
        third = await s.next_request()  # after a pause everybody has another chance
        assert {message.message_id for message in (first, second, third)} == {first.message_id}
        await s.answer(third, OK)
        assert await asked == OK["output"]
        assert [line["attempt"] for line in s.requests()] == [1, 2, 3]


async def test_a_rejection_is_final_for_its_peer_and_then_for_the_step(make_lab: MakeLab) -> None:
    """Whoever cannot make sense of a step is not asked again; when nobody can, the step fails there and then."""
    async with stage(make_lab) as s:
        asked = s.ask()
        first = await s.next_request()
        await s.answer(first, REJECTED)
        second = await s.next_request()
        await s.answer(second, REFUSED)
        third = await s.next_request()
        assert first.recipient != second.recipient == third.recipient
        asked_at = s.lab.clock.now()
        await s.answer(third, REJECTED)
        with pytest.raises(StepFailedError, match="rejected"):
            await asked
        assert s.lab.clock.now() - asked_at < 0.01
        assert len(s.requests()) == 3


async def test_a_fragment_out_of_reach_is_waited_for_and_not_asked_for(make_lab: MakeLab) -> None:
    """While this agent knows of no live holder nobody is asked again; once one is back, the step goes on."""
    async with stage(make_lab) as s:
        within_reach: list[str] = []
        s.a.exchange.within_reach = within_reach.__contains__
        asked = s.ask()
        await s.answer(await s.next_request(), UNAVAILABLE)
        await asyncio.sleep(3)
        assert len(s.requests()) == 1
        within_reach.append("Mira Holt")
        back_at = s.lab.clock.now()
        request = await s.next_request()
        assert s.lab.clock.now() - back_at < 0.51
        await s.answer(request, OK)
        assert await asked == OK["output"]


async def test_a_fragment_that_stays_out_of_reach_fails_the_step_in_time(make_lab: MakeLab) -> None:
    """Its patience is the step's own, and nothing is left behind."""
    async with stage(make_lab) as s:
        s.a.exchange.within_reach = lambda _title: False
        asked_at = s.lab.clock.now()
        asked = s.ask()
        await s.answer(await s.next_request(), UNAVAILABLE)
        with pytest.raises(StepFailedError, match="unavailable"):
            await asked
        assert 4.4 < s.lab.clock.now() - asked_at <= 5.0
        assert s.a.exchange._open == {}


async def test_retries_of_the_unavailable_keep_apart_and_within_a_budget(make_lab: MakeLab) -> None:
    """However many steps find out of reach what this agent holds for reachable: ten retries and five a second."""
    async with stage(make_lab) as s:
        s.a.exchange.within_reach = lambda _title: True
        asked = [s.ask(s.step(patience_s=20)) for _ in range(30)]
        first = [await s.next_request() for _ in asked]
        await asyncio.gather(*(s.answer(request, UNAVAILABLE) for request in first))
        for request in [await s.next_request() for _ in range(10)]:
            await s.answer(request, UNAVAILABLE)
        times = [line["t"] for line in s.requests()[30:40]]
        assert 0.003 < max(times) - min(times) < 0.1  # jitter
        await asyncio.sleep(2)
        assert 48 <= len(s.requests()) <= 51  # five a second
        for task in asked:
            task.cancel()
        await asyncio.wait(asked)


async def test_steps_done_well_earn_retries(make_lab: MakeLab) -> None:
    """One for five, so that what is out of reach for a while is asked for again as long as work goes on."""
    async with stage(make_lab) as s:
        budget, now = s.a.exchange.budget, s.lab.clock.now()
        assert [budget.spend(now) for _ in range(11)] == [True] * 10 + [False]
        for number in range(5):
            assert budget.spend(now) is False
            asked = s.ask()
            await s.answer(await s.next_request(), OK)
            assert await asked == OK["output"], number
        assert [budget.spend(now) for _ in range(2)] == [True, False]


async def test_when_nobody_is_left_the_step_fails_in_time(make_lab: MakeLab) -> None:
    """No candidate, no attempt: the step waits for one to appear, and gives up before its time."""
    async with stage(make_lab) as s:
        asked_at = s.lab.clock.now()
        with pytest.raises(StepFailedError, match="nobody_left"):
            await s.ask(s.step(()))
        assert 4.0 < s.lab.clock.now() - asked_at <= 5.0
        assert s.requests() == []


@pytest.mark.parametrize("condition", ["mute", "frozen", "refusing"])
@pytest.mark.parametrize("patience_s", [0.3, 1.2, 2.0])
@pytest.mark.parametrize("mode", ["probe", "common"])
async def test_a_step_never_outlives_its_time(make_lab: MakeLab, condition: str, patience_s: float, mode: str) -> None:
    """Whatever its peers do, and however little the detector says, it is over when nobody wants it any more."""
    async with stage(make_lab, detector={"mode": mode}) as s:
        for peer in s.peers:
            if condition == "frozen":
                s.lab.network.freeze(peer)
            elif condition == "refusing":
                s.lab.network.rejects[peer, "request"] = None
        asked_at = s.lab.clock.now()
        with pytest.raises(StepFailedError) as failure:
            await s.ask(s.step(patience_s=patience_s))
        assert failure.value.reason in ("too_late", "nobody_left")
        assert s.lab.clock.now() - asked_at <= patience_s + 0.01


async def test_a_candidate_that_appears_later_is_asked(make_lab: MakeLab) -> None:
    """Candidates are asked for anew before each attempt."""
    async with stage(make_lab) as s:
        candidates: list[str] = []
        asked = s.ask(s.step(candidates))
        await asyncio.sleep(1)
        candidates.append("agent_4")
        request = await s.next_request()
        assert request.recipient == "agent_4"
        await s.answer(request, OK)
        assert await asked == OK["output"]


async def test_a_step_that_this_agent_can_do_is_done_here(make_lab: MakeLab) -> None:
    """No message, one line in the journal; the agent's own refusal sends it on to another."""
    async with stage(make_lab) as s:
        results = [REFUSED, OK]

        async def execute(_step: Step, _request_id: str) -> JsonObject:
            return results.pop()

        s.a.exchange.execute_locally = execute
        assert await s.ask(s.step(("agent_1", "agent_2"))) == OK["output"]
        assert [(line["peer"], line["link"]) for line in s.requests()] == [("agent_1", "self")]
        assert s.lab.network.sent("request") == []
        asked = s.ask(s.step(("agent_1", "agent_2")))
        request = await s.next_request()
        await s.answer(request, OK)
        await asked
        assert [line["peer"] for line in s.requests()] == ["agent_1", "agent_1", "agent_2"]


async def test_answers_to_nothing_that_was_asked_are_dropped(make_lab: MakeLab) -> None:
    """Late, repeated or made-up results do no harm."""
    async with stage(make_lab) as s:
        asked = s.ask()
        request = await s.next_request()
        await s.answer(request.model_copy(update={"message_id": "made-up"}), REFUSED)
        await s.answer(request, OK)
        await s.answer(request, REFUSED)
        assert await asked == OK["output"]
        await s.answer(request, REFUSED)
        await asyncio.sleep(0.01)
        assert len(s.requests()) == 1
