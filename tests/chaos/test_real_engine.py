"""Real containers on a real engine, really killed, beside containers that must be spared."""

import asyncio
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import JsonValue

from chaos.__main__ import SOCKET
from chaos.faults.kill import FAULT
from chaos.messages import AgentState
from chaos.remote import RemoteChaos
from chaos.schedule import Order
from chaos.targets.docker import DockerTarget
from chaos.targets.engine import connect
from protocols.clock import MonotonicClock
from protocols.errors import FaultError, LabError

from .real_engine import RealLab, real_lab

pytestmark = pytest.mark.engine
TOKEN = "correct-horse-battery-staple"  # noqa: S105 - opens nothing


@pytest.fixture
def lab() -> Iterator[RealLab]:
    """Three agents, a container with a similar name, and an agent of another run."""
    with real_lab() as made:
        for number in (1, 2, 3):
            made.agent(number)
        made.start("agent-3x", {})
        made.agent(3, run=f"{made.run}0")
        yield made


class Journal:
    """Keeps what is recorded."""

    def __init__(self) -> None:
        self.events: list[tuple[str, JsonValue]] = []
        self.reasons: list[str] = []

    def record(self, ev: str, *, at: float | None = None, **fields: JsonValue) -> None:
        """Stand in for the journal."""
        assert at is None or at > 0
        self.events.append((ev, fields["victim"]))
        if "reason" in fields:
            self.reasons.append(str(fields["reason"]))


async def serves_again(_node: str) -> int | None:
    """Stand in for the admin port of a restarted agent."""
    return 1000


def test_containers_are_killed_and_strangers_are_spared(lab: RealLab) -> None:
    """SIGKILL, proven by the engine's events; a restart brings the container back, and a second kill lands too."""
    journal = Journal()
    client = connect(SOCKET)

    async def storm() -> None:
        async with DockerTarget(client, lab.run, serves_again, MonotonicClock()) as target:
            await FAULT.inject(target, ("agent_3", "agent_1"), journal.record)
            assert await target.agents() == {
                "agent_1": AgentState(running=False, exit_code=137),
                "agent_2": AgentState(running=True, exit_code=None),
                "agent_3": AgentState(running=False, exit_code=137),
            }
            await FAULT.heal(target, ("agent_1",), journal.record)
            assert (await target.agents())["agent_1"] == AgentState(running=True, exit_code=None)
            await FAULT.inject(target, ("agent_1",), journal.record)

    asyncio.run(storm())
    client.close()
    kills = [("kill_call", "agent_3"), ("kill_call", "agent_1")]
    assert journal.events[:2] == kills
    assert sorted(journal.events[2:4], key=str) == [("death", "agent_1"), ("death", "agent_3")]
    healed = [("heal_call", "agent_1"), ("heal_done", "agent_1"), ("kill_call", "agent_1"), ("death", "agent_1")]
    assert journal.events[4:] == healed
    assert lab.state("agent-3")["ExitCode"] == 137
    assert lab.running() == ["agent-2", "agent-3x", f"agent-3-of-{lab.run}0"]


def test_deaths_that_are_not_ours_are_no_proof(lab: RealLab, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container that had ended before, and one that ends by another signal, are failed faults."""
    journal = Journal()
    client = connect(SOCKET)
    lab.send("agent-1", signal.SIGKILL)
    monkeypatch.setattr(client, "kill", lambda _full_id, _signal: lab.send("agent-2", signal.SIGTERM))

    async def storm() -> None:
        async with DockerTarget(client, lab.run, serves_again, MonotonicClock()) as target:
            await FAULT.inject(target, ("agent_1", "agent_2"), journal.record)

    asyncio.run(storm())
    client.close()
    assert sorted(journal.events[2:], key=str) == [("fault_failed", "agent_1"), ("fault_failed", "agent_2")]
    assert any("before the kill with exit code 137" in reason for reason in journal.reasons)
    assert any("got signal 15" in reason for reason in journal.reasons)
    assert lab.running() == ["agent-3", "agent-3x", f"agent-3-of-{lab.run}0"]


def test_the_service_takes_only_the_runs_orders(lab: RealLab, tmp_path: Path) -> None:
    """``python -m chaos serve``, as the lab starts it: every refused order leaves everybody alive, a good one kills."""
    token = tmp_path / "token"
    token.write_text(TOKEN)
    command = [sys.executable, "-m", "chaos", "serve", "--run", lab.run, "--token-file", str(token), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as chaos:
        try:
            assert chaos.stderr is not None
            started = re.search(r"on (127\.0\.0\.1:\d+)$", chaos.stderr.readline())
            assert started is not None
            asyncio.run(_give_orders(lab, f"http://{started[1]}"))
        finally:
            chaos.terminate()
        assert chaos.wait(10) == 0
        assert "inject kill agent_2: done" in chaos.stderr.read()


async def _give_orders(lab: RealLab, url: str) -> None:
    journal, clock = Journal(), MonotonicClock()
    everybody = list(lab.ids)
    async with httpx.AsyncClient(trust_env=False) as http:
        remote = RemoteChaos(http, url, TOKEN, journal.record, clock)
        await remote.wait_ready(5)
        assert sorted(await remote.agents()) == ["agent_1", "agent_2", "agent_3"]
        orders: list[tuple[str, ...]] = [(), ("agent_1", "agent_2", "agent_3"), ("agent_4",), ("agent_3", "agent_3")]
        for victims in orders:
            with pytest.raises(FaultError):
                await remote.act(Order(0, "kill", "inject", victims))
        for odd in ("agent-3x", f"agent-3-of-{lab.run}0"):
            for name in (f"failstorm-{lab.run}-{odd}", lab.ids[odd], f"../{odd}"):
                body = {"action": "inject", "fault": "kill", "victims": [name]}
                answer = await http.post(f"{url}/orders", json=body, headers={"Authorization": f"Bearer {TOKEN}"})
                assert answer.status_code in {409, 422}
        with pytest.raises(LabError, match="401"):
            await RemoteChaos(http, url, "wrong", journal.record, clock).act(Order(0, "kill", "inject", ("agent_2",)))
        assert lab.running() == everybody
        await remote.act(Order(0, "kill", "inject", ("agent_2",)))
    assert journal.events == [("kill_call", "agent_2"), ("death", "agent_2")]
    assert lab.running() == [name for name in everybody if name != "agent-2"]
