"""Replacement links hold the survivors together: each is probed by somebody, and news find their way to all."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from random import Random

import networkx as nx
import pytest
from pydantic import JsonValue

from agent.decisions import News
from agent.links import most_links, replacements
from agent.membership import RESTART_STEP
from orchestrator.topology import neighbours, node_names
from tests.agent.lab import Lab

MakeLab = Callable[..., Lab]
SEEDS = range(400)


def survivors_links(own: Mapping[str, Sequence[str]], alive: Sequence[str]) -> "nx.DiGraph[str]":
    """Who probes whom once all agree: the links that each wants, and those that it makes in return."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(alive)
    for me in alive:
        for peer in replacements("mesh", me, own[me], tuple(own), alive):
            graph.add_edge(me, peer)
            if set(own[me]) - set(alive):
                graph.add_edge(peer, me)
    return graph


@pytest.mark.parametrize("agent_count", [8, 13, 48])
@pytest.mark.parametrize("fraction", [0.3, 0.5, 0.7])
def test_after_any_storm_everybody_is_probed_and_the_survivors_hang_together(agent_count: int, fraction: float) -> None:
    """Whoever dies: one connected graph, every survivor in it probed, and nobody's links more than doubled."""
    for seed in SEEDS:
        own = neighbours("mesh", node_names(agent_count), seed)
        dead = Random(seed).sample(sorted(own), round(fraction * agent_count))
        graph = survivors_links(own, [name for name in own if name not in dead])
        assert nx.is_strongly_connected(graph), f"seed {seed}"
        assert min(degree for _, degree in graph.in_degree()) > 0, f"seed {seed}"
        bound = most_links("mesh", own["agent_1"], tuple(own))
        assert max(degree for _, degree in graph.out_degree()) <= bound, f"seed {seed}"


def test_a_topology_of_ones_own_is_held_together_wherever_it_is_cut() -> None:
    """A tree falls apart with every inner node; whoever dies, the links that the survivors want connect them all."""
    for seed in SEEDS:
        names = node_names(14)
        tree = nx.random_labeled_tree(14, seed=seed)
        edges = [(names[one], names[other]) for one, other in tree.edges]
        own = {name: tuple(names[other] for other in tree[place]) for place, name in enumerate(names)}
        dead = Random(seed).sample(names, 1 + seed % 9)
        alive = [name for name in names if name not in dead]
        graph: nx.Graph[str] = nx.Graph()
        graph.add_nodes_from(alive)
        for me in alive:
            links = replacements("file", me, own[me], names, alive, edges)
            assert len(set(links)) == len(links)
            assert me not in links
            assert set(links) <= set(alive)
            graph.add_edges_from((me, peer) for peer in links)
        assert nx.is_connected(graph), f"seed {seed}"


async def test_agents_mend_a_topology_of_their_own(make_lab: MakeLab) -> None:
    """Two triangles that one agent joins: when it dies, each side finds the other."""
    edges = [("agent_1", "agent_2"), ("agent_2", "agent_3"), ("agent_3", "agent_4"), ("agent_4", "agent_5")]
    edges += [("agent_1", "agent_3"), ("agent_3", "agent_5")]
    async with make_lab(agent_count=5, topology="file", edges=edges) as lab:
        agents = await lab.alive()
        lab.kill(agents[2])
        await asyncio.sleep(6)
        graph: nx.Graph[str] = nx.Graph()
        for agent in agents[:2] + agents[3:]:
            graph.add_edges_from((agent.settings.node_id, peer) for peer in agent.mesh.links)
        assert sorted(graph) == ["agent_1", "agent_2", "agent_4", "agent_5"]
        assert nx.is_connected(graph)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("fraction", [0.3, 0.5])
async def test_the_agents_come_to_these_links_by_themselves(
    make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch, seed: int, fraction: float
) -> None:
    """A real storm among 24 agents ends in that graph, whatever the order in which the deaths become known."""
    own = neighbours("mesh", node_names(24), seed)
    monkeypatch.setattr("tests.agent.lab.neighbours", lambda _topology, _names, me: own[me])
    async with make_lab(agent_count=24, topology="mesh") as lab:
        agents = await lab.alive()
        await asyncio.sleep(1)
        dead = Random(seed).sample(agents, round(fraction * 24))
        for agent in dead:
            lab.kill(agent)
        await asyncio.sleep(12)
        survivors = [agent for agent in agents if agent not in dead]
        graph: nx.DiGraph[str] = nx.DiGraph()
        for agent in survivors:
            graph.add_edges_from((agent.settings.node_id, peer) for peer in agent.mesh.links)
        expected = survivors_links(own, [agent.settings.node_id for agent in survivors])
        assert sorted(graph.edges) == sorted(expected.edges)


async def test_a_link_made_in_return_is_given_back_when_the_missing_are_back(make_lab: MakeLab) -> None:
    """It lives as long as one of those is dead for whose sake the other end linked; its cause is the same death."""
    async with make_lab(agent_count=8, topology="mesh") as lab:
        agents = await lab.alive()
        lab.kill(agents[2])
        agents[0].hear(News("agent_3", 0, alive=False))
        await asyncio.sleep(0.1)
        gained = {
            agent.settings.node_id: set(agent.mesh.links) - set(agent.settings.neighbours)
            for agent in agents
            if agent is not agents[2]
        }
        bereft = [name for name in lab.names if name in agents[2].settings.neighbours]
        returned = [name for name, links in gained.items() if links and name not in bereft]
        assert returned
        for name in returned:
            ups = [event for event in lab.agents[f"{name}/0"].events("link_up") if event["reason"] == "repair"]
            assert [event["cause"] for event in ups] == [["agent_3", "edge"]] * len(gained[name])
        del lab.network.dead["agent_3"]
        for agent in agents:
            if agent is not agents[2]:
                agent.hear(News("agent_3", 1, alive=True))
        await asyncio.sleep(1)
        for agent in agents:
            if agent is not agents[2]:
                assert sorted(agent.mesh.links) == sorted(agent.settings.neighbours)


async def test_a_wrong_suspicion_costs_nobody_the_link_in_return(make_lab: MakeLab) -> None:
    """Who leans on this agent goes on probing it, and is probed again as soon as it is held for alive."""
    async with make_lab(agent_count=8, topology="mesh") as lab:
        a = lab.observer()
        a.hear(News("agent_3", 0, alive=False))
        body: dict[str, JsonValue] = {"news": [], "missing": ["agent_3"]}
        a.adapter.inbox.put_nowait(lab.message("agent_5", "agent_1", "hello", body))
        await asyncio.sleep(0.1)
        assert "agent_5" in a.mesh.links
        a.hear(News("agent_5", 0, alive=False))
        assert "agent_5" not in a.mesh.links
        a.hear(News("agent_5", 1, alive=True))
        await asyncio.sleep(0.1)
        assert "agent_5" in a.mesh.links
        # A new process says itself what it lacks.
        a.hear(News("agent_5", RESTART_STEP, alive=True))
        await asyncio.sleep(0.1)
        assert "agent_5" not in a.mesh.links


async def test_without_reconnect_no_link_is_made_in_return(make_lab: MakeLab) -> None:
    """``reconnect: false`` asks nobody for a link, and gives none to one who asks."""
    async with make_lab(agent_count=8, topology="mesh", recovery={"reconnect": False}) as lab:
        a = lab.observer()
        a.hear(News("agent_3", 0, alive=False))
        assert a.recovery.missing == ()
        body: dict[str, JsonValue] = {
            "news": [{"peer": "agent_3", "incarnation": 0, "alive": False}],
            "missing": ["agent_3"],
        }
        a.adapter.inbox.put_nowait(lab.message("agent_5", "agent_1", "hello", body))
        await asyncio.sleep(1)
        assert a.mesh.links == ()


@pytest.mark.parametrize("missing", [3, "agent_3", [3]])
async def test_a_nonsensical_want_is_dropped(make_lab: MakeLab, missing: JsonValue) -> None:
    """Garbage in a hello is journaled, and no link comes of it."""
    async with make_lab(agent_count=8, topology="mesh") as lab:
        a = lab.observer()
        body: dict[str, JsonValue] = {"news": [], "missing": missing}
        a.adapter.inbox.put_nowait(lab.message("agent_5", "agent_1", "hello", body))
        await asyncio.sleep(1)
        assert a.mesh.links == ()
        assert len(a.events("nonsense")) == 1
