"""A stage for the exchange: one agent asks, its peers are played by the test."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from agent.decisions import News
from agent.errand import JsonObject, Step
from protocols.message import Cause, Message
from tests.agent.lab import Lab
from tests.agent.memory_net import MemoryAdapter
from tests.agent.specimen import Agent

MakeLab = Callable[..., Lab]
OK: JsonObject = {"ok": True, "output": {"fragments": []}}
REFUSED: JsonObject = {"ok": False, "error": "refused"}
REJECTED: JsonObject = {"ok": False, "error": "rejected"}
UNAVAILABLE: JsonObject = {"ok": False, "error": "unavailable", "title": "Mira Holt"}
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
        self.a.hear(News(victim, 0, alive=False))

    def requests(self) -> list[dict[str, Any]]:
        """The asker's journal of attempts."""
        return self.a.events("request")


@asynccontextmanager
async def stage(make_lab: MakeLab, **wishes: Any) -> AsyncIterator[Stage]:
    """A lab without reconnects, so that every message is about the request."""
    recovery = {"reconnect": False, **wishes.pop("recovery", {})}
    async with make_lab(recovery=recovery, **wishes) as lab:
        yield Stage(lab)
