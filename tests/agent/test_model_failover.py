"""A step whose model fails goes to each other agent with that tool once; then its task fails, and says why."""

from collections.abc import Callable

import pytest

from agent.errand import JsonObject, StepFailedError
from agent.models.contract import ModelFailedError
from agent.models.reasoner import Reasoner
from agent.settings import ModelSettings
from agent.tools.contract import Triple
from tests.agent.asking import OK, MakeLab, stage
from tests.agent.lab import QUESTION, Lab
from tests.agent.test_reasoner import Scripted

FAILED: JsonObject = {"ok": False, "error": "model", "detail": "timeout"}
ASKER = "agent_1"
WORKER = "agent_4"
"""The dealer gives it ``reason``."""
Make = Callable[..., Lab]


async def test_a_step_whose_model_fails_goes_to_another_peer(make_lab: MakeLab) -> None:
    """Under the same name, to the other one that can do it."""
    async with stage(make_lab) as play:
        asked = play.ask()
        first = await play.next_request()
        await play.answer(first, FAILED)
        second = await play.next_request()
        assert {first.recipient, second.recipient} == {"agent_2", "agent_3"}
        assert first.message_id == second.message_id
        await play.answer(second, OK)
        assert await asked == OK["output"]


async def test_when_every_model_fails_the_step_fails_and_nobody_is_asked_twice(make_lab: MakeLab) -> None:
    """The endpoint is not hammered until the patience ends: two agents, two requests."""
    async with stage(make_lab) as play:
        asked = play.ask()
        for _ in range(2):
            await play.answer(await play.next_request(), FAILED)
        with pytest.raises(StepFailedError) as caught:
            await asked
        assert caught.value.reason == "model"
        assert len(play.requests()) == 2


@pytest.mark.parametrize(("fallback", "ok"), [("local", True), ("peer", False)])
async def test_a_worker_answers_by_the_rules_or_says_that_its_model_failed(
    make_lab: Make, fallback: str, *, ok: bool
) -> None:
    """As configured; a failure is not remembered, so that the step may come back."""
    async with make_lab() as lab:
        lab.adapter(ASKER)
        worker = lab.agent(WORKER)
        settings = ModelSettings.model_validate({"type": "openai", "fallback": fallback})
        failing = Scripted(ModelFailedError("rate_limited", ""))
        worker.worker._reasoner = Reasoner(settings, failing, lab.clock, worker.node._journal, lambda _: None)
        fact = Triple(subject="Aurora Bridge", relation="designer", object="Mira Holt", fragment_id="f-1")
        payload: JsonObject = {"question": QUESTION, "triples": [fact.model_dump()]}
        body: JsonObject = {"task": "q", "step": "q/reason", "tool": "reason", "input": payload}
        message = lab.message(ASKER, WORKER, "request", body)
        worker.adapter.inbox.put_nowait(message)
        await lab.clock.sleep(1)
        (reply,) = lab.network.sent("result", WORKER)
        assert reply.body["ok"] is ok
        assert reply.body.get("error") == (None if ok else "model")
        (call,) = worker.events("model_call")
        assert (call["outcome"], call["fallback"]) == ("rate_limited", ok)
        assert (message.message_id in worker.worker._results) is ok
