"""Many deaths at once are repaired in one pass, and a single one waits for nobody; measured with it on and off."""

import asyncio
from collections.abc import Callable
from random import Random
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.batch import WINDOW_S, SuspicionBatch
from agent.decisions import News
from agent.membership import RESTART_STEP
from orchestrator.topology import neighbours, node_names
from tests.agent.lab import Lab

MakeLab = Callable[..., Lab]
ARRIVALS = st.lists(st.floats(0, 0.1, allow_nan=False), min_size=1, max_size=30)


@given(ARRIVALS)
def test_nobody_waits_longer_than_the_window_and_nobody_is_forgotten(pauses: list[float]) -> None:
    """Whatever the order of time: one pass at a time, each suspicion in exactly one, within the window."""
    batch, now, due = SuspicionBatch(), 0.0, None
    suspected: dict[str, float] = {}
    repaired: dict[str, float] = {}
    for number, pause in enumerate(pauses):
        while due is not None and due <= now + pause:
            repaired |= dict.fromkeys(batch.take(due), due)
            due = None
        now += pause
        suspected[f"agent_{number}"] = now
        asked = batch.add(f"agent_{number}", now)
        assert (asked is None) is (due is not None)
        due = due if asked is None else asked
    assert due is not None
    repaired |= dict.fromkeys(batch.take(due), due)
    assert list(repaired) == list(suspected)
    assert all(0 <= repaired[peer] - at <= WINDOW_S + 1e-9 for peer, at in suspected.items())
    assert batch.take(due) == ()


class Found(NamedTuple):
    """What a storm cost: connects to the dead, all connects, the first repair and the last edge (s after the kill)."""

    wasted: int
    connects: int
    first_s: float
    last_edge_s: float
    answers: int


async def storm(lab: Lab, victims: int) -> Found:
    """Kill so many of the agents after 2 s, and look again 10 s later."""
    agents = lab.all_agents()
    await lab.link(*agents)
    lab.store(*agents, arrivals_s={f"q{number}": number / 10 for number in range(60)})
    for agent in agents:
        assert agent.node._start(lab.clock.now())
    lab.beat(*agents)
    await asyncio.sleep(2)
    dead = Random(3).sample(agents, victims)
    killed_at, before = lab.clock.now(), len(lab.network.of("connect"))
    for agent in dead:
        lab.kill(agent)
    await asyncio.sleep(10)
    survivors = [agent for agent in agents if agent not in dead]
    repairs = [event for agent in survivors for event in agent.events("repair")]
    connects = lab.network.of("connect")[before:]
    found = Found(
        sum(call.peer in lab.network.dead for call in connects),
        len(connects),
        min(event["t"] for event in repairs) - killed_at,
        max(event["t"] for event in repairs if event["kind"] == "edge") - killed_at,
        len({event["task"] for agent in agents for event in agent.events("answer")}),
    )
    for agent in agents:
        agent.settings.workspace.joinpath("journal.jsonl").unlink()
    return found


async def test_one_pass_for_many_deaths_saves_connects_to_the_dead(
    make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of 24 die: a quarter fewer connects go to the dead, the first repair is as soon, the last a little later."""
    own = neighbours("mesh", node_names(24), 3)
    monkeypatch.setattr("tests.agent.lab.neighbours", lambda _topology, _names, me: own[me])
    found = {}
    for batch in (True, False):
        async with make_lab(agent_count=24, topology="mesh", recovery={"batch": batch}, replication=3) as lab:
            found[batch] = await storm(lab, 12)
    on, off = found[True], found[False]
    assert on.wasted <= 0.75 * off.wasted
    assert on.first_s <= off.first_s + 0.001
    assert on.last_edge_s <= off.last_edge_s + 2 * WINDOW_S
    assert on.answers == off.answers == 60


async def test_a_single_death_is_repaired_as_soon_as_without(make_lab: MakeLab) -> None:
    """With one victim of eight every figure is the same with it and without."""
    found = []
    for batch in (True, False):
        async with make_lab(agent_count=8, topology="mesh", recovery={"batch": batch}) as lab:
            found.append(await storm(lab, 1))
    assert found[0] == pytest.approx(found[1], abs=1e-6)


async def test_who_comes_back_while_its_repair_waits_is_linked_again(make_lab: MakeLab) -> None:
    """The pass is brought forward, so that the old link goes before the new one is made."""
    async with make_lab(agent_count=6, topology="ring", recovery={"batch": True}) as lab:
        a = lab.agent("agent_1")
        for name in lab.names[1:]:
            lab.adapter(name)
        for peer in a.settings.neighbours:
            await a.mesh.link(peer, "start")
        a.hear(News("agent_4", 0, alive=False))
        await asyncio.sleep(0.001)
        a.hear(News("agent_2", 0, alive=False))  # waits for the end of the window
        assert "agent_2" in a.mesh.links
        a.hear(News("agent_2", RESTART_STEP, alive=True))
        await asyncio.sleep(0.1)
        assert [event["peer"] for event in a.events("link_down")] == ["agent_2"]
        assert sorted(a.mesh.links) == ["agent_2", "agent_6"]
