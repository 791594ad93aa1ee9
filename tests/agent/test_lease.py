"""What ties an agent to its run where no parent process does: the lease; and how it counts its own lives."""

import asyncio
import io
from pathlib import Path

import httpx
import pytest
from pydantic import ValidationError

from agent import admin
from agent.lease import Lease
from agent.lives import begin_life
from agent.settings import AgentSettings, LeaseSettings
from agent.story import Story
from agent.telemetry import Telemetry
from protocols.adapter import Identity
from tests.agent.lab import Lab
from tests.agent.virtual_time import LoopClock

LEASE = LeaseSettings(first_s=60, silent_s=10)


async def test_without_a_word_the_lease_runs_out_after_its_first_term() -> None:
    """An agent whose orchestrator never comes ends by itself."""
    clock = LoopClock()
    began = clock.now()
    await Lease(LEASE, clock).run_out()
    assert clock.now() - began == pytest.approx(60, abs=1)


async def test_silence_after_a_renewal_ends_the_lease_in_its_shorter_term() -> None:
    """Renewals every 2 s keep it for ever; 10 s after the last one it is over."""
    clock = LoopClock()
    lease = Lease(LEASE, clock)
    out = asyncio.create_task(lease.run_out())
    for _ in range(50):
        await clock.sleep(2)
        lease.renew()
    assert not out.done()
    last = clock.now()
    await out
    assert clock.now() - last == pytest.approx(10, abs=1)


async def test_a_busy_machine_does_not_stretch_the_lease() -> None:
    """Sleeps that take twice as long as asked for count in full: 10 s are 10 s."""

    class Busy(LoopClock):
        async def sleep(self, duration_s: float) -> None:
            await super().sleep(2 * duration_s)

    lease = Lease(LEASE, Busy())
    lease.renew()
    began = asyncio.get_running_loop().time()
    await lease.run_out()
    assert asyncio.get_running_loop().time() - began == pytest.approx(10, abs=1)


async def test_time_in_which_the_agent_itself_stood_still_does_not_count() -> None:
    """A process that was frozen for an hour gets the renewals of that hour when it goes on, not its end."""

    class Frozen(LoopClock):
        def __init__(self) -> None:
            self.freeze_s = 3600.0

        async def sleep(self, duration_s: float) -> None:
            await super().sleep(duration_s + self.freeze_s)
            self.freeze_s = 0.0

    lease = Lease(LEASE, Frozen())
    lease.renew()
    out = asyncio.create_task(lease.run_out())
    await asyncio.sleep(3605)
    assert not out.done()
    lease.renew()
    await asyncio.sleep(9)
    assert not out.done()
    await out


def test_each_start_in_a_workspace_is_one_more_life(tmp_path: Path) -> None:
    """The first life is 0; the count is in the workspace, so it outlives the process."""
    assert [begin_life(tmp_path) for _ in range(3)] == [0, 1, 2]
    (tmp_path / "other").mkdir()
    assert begin_life(tmp_path / "other") == 0


def test_an_agent_is_tied_to_a_parent_or_to_a_lease(tmp_path: Path) -> None:
    """Settings without either, or with both, are refused: such an agent could outlive its run."""
    content = Lab(tmp_path).settings("agent_1").model_dump()
    assert AgentSettings.model_validate(content | {"parent_pid": None, "lease": {}}).lease == LeaseSettings()
    neither: dict[str, object] = {"parent_pid": None}
    both: dict[str, object] = {"lease": {}}
    for wrong in (neither, both):
        with pytest.raises(ValidationError, match="either a parent process or a lease"):
            AgentSettings.model_validate(content | wrong)


def test_the_admin_port_takes_lease_and_stop() -> None:
    """``POST /lease`` and ``POST /stop`` reach the agent, each its own way; reading them does nothing."""
    calls: list[str] = []

    async def no_links() -> list[tuple[str, str]]:
        return []

    app = admin.application(
        Telemetry(Identity("agent_1", 0), "search", (), (), 0.0),
        dict,
        no_links,
        lambda _: True,
        lambda: calls.append("lease"),
        lambda: calls.append("stop"),
    )

    async def ask() -> list[int]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://agent") as client:
            answers = [await client.post("/lease"), await client.get("/stop"), await client.post("/stop")]
            return [answer.status_code for answer in answers]

    assert asyncio.run(ask()) == [200, 405, 200]
    assert calls == ["lease", "stop"]


def test_the_story_is_readable() -> None:
    """Events of note become one line each, timed from t0; all others are left to the journal."""
    out = io.StringIO()
    story = Story("agent_3", out)
    story.observe(90.0, "link_up", {"peer": "agent_1", "reason": "start", "ms": 12.4})
    story.observe(100.0, "started", {"t0": 100.0})
    story.observe(160.25, "suspect", {"peer": "agent_5", "peer_inc": 0, "mechanism": "probe"})
    story.observe(160.3, "bytes", {"rows": []})
    assert out.getvalue().splitlines() == [
        "agent_3       start  linked to agent_1 (start) in 12 ms",
        "agent_3     0.000 s  the clock runs",
        "agent_3    60.250 s  holds agent_5 for dead (probe)",
    ]
