"""The orchestrator's side of agents in containers: it waits for them, keeps their leases, and sends them home."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import pytest

from agent.settings import AgentSettings
from chaos.faults import Record
from chaos.remote import RemoteChaos
from orchestrator import settings_load, timeline
from orchestrator.roster import agents_of, container_site
from orchestrator.runtime.containers import ContainerRuntime
from protocols.errors import LabError
from tests.agent.virtual_time import LoopClock, run_virtually

TOKEN = "a-token-of-the-test"  # noqa: S105


def settings(count: int) -> tuple[AgentSettings, ...]:
    """The agents of a small lab."""
    scenario = settings_load.build([settings_load.Layer("test", {"scenario": {"agent_count": count}})], {})
    return agents_of(scenario, timeline.plan(scenario), "run", container_site(count))


class Containers:
    """Every container that the orchestrator can reach, behind one transport."""

    def __init__(self) -> None:
        self.calls: Counter[tuple[str, str]] = Counter()
        self.down: dict[str, int | None] = {}
        """Agents that do not answer: their exit code, None while they start."""
        self.ends_at_stop = True

    def answer(self, request: httpx.Request) -> httpx.Response:
        """What the container of this name says."""
        host, path = request.url.host, request.url.path
        self.calls[host, path] += 1
        if host == "chaos":
            states = {
                f"agent_{n}": {"running": f"agent-{n}" not in self.down, "exit_code": self.down.get(f"agent-{n}")}
                for n in (1, 2, 3)
            }
            return httpx.Response(200, json={"agents": states} if path == "/agents" else {})
        if host in self.down:
            raise httpx.ConnectError("refused", request=request)
        if path == "/stop" and self.ends_at_stop:
            self.down[host] = 0
        return httpx.Response(200, json={})


def play(containers: Containers, story: Callable[[ContainerRuntime], Coroutine[Any, Any, None]]) -> None:
    """Run a story with a runtime of three agents in virtual time."""

    def no_event(ev: str, *, at: float | None = None, **fields: Any) -> None:
        raise AssertionError(ev, at, fields)

    async def run() -> None:
        record: Record = no_event
        clock = LoopClock()
        async with httpx.AsyncClient(transport=httpx.MockTransport(containers.answer)) as admin:
            runtime = ContainerRuntime(
                settings(3), admin, RemoteChaos(admin, "http://chaos", TOKEN, record, clock), clock
            )
            try:
                await story(runtime)
            finally:
                await runtime.stop()

    run_virtually(run())


def test_every_agent_has_its_lease_from_the_moment_it_answers() -> None:
    """About one renewal in two seconds for each, as long as the run goes on, and none after its end."""
    containers = Containers()

    async def story(runtime: ContainerRuntime) -> None:
        await runtime.start(10)
        await asyncio.sleep(60)

    play(containers, story)
    for n in (1, 2, 3):
        assert 29 <= containers.calls[f"agent-{n}", "/lease"] <= 32
        assert containers.calls[f"agent-{n}", "/stop"] == 1


def test_a_dead_agent_does_not_keep_the_others_from_their_leases() -> None:
    """Whoever does not answer is asked again and again, since it may be restarted."""
    containers = Containers()

    async def story(runtime: ContainerRuntime) -> None:
        await runtime.start(10)
        containers.down["agent-2"] = 137
        await asyncio.sleep(30)
        before = containers.calls["agent-2", "/lease"]
        del containers.down["agent-2"]
        await asyncio.sleep(10)
        assert containers.calls["agent-2", "/lease"] >= before + 4
        assert containers.calls["agent-1", "/lease"] >= 18

    play(containers, story)


def test_an_agent_that_ends_at_the_start_is_named_at_once() -> None:
    """With its exit code and where to read on, long before the timeout."""
    containers = Containers()
    containers.down["agent-3"] = 2

    async def story(runtime: ContainerRuntime) -> None:
        began = asyncio.get_running_loop().time()
        with pytest.raises(
            LabError, match=r"agent_3 to start, its container ended with exit code 2; see: docker compose logs agent-3"
        ):
            await runtime.start(100)
        assert asyncio.get_running_loop().time() - began < 5

    play(containers, story)


def test_an_agent_that_never_answers_is_named_in_the_end() -> None:
    """A container that runs and serves nothing."""
    containers = Containers()
    containers.down["agent-1"] = None

    async def story(runtime: ContainerRuntime) -> None:
        with pytest.raises(LabError, match="expected agent_1 to serve its admin port in time"):
            await runtime.start(20)

    play(containers, story)


def test_those_that_ended_are_told_with_their_exit_codes() -> None:
    """As the engine says, through chaos; without chaos nothing is known, and that ends no run."""
    containers = Containers()

    async def story(runtime: ContainerRuntime) -> None:
        await runtime.start(10)
        assert await runtime.ended() == {}
        containers.down["agent-2"] = 1
        assert await runtime.ended() == {"agent_2": 1}

    play(containers, story)


def test_agents_that_do_not_go_are_left_to_their_leases() -> None:
    """The end of a run is never held up for long."""
    containers = Containers()
    containers.ends_at_stop = False

    async def story(runtime: ContainerRuntime) -> None:
        await runtime.start(10)
        began = asyncio.get_running_loop().time()
        await runtime.stop()
        assert asyncio.get_running_loop().time() - began < 6

    play(containers, story)
