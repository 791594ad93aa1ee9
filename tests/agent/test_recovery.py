"""What a death sets in motion: new links where the topology wants them, and each part only while its switch is on."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.decisions import News
from agent.errand import Step, StepFailedError
from agent.links import replacements
from agent.membership import RESTART_STEP
from tests.agent.lab import Lab, Topology, neighbours
from tests.agent.specimen import Agent

MakeLab = Callable[..., Lab]
NAMES = tuple(f"agent_{number}" for number in range(1, 11))
SURVIVORS = st.lists(st.sampled_from(NAMES), min_size=1, unique=True)
TOPOLOGIES: tuple[Topology, ...] = ("mesh", "full", "ring", "star")


def wanted(topology: Topology, me: str, alive: Sequence[str]) -> tuple[str, ...]:
    """The links that ``me`` wants when it holds ``alive`` for alive."""
    return replacements(topology, me, neighbours(topology, NAMES, me), NAMES, alive)


@given(topology=st.sampled_from(TOPOLOGIES), survivors=SURVIVORS)
def test_links_go_to_living_others_each_once(topology: Topology, survivors: list[str]) -> None:
    """Never to oneself, never to the dead, never twice; the same however the view is listed."""
    for me in survivors:
        links = wanted(topology, me, survivors)
        assert set(links) <= set(survivors) - {me}
        assert len(set(links)) == len(links)
        assert links == wanted(topology, me, [name for name in reversed(survivors) if name != me])


@given(topology=st.sampled_from(TOPOLOGIES), survivors=SURVIVORS)
def test_nobody_is_cut_off_while_others_live(topology: Topology, survivors: list[str]) -> None:
    """Every survivor wants a link as long as there is anybody to link to."""
    for me in survivors:
        assert wanted(topology, me, survivors) or len(survivors) == 1


@given(topology=st.sampled_from(TOPOLOGIES), me=st.sampled_from(NAMES))
def test_with_everybody_alive_nothing_is_replaced(topology: Topology, me: str) -> None:
    """The wanted links are the topology's own."""
    assert sorted(wanted(topology, me, NAMES)) == sorted(neighbours(topology, NAMES, me))


@given(survivors=SURVIVORS)
def test_a_mesh_replaces_each_dead_neighbour_and_keeps_the_living(survivors: list[str]) -> None:
    """As many links as before, as long as there are enough to link to."""
    for me in survivors:
        own = neighbours("mesh", NAMES, me)
        links = wanted("mesh", me, survivors)
        assert [name for name in own if name in survivors] == [name for name in links if name in own]
        assert len(links) == min(len(own), len(survivors) - 1)


@given(survivors=SURVIVORS)
def test_a_full_mesh_has_nothing_to_replace(survivors: list[str]) -> None:
    """Everybody alive is linked already."""
    for me in survivors:
        assert sorted(wanted("full", me, survivors)) == sorted(name for name in survivors if name != me)


@given(survivors=SURVIVORS)
def test_ring_neighbours_are_adjacent_among_the_living(survivors: list[str]) -> None:
    """The ring closes over the gap, and both sides of it want the same link."""
    living = [name for name in NAMES if name in survivors]
    for place, me in enumerate(living):
        beside = {living[place - 1], living[(place + 1) % len(living)]} - {me}
        links = wanted("ring", me, survivors)
        assert set(links) == beside
        assert all(me in wanted("ring", peer, survivors) for peer in links)


@given(survivors=SURVIVORS)
def test_the_hub_of_a_star_is_the_first_living(survivors: list[str]) -> None:
    """All leaves link to it and to nobody else, and it to all leaves."""
    hub, *leaves = (name for name in NAMES if name in survivors)
    assert wanted("star", hub, survivors) == tuple(leaves)
    assert all(wanted("star", leaf, survivors) == (hub,) for leaf in leaves)


async def bereaved(lab: Lab, victim: str) -> Agent:
    """``agent_1`` with its links, which has just come to suspect ``victim``; the others are played."""
    a = lab.agent("agent_1")
    for name in lab.names[1:]:
        lab.adapter(name)
    for peer in a.settings.neighbours:
        await a.mesh.link(peer, "start")
    lab.network.kill(victim)
    a.hear(News(victim, 0, alive=False))
    return a


async def test_a_dead_neighbour_is_replaced_with_its_cause(make_lab: MakeLab) -> None:
    """The dead link goes, its stand-in is connected in full, and the journal says which death it repairs."""
    async with make_lab(agent_count=6, topology="ring") as lab:
        a = await bereaved(lab, "agent_2")
        assert list(a.mesh.links) == ["agent_6"]
        await asyncio.sleep(0.1)
        assert list(a.mesh.links) == ["agent_6", "agent_3"]
        assert len(lab.network.of("connect", "agent_1", "agent_3")) == 1
        link_up, repair = a.events("link_up", "repair")[-2:]
        assert (link_up["peer"], link_up["reason"], link_up["cause"]) == ("agent_3", "repair", ["agent_2", "edge"])
        assert (repair["peer"], repair["kind"], repair["cause"]) == ("agent_3", "edge", ["agent_2", "edge"])
        assert [event["peer"] for event in a.events("link_down")] == ["agent_2"]


async def test_without_reconnect_the_dead_link_goes_and_nothing_comes(make_lab: MakeLab) -> None:
    """``reconnect: false``: no link is made, on a death or on a return."""
    async with make_lab(agent_count=6, topology="ring", recovery={"reconnect": False}) as lab:
        a = await bereaved(lab, "agent_2")
        await asyncio.sleep(1)
        del lab.network.dead["agent_2"]
        a.hear(News("agent_2", 1, alive=True))
        await asyncio.sleep(10)
        assert list(a.mesh.links) == ["agent_6"]
        assert a.events("repair") == []


async def test_a_returned_neighbour_gets_its_link_back_from_the_stand_in(make_lab: MakeLab) -> None:
    """The topology is as before; the new link names no cause, for nothing is broken."""
    async with make_lab(agent_count=6, topology="ring") as lab:
        a = await bereaved(lab, "agent_2")
        await asyncio.sleep(0.1)
        del lab.network.dead["agent_2"]
        lab.adapter("agent_2", RESTART_STEP)
        a.hear(News("agent_2", RESTART_STEP, alive=True))
        await asyncio.sleep(0.1)
        assert sorted(a.mesh.links) == ["agent_2", "agent_6"]
        assert [(event["peer"], event["reason"]) for event in a.events("link_up")][-1] == ("agent_2", "rejoin")
        assert "cause" not in a.events("link_up")[-1]


async def test_a_neighbour_that_restarts_unnoticed_is_linked_anew(make_lab: MakeLab) -> None:
    """Its death and return come in one breath: the old link goes and a new one is made by a connect of its own."""
    async with make_lab(agent_count=4) as lab:
        a = lab.agent("agent_1")
        for peer in a.settings.neighbours:
            lab.adapter(peer)
            await a.mesh.link(peer, "start")
        a.hear(News("agent_2", RESTART_STEP, alive=True))
        await asyncio.sleep(0.1)
        assert [(event["ev"], event["peer"]) for event in a.events("suspect", "alive", "link_down")] == [
            ("alive", "agent_2"),
            ("link_down", "agent_2"),
        ]
        assert "agent_2" in a.mesh.links
        assert len(lab.network.of("connect", "agent_1", "agent_2")) == 2
        assert [event["cause"] for event in a.events("repair")] == [["agent_2", "edge"]]


async def test_a_link_that_fails_is_tried_again_until_its_peer_is_suspected(make_lab: MakeLab) -> None:
    """A stand-in that turns out to be dead too is suspected by the failed attempt, and the next one takes its place."""
    async with make_lab(agent_count=6, topology="ring") as lab:
        lab.adapter("agent_3")
        lab.network.kill("agent_3")
        a = await bereaved(lab, "agent_2")
        await asyncio.sleep(0.1)
        assert [(event["peer"], event["mechanism"]) for event in a.events("suspect")] == [
            ("agent_2", "gossip"),
            ("agent_3", "request"),
        ]
        assert list(a.mesh.links) == ["agent_6", "agent_4"]
        await asyncio.sleep(1)
        assert a.recovery._linking == {}
        assert len(lab.network.of("connect", "agent_1", "agent_3")) == 1


async def test_a_peer_that_lives_but_takes_no_link_is_given_up_and_said_so(make_lab: MakeLab) -> None:
    """Bounded attempts with growing pauses, then one line in the journal."""
    async with make_lab(agent_count=6, topology="ring") as lab:
        lab.network.rejects["agent_3", "hello"] = None
        a = await bereaved(lab, "agent_2")
        await asyncio.sleep(20)
        assert len(lab.network.of("connect", "agent_1", "agent_3")) == 5
        assert [(event["peer"], event["reason"]) for event in a.events("link_failed")] == [("agent_3", "repair")]


@pytest.mark.parametrize("adopt", [True, False])
async def test_a_lost_tool_is_adopted_only_if_adoption_is_on(make_lab: MakeLab, *, adopt: bool) -> None:
    """When the last holder of a tool dies, exactly one survivor journals its adoption; or nobody, switched off."""
    async with make_lab(recovery={"adopt": adopt}) as lab:
        agents = lab.all_agents()
        await lab.link(*agents)
        lab.kill(agents[3])
        agents[0].heartbeat.doubt("agent_4", "request")
        await asyncio.sleep(1)
        adoptions = [event["tool"] for agent in agents[:3] for event in agent.events("adopt")]
        assert adoptions == (["reason"] if adopt else [])


def step(lab: Lab, candidates: Sequence[str], alive: Callable[[str], bool]) -> Step:
    """A step that these can do, for as long as they are alive; nobody wants it after 5 s."""
    return Step(
        task_id="q",
        step_id="q/search",
        tool="search",
        input={"question": "?"},
        give_up_at=lab.clock.now() + 5,
        candidates=lambda: [name for name in candidates if alive(name)],
    )


@pytest.mark.parametrize("republish", [True, False])
async def test_an_unfinished_request_is_sent_again_only_if_republishing_is_on(
    make_lab: MakeLab, *, republish: bool
) -> None:
    """A suspicion moves the request to another peer; switched off, it fails the step there and then."""
    async with make_lab(recovery={"republish": republish}) as lab:
        a = lab.agent("agent_1")
        for name in lab.names[1:]:
            lab.adapter(name)
        asked: asyncio.Future[Any] = asyncio.ensure_future(
            a.exchange.ask(step(lab, ["agent_2", "agent_3"], a.membership.is_alive))
        )
        await asyncio.sleep(0.1)
        (first,) = lab.network.sent("request")
        lab.network.kill(first.recipient)
        a.hear(News(first.recipient, 0, alive=False))
        await asyncio.sleep(0.1)
        assert len(lab.network.sent("request")) == (2 if republish else 1)
        assert asked.done() is not republish
        if not republish:
            with pytest.raises(StepFailedError, match="peer_lost"):
                await asked
        asked.cancel()
