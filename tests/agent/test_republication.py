"""What is asked again after a death names it, keeps its id, and counts as repaired when it is acknowledged."""

import asyncio

import pytest

from agent.errand import JsonObject, Step, StepFailedError
from protocols.message import Cause, Traffic
from tests.agent.asking import OK, PATIENCE_S, REFUSED, VERDICT_S, MakeLab, stage
from tests.agent.lab import FRAGMENTS, QUESTION


async def test_after_a_suspicion_the_same_request_goes_to_another_with_its_cause(make_lab: MakeLab) -> None:
    """Re-published at once: the same message id, the class retry, and the victim's name on it."""
    async with stage(make_lab) as s:
        asked = s.ask()
        first = await s.next_request()
        suspected_at = s.lab.clock.now()
        s.suspect(first.recipient)
        second = await s.next_request()
        assert s.lab.clock.now() - suspected_at < 0.01
        assert second.message_id == first.message_id
        assert second.recipient != first.recipient
        assert second.cause == Cause(victim=first.recipient, request=first.message_id)
        assert second.traffic is Traffic.RETRY
        await s.answer(second, OK)
        assert await asked == OK["output"]
        (repair,) = s.a.events("repair")
        assert repair["cause"] == [first.recipient, first.message_id]
        assert (repair["kind"], repair["peer"], repair["link"]) == ("request", second.recipient, "new")
        assert [line.get("cause") for line in s.requests()] == [None, repair["cause"]]


async def test_a_repair_is_journaled_when_it_is_acknowledged_and_not_before(make_lab: MakeLab) -> None:
    """A re-published request whose receipt never comes is an attempt, no repair; the next one carries the cause on."""
    async with stage(make_lab) as s:
        asked = s.ask(s.step(("agent_2", "agent_3", "agent_4")))
        first = await s.next_request()
        for peer in s.peers:
            s.lab.network.without_receipt[peer, "request"] = None
        s.suspect(first.recipient)
        second = await s.next_request()
        await asyncio.sleep(0.9)
        assert s.a.events("repair") == []
        s.lab.network.without_receipt.clear()
        s.suspect(second.recipient)
        third = await s.next_request()
        assert third.cause == Cause(victim=second.recipient, request=first.message_id)
        await s.answer(third, OK)
        await asked
        assert [event["peer"] for event in s.a.events("repair")] == [third.recipient]


async def test_an_answer_that_overtakes_its_receipt_does_not_hide_the_repair(make_lab: MakeLab) -> None:
    """The receipt of a repair is the evidence of recovery: the step waits for it, even if the result is in."""
    async with stage(make_lab) as s:
        asked = s.ask()
        first = await s.next_request()
        for peer in s.peers:
            s.lab.network.delays_s[peer, "agent_1"] = 0.05
        s.suspect(first.recipient)
        second = await s.next_request()
        s.lab.network.delays_s.clear()
        await s.answer(second, OK)
        assert await asked == OK["output"]
        assert [event["peer"] for event in s.a.events("repair")] == [second.recipient]


async def test_a_late_answer_of_the_first_peer_still_counts(make_lab: MakeLab) -> None:
    """The request keeps its id, so whoever answers it first has answered it; the second answer is dropped."""
    async with stage(make_lab) as s:
        asked = s.ask()
        first = await s.next_request()
        second = await s.next_request()  # the first took longer than anybody waits
        await s.answer(first, OK)
        assert await asked == OK["output"]
        assert (first.message_id, first.cause) == (second.message_id, None)
        await s.answer(second, {"ok": True, "output": {"fragments": ["late"]}})
        assert len(s.requests()) == 2


async def test_a_silent_peer_is_passed_over_without_a_cause(make_lab: MakeLab) -> None:
    """Acknowledged but unanswered for half a deadline, and not suspected: another is asked, and nobody is blamed."""
    async with stage(make_lab) as s:
        asked_at = s.lab.clock.now()
        asked = s.ask()
        first = await s.next_request()
        second = await s.next_request()
        assert s.lab.clock.now() - asked_at == pytest.approx(PATIENCE_S, abs=0.02)
        assert second.recipient != first.recipient
        assert (second.cause, second.traffic) == (None, Traffic.RETRY)
        await s.answer(second, OK)
        await asked
        assert s.a.events("repair") == []


async def test_a_failed_send_without_a_suspicion_goes_elsewhere_without_a_cause(make_lab: MakeLab) -> None:
    """The detector gets its time for a verdict; when it finds the peer alive, the next message names no victim."""
    async with stage(make_lab) as s:
        step = s.step()
        preferred = s.a.roles.order(step.step_id, ["agent_2", "agent_3"], [])[0]
        s.lab.network.rejects[preferred, "request"] = None
        asked_at = s.lab.clock.now()
        asked = s.ask(step)
        request = await s.next_request()
        assert s.lab.clock.now() - asked_at == pytest.approx(VERDICT_S, abs=0.02)
        assert (request.recipient != preferred, request.cause) == (True, None)
        await s.answer(request, OK)
        await asked
        assert s.a.membership.is_alive(preferred)
        assert s.a.events("repair") == []


async def test_a_failed_send_to_a_dead_peer_is_repaired_as_soon_as_it_is_suspected(make_lab: MakeLab) -> None:
    """The failure calls for one confirming probe; when that fails too, the request moves on with its cause."""
    async with stage(make_lab) as s:
        step = s.step()
        preferred = s.a.roles.order(step.step_id, ["agent_2", "agent_3"], [])[0]
        s.lab.network.kill(preferred)
        asked_at = s.lab.clock.now()
        asked = s.ask(step)
        request = await s.next_request()
        assert s.lab.clock.now() - asked_at < 0.05
        assert request.cause == Cause(victim=preferred, request=request.message_id)
        assert [(event["peer"], event["mechanism"]) for event in s.a.events("suspect")] == [(preferred, "request")]
        await s.answer(request, OK)
        await asked


async def test_without_republishing_the_first_failure_is_the_last(make_lab: MakeLab) -> None:
    """``republish: false``: a request whose receiver dies is not sent again."""
    async with stage(make_lab, recovery={"republish": False}) as s:
        asked = s.ask()
        first = await s.next_request()
        s.suspect(first.recipient)
        with pytest.raises(StepFailedError, match="peer_lost"):
            await asked
        assert len(s.requests()) == 1


async def test_the_cause_of_a_task_taken_over_is_on_its_first_message_only(make_lab: MakeLab) -> None:
    """A repair of kind ``task``, journaled once; a later retry of the same step does not claim it again."""
    async with stage(make_lab) as s:
        asked = s.ask(cause=Cause(victim="agent_4", request="q"))
        first = await s.next_request()
        assert first.cause == Cause(victim="agent_4", request="q")
        second = await s.next_request()
        assert second.cause is None
        await s.answer(second, OK)
        await asked
        assert [(event["kind"], event["cause"], event["peer"]) for event in s.a.events("repair")] == [
            ("task", ["agent_4", "q"], first.recipient)
        ]


async def test_only_requests_to_the_victim_are_repaired(make_lab: MakeLab) -> None:
    """A suspicion of somebody else leaves a request alone."""
    async with stage(make_lab) as s:
        asked = s.ask(s.step(("agent_2",)))
        request = await s.next_request()
        s.suspect("agent_4")
        await asyncio.sleep(0.1)
        assert len(s.requests()) == 1
        await s.answer(request, OK)
        assert await asked == OK["output"]


async def test_a_step_done_here_after_all_leaves_a_repair_that_is_no_message(make_lab: MakeLab) -> None:
    """Re-published to the agent itself: journaled with the link ``self``, once."""
    async with stage(make_lab) as s:
        done: list[Step] = []

        async def execute(step: Step, _request_id: str) -> JsonObject:
            done.append(step)
            return OK

        s.a.exchange.execute_locally = execute
        candidates = ["agent_2"]
        asked = s.ask(s.step(candidates))
        first = await s.next_request()
        candidates.append("agent_1")
        s.suspect("agent_2")
        assert await asked == OK["output"]
        cause = Cause(victim="agent_2", request=first.message_id)
        assert [step.cause for step in done] == [cause]
        (repair,) = s.a.events("repair")
        assert repair["cause"] == [cause.victim, cause.request]
        assert (repair["kind"], repair["peer"], repair["link"]) == ("request", "agent_1", "self")
        assert [line.get("cause") for line in s.requests()] == [None, repair["cause"]]


async def test_the_lookups_of_a_search_done_here_carry_its_cause(make_lab: MakeLab) -> None:
    """They are the first messages that repair it: of class retry, until one of them has been acknowledged."""
    async with make_lab(agent_count=8) as lab:
        agents = lab.all_agents()
        lab.store(*agents)
        a = next(
            agent for agent in agents[::4] if not any(agent.worker.shelves.store.holds(f.title) for f in FRAGMENTS)
        )
        cause = Cause(victim="agent_2", request="r-1")
        step = Step("q", "q/search", "search", {"question": QUESTION}, lab.clock.now() + 5, lambda: ["agent_1"], cause)
        assert (await a.worker.execute(step, "r-1"))["ok"] is True
        first, second = lab.network.sent("request", a.settings.node_id)
        assert (first.cause, first.traffic) == (cause, Traffic.RETRY)
        assert (second.cause, second.traffic) == (None, Traffic.TASK)
        (repair,) = a.events("repair")
        assert (repair["cause"], repair["kind"], repair["peer"]) == (["agent_2", "r-1"], "request", first.recipient)


async def test_a_cause_counts_anew_when_its_victim_is_lost_anew(make_lab: MakeLab) -> None:
    """What was repaired after a false suspicion is broken again by the death."""
    async with stage(make_lab) as s:
        cause = Cause(victim="agent_4", request="q")
        for repairs in (1, 1, 2):
            asked = s.ask(cause=cause)
            await s.answer(await s.next_request(), OK)
            await asked
            assert len(s.a.events("repair")) == repairs
            if s.a.exchange._repaired and repairs == 1 and len(s.requests()) == 2:
                s.a.exchange.peer_lost("agent_4")


async def test_a_peer_that_has_answered_is_not_to_blame_when_it_dies_afterwards(make_lab: MakeLab) -> None:
    """Its refusal was an answer; the next attempt repairs nothing."""
    async with stage(make_lab) as s:
        asked = s.ask(s.step(("agent_2", "agent_3"), patience_s=20))
        first = await s.next_request()
        await s.answer(first, REFUSED)
        second = await s.next_request()
        await s.answer(second, REFUSED)
        await asyncio.sleep(0.01)  # both have refused; it waits before it asks again
        s.suspect(second.recipient)
        third = await s.next_request()
        assert third.cause is None
        await s.answer(third, OK)
        await asked
        assert s.a.events("repair") == []
