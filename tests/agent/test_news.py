"""News of deaths and returns reach everybody, even over a bad line, and clear the falsely accused."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from agent.decisions import News
from agent.membership import RESTART_STEP
from protocols.message import Traffic
from tests.agent.lab import Lab
from tests.agent.specimen import Agent

MakeLab = Callable[..., Lab]
B = "agent_2"
DEAD_B = News(B, 0, alive=False)


def views(agents: list[Agent]) -> list[tuple[str, ...]]:
    """Whom each of them suspects."""
    return [agent.membership.suspects for agent in agents]


def _news(body: dict[str, Any]) -> list[dict[str, Any]]:
    items = body["news"]
    assert isinstance(items, list)
    return items


@pytest.mark.parametrize("topology", ["ring", "star", "mesh"])
async def test_a_suspicion_reaches_every_survivor(make_lab: MakeLab, topology: str) -> None:
    """Over the links of the survivors, within milliseconds, each journaling it once."""
    async with make_lab(agent_count=9, topology=topology) as lab:
        agents = await lab.alive()
        victim, survivors = agents[4], [*agents[:4], *agents[5:]]
        lab.kill(victim)
        survivors[0].hear(News("agent_5", 0, alive=False))
        await asyncio.sleep(0.1)
        assert [agent.changes() for agent in survivors] == [[("suspect", "agent_5", 0, "gossip")]] * 8


async def test_nobody_talks_to_the_dead(make_lab: MakeLab) -> None:
    """Of two deaths in one message the first is not told to the second."""
    async with make_lab() as lab:
        a = lab.observer()
        for peer in a.settings.neighbours:
            await a.mesh.link(peer, "start")
        a.hear(DEAD_B, News("agent_3", 0, alive=False))
        await asyncio.sleep(1)
        assert {message.recipient for message in lab.network.sent("membership")} == {"agent_4"}


async def test_news_that_got_lost_on_the_way_to_a_living_link_are_sent_again(make_lab: MakeLab) -> None:
    """Nobody else may ever tell it; news that came up meanwhile travel along."""
    async with make_lab() as lab:
        a = lab.observer()
        b = lab.network.adapters[B]
        await a.mesh.link(B, "start")
        b.inbox.get_nowait()
        lab.network.rejects[B, "membership"] = None
        a.hear(News("agent_3", 0, alive=False))
        await asyncio.sleep(0.5)
        a.hear(News("agent_4", 0, alive=False))
        lab.network.rejects.clear()
        await asyncio.sleep(1)
        message = b.inbox.get_nowait()
        assert message.traffic is Traffic.MEMBERSHIP
        assert [item["peer"] for item in _news(message.body)] == ["agent_3", "agent_4"]
        assert b.inbox.empty()


async def test_news_for_a_link_that_takes_none_are_given_up(make_lab: MakeLab) -> None:
    """Bounded attempts; and none at all for a peer that is held for dead by then."""
    async with make_lab() as lab:
        a = lab.observer()
        await a.mesh.link(B, "start")
        lab.network.rejects[B, "membership"] = None
        a.hear(News("agent_3", 0, alive=False))
        await asyncio.sleep(20)
        assert len(lab.network.sent("membership")) == 3
        assert a.heartbeat._outbox == {}
        assert a.heartbeat._sending == {}
        lab.network.kill(B)
        a.hear(News("agent_4", 0, alive=False))
        await asyncio.sleep(20)
        assert len(lab.network.sent("membership")) == 4


async def test_a_falsely_accused_agent_clears_its_name_everywhere(make_lab: MakeLab) -> None:
    """It refutes under its next incarnation, all restore it, and its links come back."""
    async with make_lab(agent_count=6, topology="ring") as lab:
        agents = await lab.alive()
        agents[4].hear(DEAD_B)
        await asyncio.sleep(5)
        assert [event["incarnation"] for event in agents[1].events("refute")] == [1]
        assert views(agents) == [()] * 6
        for agent in (agents[0], *agents[2:]):
            assert agent.changes("alive") == [("alive", B, 1, "gossip")]
        assert [sorted(agent.mesh.links) for agent in agents] == [sorted(agent.settings.neighbours) for agent in agents]


async def test_a_refutation_that_got_lost_is_repeated_to_whoever_accuses_again(make_lab: MakeLab) -> None:
    """The accuser probes its suspect in turn, tells it, and is answered: no false suspicion stands for ever."""
    async with make_lab() as lab:
        agents = [lab.agent("agent_1"), lab.agent(B)]
        for name in lab.names[2:]:
            lab.adapter(name)
        a, b = agents
        lab.beat(a)
        lab.network.rejects["agent_1", "membership"] = None
        a.hear(DEAD_B)
        await asyncio.sleep(10)
        assert b.membership.incarnation == 1
        assert views([a]) == [(B,)]
        lab.network.rejects.clear()
        await asyncio.sleep(2)
        assert views([a]) == [()]
        assert b.membership.incarnation == 1


async def test_two_agents_that_link_know_the_same_afterwards(make_lab: MakeLab) -> None:
    """A hello carries what its sender believes and is answered by what its receiver believes."""
    async with make_lab(agent_count=6, recovery={"reconnect": False}) as lab:
        a, b = lab.observer(), lab.agent(B)
        a.membership.told([News("agent_3", 0, alive=False), News("agent_5", 7, alive=True)], 0)
        b.membership.told([News("agent_4", 0, alive=False)], 0)
        await a.mesh.link(B, "repair")
        await asyncio.sleep(0.1)
        assert views([a, b]) == [("agent_3", "agent_4")] * 2
        assert b.membership.told([News("agent_5", 6, alive=False)], 0) == []


async def test_a_restarted_agent_is_restored_by_its_hello_and_told_what_it_missed(make_lab: MakeLab) -> None:
    """One link is enough for everybody to know that it is back, and for it to know who is not."""
    async with make_lab(agent_count=5, topology="ring") as lab:
        agents = await lab.alive()
        lab.kill(agents[1])
        lab.kill(agents[3])
        await asyncio.sleep(4)
        survivors = [agents[0], agents[2], agents[4]]
        assert views(survivors) == [(B, "agent_4")] * 3
        del lab.network.dead[B]
        reborn = lab.agent(B, RESTART_STEP)
        await reborn.mesh.link("agent_1", "rejoin")
        await asyncio.sleep(1)
        assert views([*survivors, reborn]) == [("agent_4",)] * 4
        for agent in survivors:
            assert agent.changes("alive") == [("alive", B, RESTART_STEP, "gossip")]


async def test_who_answers_a_connect_under_a_new_life_is_not_accused_of_the_old_ones_death(make_lab: MakeLab) -> None:
    """First-hand knowledge: stale news of the earlier life that come afterwards are old, and the view is told on."""
    async with make_lab() as lab:
        a = lab.observer()
        lab.adapter(B, RESTART_STEP)
        await a.mesh.link("agent_3", "start")
        await a.mesh.send(a.mesh.message(B, "commit", Traffic.TASK, {"task": "q"}))
        a.hear(DEAD_B)
        await asyncio.sleep(0.1)
        assert a.changes() == [("alive", B, RESTART_STEP, "gossip")]
        (told,) = lab.network.sent("membership", peer="agent_3")
        assert _news(told.body) == [{"peer": B, "incarnation": RESTART_STEP, "alive": True}]


@pytest.mark.parametrize("kind", ["hello", "membership"])
@pytest.mark.parametrize("body", [{}, {"news": 3}, {"news": [{"peer": "x"}]}, {"news": [{"peer": 1, "alive": []}]}])
async def test_nonsense_is_journaled_and_changes_nothing(make_lab: MakeLab, kind: Any, body: dict[str, Any]) -> None:
    """Garbage from a peer is its own fault; the view stays as it was."""
    async with make_lab() as lab:
        a = lab.observer()
        a.adapter.inbox.put_nowait(lab.message(B, "agent_1", kind, body))
        await asyncio.sleep(0.1)
        assert [(event["peer"], event["kind"]) for event in a.events("nonsense")] == [(B, kind)]
        assert a.changes() == []
