"""The detector in action: it beats evenly, finds the dead in time, and blames itself before others."""

import asyncio
from collections.abc import Callable
from itertools import pairwise

import pytest

from protocols.errors import PeerUnreachableError
from protocols.message import Traffic
from tests.agent.lab import Lab
from tests.agent.specimen import Agent
from tests.agent.virtual_time import LoopClock

MakeLab = Callable[..., Lab]
B = "agent_2"


class StallingClock(LoopClock):
    """Once, a sleep takes longer than asked: the process was frozen."""

    def __init__(self) -> None:
        self.stall_s = 0.0

    async def sleep(self, duration_s: float) -> None:
        """Sleep, and the stall on top."""
        stall_s, self.stall_s = self.stall_s, 0.0
        await super().sleep(duration_s + stall_s)


def views(agents: list[Agent]) -> list[tuple[str, ...]]:
    """Whom each of them suspects."""
    return [agent.membership.suspects for agent in agents]


async def test_it_beats_once_an_interval_from_a_phase_of_its_own(make_lab: MakeLab) -> None:
    """Evenly and without drift, however long the answers take; agents do not beat in step."""
    async with make_lab() as lab:
        lab.network.one_way_s = 0.11
        agents = await lab.alive()
        began = lab.clock.now()
        await asyncio.sleep(20)
        phases = []
        for agent in agents:
            name = agent.settings.node_id
            beats = [call.at_s for call in lab.network.of("probe", name, agent.settings.neighbours[0])]
            assert len(beats) == 20
            assert [later - first for first, later in pairwise(beats)] == pytest.approx([1.0] * 19)
            phases.append(round(beats[0] - began, 6))
        assert all(0 <= phase <= 1 for phase in phases)
        assert len(set(phases)) == len(phases)
        assert [agent.events("suspect") for agent in agents] == [[]] * 4


async def test_after_a_stall_beats_are_skipped_not_fired_in_a_burst(make_lab: MakeLab) -> None:
    """A process that was frozen for ten seconds goes on with its next beat."""
    async with make_lab() as lab:
        lab.clock = clock = StallingClock()
        a = lab.observer()
        await a.mesh.link(B, "start")
        clock.stall_s = 10.25
        lab.beat(a)
        began = clock.now()
        await asyncio.sleep(14)
        late, *others = (call.at_s - began for call in lab.network.of("probe"))
        assert 10.25 < late < 11.25
        assert [beat - others[0] for beat in others] == pytest.approx([0.0, 1.0, 2.0])
        assert late < others[0] < late + 1


@pytest.mark.parametrize("interval_s", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("misses", [1, 2, 3])
async def test_a_frozen_peer_is_found_within_the_documented_bound(
    make_lab: MakeLab, interval_s: float, misses: int
) -> None:
    """No later than misses·interval + timeout after it froze, no earlier than its misses allow; all learn of it."""
    detector = {"mode": "probe", "interval_s": interval_s, "timeout_s": 0.25, "misses": misses}
    async with make_lab(detector=detector) as lab:
        agents = await lab.alive()
        await asyncio.sleep(5.123)
        for task in agents[1].tasks:
            task.cancel()
        lab.network.freeze(B)
        frozen_at = lab.clock.now()
        await asyncio.sleep(misses * interval_s + 2)
        survivors = [agents[0], *agents[2:]]
        assert views(survivors) == [(B,)] * 3
        took_s = [agent.events("suspect")[0]["t"] - frozen_at for agent in survivors]
        assert max(took_s) <= misses * interval_s + 0.25 + 0.001
        assert min(took_s) >= (misses - 1) * interval_s + 0.25 - 0.001
        mechanisms = {event["mechanism"] for agent in survivors for event in agent.events("suspect")}
        assert "probe" in mechanisms
        assert mechanisms <= {"probe", "gossip"}


async def test_a_failed_request_to_a_dead_peer_is_confirmed_at_once(make_lab: MakeLab) -> None:
    """Mode ``common``: one immediate probe, and the suspicion names the request that called for it."""
    async with make_lab() as lab:
        a = lab.observer()
        lab.network.kill(B)
        with pytest.raises(PeerUnreachableError):
            await a.mesh.send(a.mesh.message(B, "commit", Traffic.TASK, {}))
        await asyncio.sleep(0.01)
        assert a.changes() == [("suspect", B, 0, "request")]
        assert len(lab.network.of("probe")) == 1


async def test_in_mode_probe_a_failed_request_is_no_evidence(make_lab: MakeLab) -> None:
    """Only the beat finds the dead."""
    async with make_lab(detector={"mode": "probe"}) as lab:
        a = lab.observer()
        lab.network.kill(B)
        with pytest.raises(PeerUnreachableError):
            await a.mesh.send(a.mesh.message(B, "commit", Traffic.TASK, {}))
        await asyncio.sleep(5)
        assert a.changes() == []
        assert lab.network.of("probe") == []


async def test_a_starved_observer_blames_itself_first(make_lab: MakeLab) -> None:
    """A silence while its own loop was late proves nothing: the probe is excused; a refused connection still counts."""
    async with make_lab(detector={"misses": 1}) as lab:
        a = lab.observer()
        lab.network.freeze(B)
        a.heartbeat.doubt(B, "tcp")
        await asyncio.sleep(0.4)
        a.node._lag._recent.append((lab.clock.now(), 0.2))
        await asyncio.sleep(0.2)
        assert a.changes() == []
        assert [(event["peer"], event["lag_ms"]) for event in a.events("excused")] == [(B, 200.0)]
        a.heartbeat.doubt(B, "tcp")
        await asyncio.sleep(1)
        assert a.changes() == [("suspect", B, 0, "tcp")]
        lab.network.kill("agent_3")
        a.node._lag._recent.append((lab.clock.now(), 0.2))
        a.heartbeat.doubt("agent_3", "request")
        await asyncio.sleep(0.1)
        assert a.changes()[1:] == [("suspect", "agent_3", 0, "request")]
