"""A step is asked of one peer after the other until somebody answers, and every repair names the death behind it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from agent.exchange import JsonObject, Step, StepFailedError
from agent.membership import News
from protocols.message import Cause, Message, Traffic
from tests.agent.lab import Agent, Lab
from tests.agent.memory_net import MemoryAdapter

MakeLab = Callable[..., Lab]
OK: JsonObject = {"ok": True, "output": {"fragments": []}}
REFUSED: JsonObject = {"ok": False, "error": "refused"}
PATIENCE_S = 1.0
"""How long an acknowledged request may stay unanswered, with a deadline of 2 s."""
VERDICT_S = 0.6
"""How long a failed one waits for the detector's verdict: the probe's timeout and a little."""


class Stage:
    """``agent_1`` asks, ``agent_2`` … are played by the test."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.a: Agent = lab.agent("agent_1")
        self.peers: dict[str, MemoryAdapter] = {name: lab.adapter(name) for name in lab.names[1:]}

    def step(self, candidates: Sequence[str] = ("agent_2", "agent_3"), patience_s: float = 5.0) -> Step:
        """A step for those of the candidates that live."""
        return Step(
            task_id="q",
            step_id="q/search",
            tool="search",
            input={"question": "?"},
            give_up_at=self.lab.clock.now() + patience_s,
            candidates=lambda: [name for name in candidates if name in self.a.roles.alive()],
        )

    def ask(self, step: Step | None = None, cause: Cause | None = None) -> "asyncio.Task[JsonObject]":
        """Begin to have it done."""
        return asyncio.ensure_future(self.a.exchange.ask(step or self.step(), cause))

    async def next_request(self) -> Message:
        """The request that reaches any peer next."""
        for _ in range(10_000):
            for peer in self.peers.values():
                while not peer.inbox.empty():
                    message = peer.inbox.get_nowait()
                    if message.kind == "request":
                        return message
            await asyncio.sleep(0.0005)
        pytest.fail("expected a request within 5 s, there was none")

    async def answer(self, request: Message, result: JsonObject) -> None:
        """Let the peer that got the request answer it."""
        reply = self.lab.message(request.recipient, "agent_1", "result", result)
        await self.peers[request.recipient].send_message(
            "agent_1", reply.model_copy(update={"in_reply_to": request.message_id})
        )

    def suspect(self, victim: str) -> None:
        """Kill it, and let the asker know."""
        self.lab.network.kill(victim)
        self.a.heartbeat._carry_out(self.a.membership.told([News(victim, 0, alive=False)]))

    def requests(self) -> list[dict[str, Any]]:
        """The asker's journal of attempts."""
        return self.a.events("request")


@asynccontextmanager
async def stage(make_lab: MakeLab, **wishes: Any) -> AsyncIterator[Stage]:
    """A lab without reconnects, so that every message is about the request."""
    recovery = {"reconnect": False, **wishes.pop("recovery", {})}
    async with make_lab(recovery=recovery, **wishes) as lab:
        yield Stage(lab)


async def test_a_step_is_asked_once_and_its_output_returned(make_lab: MakeLab) -> None:
    """One request of class task, over a new link if none is warm, and no repair."""
    async with stage(make_lab) as s:
        asked = s.ask()
        request = await s.next_request()
        await s.answer(request, OK)
        assert await asked == OK["output"]
        assert (request.traffic, request.cause) == (Traffic.TASK, None)
        assert request.body == {"task": "q", "step": "q/search", "tool": "search", "input": {"question": "?"}}
        (line,) = s.requests()
        assert (line["req"], line["peer"], line["attempt"], line["link"]) == (
            request.message_id,
            request.recipient,
            1,
            "new",
        )
        assert s.a.events("repair") == []
        assert s.a.exchange._open == {}


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


@pytest.mark.parametrize("refusal", [REFUSED, {"ok": False, "error": "rejected"}, {"ok": True}, {}, {"output": 3}])
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


async def test_a_fragment_out_of_reach_fails_the_step_at_once(make_lab: MakeLab) -> None:
    """``unavailable`` is an answer: another peer could not reach the fragment either."""
    async with stage(make_lab) as s:
        asked = s.ask()
        await s.answer(await s.next_request(), {"ok": False, "error": "unavailable"})
        with pytest.raises(StepFailedError, match="unavailable"):
            await asked
        assert s.a.exchange._open == {}


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
