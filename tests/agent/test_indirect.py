"""The detectors at work in whole agents: silence, doubt and death in their journals, and probes through others."""

import asyncio
from collections.abc import Callable

import pytest
from pydantic import JsonValue

from agent.settings import DETECTORS, DetectorSettings
from protocols.message import Kind
from tests.agent.lab import Lab
from tests.agent.specimen import Agent
from tests.agent.test_storm_in_memory import TASKS, journal, storm

MakeLab = Callable[..., Lab]
B, C = "agent_2", "agent_3"
OTHERS = [kind for kind in DETECTORS if kind != DetectorSettings().kind]


def freeze(lab: Lab, agent: Agent) -> None:
    """SIGSTOP: it does nothing, and nothing answers in its name."""
    for task in agent.tasks:
        task.cancel()
    lab.network.freeze(agent.settings.node_id)


@pytest.mark.parametrize("kind", OTHERS)
async def test_a_storm_under_every_other_detector(make_lab: MakeLab, kind: str) -> None:
    """The survivors suspect the victims and nobody else, and every task is answered."""
    async with make_lab(agent_count=8, topology="mesh", detector={"kind": kind, "mode": "probe"}) as lab:
        survivors = await storm(lab, (3, 7))
        assert {agent.membership.suspects for agent in survivors} == {("agent_3", "agent_7")}
        assert {event["peer"] for event in journal(lab, "suspect")} == {"agent_3", "agent_7"}
        assert journal(lab, "alive") == []
        assert {event["task"] for event in journal(lab, "answer")} == set(TASKS)


@pytest.mark.parametrize("kind", OTHERS)
async def test_a_calm_mesh_under_every_other_detector(make_lab: MakeLab, kind: str) -> None:
    """Nobody is suspected, doubted, excused or asked about."""
    async with make_lab(agent_count=8, topology="mesh", detector={"kind": kind}) as lab:
        lab.network.one_way_s = 0.1
        await lab.alive()
        await asyncio.sleep(15)
        assert journal(lab, "suspect", "alive", "doubt", "trust", "excused", "refute") == []
        assert lab.network.sent("ping-req") == []


async def test_swim_doubts_before_it_declares(make_lab: MakeLab) -> None:
    """Helpers are asked first; the doubt comes before the death at all survivors, and refers to the same life."""
    async with make_lab(agent_count=5, detector={"kind": "swim", "mode": "probe"}) as lab:
        agents = await lab.alive()
        await asyncio.sleep(3)
        freeze(lab, agents[1])
        frozen_at = lab.clock.now()
        await asyncio.sleep(6)
        for agent in (agents[0], *agents[2:]):
            doubts, (suspicion,) = agent.events("doubt"), agent.events("suspect")
            assert {event["peer"] for event in doubts} == {B} == {suspicion["peer"]}
            assert doubts[0]["t"] + 1.0 <= suspicion["t"] <= frozen_at + 5.0
            assert (doubts[0]["peer_inc"], suspicion["peer_inc"]) == (0, 0)
            assert agent.events("trust", "refute", "alive") == []
        # With three confirmed doubts nobody waits as long as the one who doubts alone.
        assert min(event["t"] for event in journal(lab, "suspect")) < frozen_at + 1 + 0.9 + 1 + 0.1
        assert {message.body["peer"] for message in lab.network.sent("ping-req")} == {B}
        assert {message.body["alive"] for message in lab.network.sent("ping-ack")} == {False}


@pytest.mark.parametrize("kind", DETECTORS)
async def test_two_that_cannot_reach_each_other(make_lab: MakeLab, kind: str) -> None:
    """Under swim their helpers speak for them, and nobody is wronged; under the others both are, again and again."""
    async with make_lab(agent_count=5, detector={"kind": kind, "mode": "probe"}) as lab:
        await lab.alive()
        lab.network.delays_s |= {(B, C): 30.0, (C, B): 30.0}
        await asyncio.sleep(10)
        wronged = {(event["node"], event["peer"]) for event in journal(lab, "suspect") if event["mechanism"] == "probe"}
        assert wronged == (set() if kind == "swim" else {(B, C), (C, B)})
        assert journal(lab, "doubt") == []
        assert bool([message for message in lab.network.sent("ping-ack") if message.body["alive"]]) is (kind == "swim")


async def test_the_doubted_clears_its_name(make_lab: MakeLab) -> None:
    """It hears of the doubt and lives on under its next incarnation; everybody takes the doubt back, nobody is lost."""
    async with make_lab(agent_count=5, detector={"kind": "swim", "mode": "probe"}) as lab:
        agents = await lab.alive()
        await asyncio.sleep(3)
        lab.network.freeze(B)
        await asyncio.sleep(2)
        assert journal(lab, "doubt")
        lab.network.thaw(B)
        await asyncio.sleep(5)
        assert agents[1].events("refute")
        doubters = {event["node"] for event in journal(lab, "doubt") if event["peer"] == B}
        assert {event["node"] for event in journal(lab, "trust") if event["peer"] == B} == doubters
        assert [agent.membership.suspects for agent in agents] == [()] * 5
        assert journal(lab, "suspect") == []


async def test_a_probe_for_another_that_makes_no_sense_is_dropped(make_lab: MakeLab) -> None:
    """Strangers are not probed, a body that says nothing is nonsense, and the word of one who was not asked is none."""
    async with make_lab(agent_count=4, detector={"kind": "swim"}) as lab:
        a = lab.observer()
        senseless: tuple[tuple[Kind, dict[str, JsonValue]], ...] = (
            ("ping-req", {}),
            ("ping-ack", {"peer": B, "alive": "no"}),
            ("ping-req", {"peer": "z"}),
        )
        for kind, body in senseless:
            a.adapter.inbox.put_nowait(lab.message(C, "agent_1", kind, body))
        a.adapter.inbox.put_nowait(lab.message(C, "agent_1", "ping-ack", {"peer": B, "alive": False}))
        a.adapter.inbox.put_nowait(lab.message(C, "agent_1", "ping-ack", {"peer": "z", "alive": False}))
        await asyncio.sleep(0.5)
        assert [event["kind"] for event in a.events("nonsense")] == ["ping-req", "ping-ack"]
        assert lab.network.of("probe") == []
        assert a.events("doubt") == []


async def test_phi_decides_at_its_own_time(make_lab: MakeLab) -> None:
    """Not at a beat: a frozen peer is suspected when its silence has lasted long enough, mean answer and all."""
    async with make_lab(agent_count=2, detector={"kind": "phi", "mode": "probe"}) as lab:
        lab.network.one_way_s = 0.05
        a, b = await lab.alive()
        await asyncio.sleep(8)
        freeze(lab, b)
        frozen_at = lab.clock.now()
        await asyncio.sleep(4)
        asked = [call.at_s for call in lab.network.of("probe", "agent_1", B) if call.at_s + 0.05 >= frozen_at]
        assert a.events("suspect")[0]["t"] == pytest.approx(asked[0] + 0.1 + 1.0 + 0.561, abs=0.002)


async def test_an_adaptive_interval_is_short_in_calm_and_long_under_strain(make_lab: MakeLab) -> None:
    """It follows the answers of the links, between its two bounds."""
    async with make_lab(agent_count=3, detector={"adaptive": {"enabled": True}}) as lab:
        await lab.alive()
        await asyncio.sleep(5)
        calm = len(lab.network.of("probe", "agent_1", B))
        lab.network.one_way_s = 0.2
        await asyncio.sleep(10)
        lab.network.calls.clear()
        await asyncio.sleep(5)
        assert 18 <= calm <= 20
        assert 2 <= len(lab.network.of("probe", "agent_1", B)) <= 4
        assert journal(lab, "suspect") == []
