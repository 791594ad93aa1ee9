"""The orchestrator's side of chaos over HTTP, and chaos's side of an agent's admin port."""

import asyncio
from typing import Any

import httpx
import pytest
import requests
from pydantic import JsonValue

from chaos import __main__ as program
from chaos.lives import AdminPorts
from chaos.messages import AgentState
from chaos.remote import RemoteChaos
from chaos.schedule import Order
from protocols.clock import MonotonicClock
from protocols.errors import FaultError, LabError

from .serving import TOKEN, URL, Service, ask


def test_the_remote_side_records_what_chaos_recorded() -> None:
    """``act`` sends the order now and records the events with chaos's own times; a heal comes back as well."""
    journal: list[tuple[str, JsonValue, bool]] = []

    def record(ev: str, *, at: float | None = None, **fields: JsonValue) -> None:
        journal.append((ev, fields["victim"], at is not None))

    async def talk(chaos: Service) -> None:
        remote = chaos.remote(record)
        await remote.wait_ready(1)
        await remote.act(Order(60, "kill", "inject", ("agent_2",)))
        assert (await remote.agents())["agent_2"] == AgentState(running=False, exit_code=137)
        await remote.act(Order(75, "kill", "heal", ("agent_2",)))
        assert (await remote.agents())["agent_2"] == AgentState(running=True, exit_code=None)

    ask(talk)
    events = ["kill_call", "death", "heal_call", "heal_done"]
    assert journal == [(ev, "agent_2", True) for ev in events]


def test_refusals_and_failures_reach_the_orchestrator_as_errors() -> None:
    """409 is a refused fault; a wrong token and an engine that is gone are the lab's own failures."""

    async def talk(chaos: Service) -> None:
        kill_all = Order(0, "kill", "inject", ("agent_1", "agent_2", "agent_3", "agent_4"))
        with pytest.raises(FaultError, match="order for all 4"):
            await chaos.remote(None).act(kill_all)
        with pytest.raises(LabError, match=r"401: expected the token of run"):
            await chaos.remote(None, "wrong").wait_ready(1)
        chaos.engine.broken = requests.ConnectionError("gone")
        with pytest.raises(LabError, match="503: expected the Docker engine to list"):
            await chaos.remote(None).act(Order(0, "kill", "inject", ("agent_1",)))
        with pytest.raises(LabError, match="503"):
            await chaos.remote(None).agents()

    ask(talk)


@pytest.mark.parametrize("answer", [httpx.Response(200, text="hello"), httpx.Response(502, text="<html>")])
def test_an_answer_that_is_not_chaos_is_the_labs_failure(answer: httpx.Response) -> None:
    """Somebody else at the address is told as such."""

    async def talk() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: answer)) as http:
            await RemoteChaos(http, URL, TOKEN, lambda *_, **__: None, MonotonicClock()).agents()

    with pytest.raises(LabError, match="expected chaos"):
        asyncio.run(talk())


def test_a_chaos_that_never_comes_up_is_one_clear_line() -> None:
    """Readiness has a bound, and so has a lost connection in the middle."""

    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    async def talk() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(refuse)) as http:
            remote = RemoteChaos(http, URL, TOKEN, lambda *_, **__: None, MonotonicClock())
            with pytest.raises(LabError, match="ConnectError"):
                await remote.agents()
            await remote.wait_ready(0.01)

    with pytest.raises(LabError, match="expected chaos to serve"):
        asyncio.run(talk())


@pytest.mark.parametrize(
    ("status", "body", "incarnation"),
    [
        (200, {"node_id": "agent_3", "incarnation": 1000, "links": []}, 1000),
        (200, {"node_id": "agent_4", "incarnation": 1000}, None),
        (404, {"detail": "Not Found"}, None),
    ],
)
def test_an_admin_port_must_be_the_agents_own(status: int, body: dict[str, Any], incarnation: int | None) -> None:
    """The answer counts only under the agent's own name, since addresses are given away again."""
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(status, json=body)

    async def talk() -> int | None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
            return await AdminPorts(http, lambda node: f"http://{program.node_host(node)}:10003").incarnation("agent_3")

    assert asyncio.run(talk()) == incarnation
    assert asked == ["http://agent-3:10003/status"]
