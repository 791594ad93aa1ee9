"""An agent finds fragments by what they say in every shard that somebody alive holds."""

import asyncio
from collections.abc import Callable

from agent.decisions import News
from agent.errand import Step
from agent.library import StepLibrary
from agent.tools.contract import Library
from agent.tools.retrieval import ShardIndex
from tests.agent.lab import FRAGMENTS, Lab
from tests.agent.specimen import Agent

MakeLab = Callable[..., Lab]
QUERY = " ".join(fragment.title for fragment in FRAGMENTS)


def library(lab: Lab, agent: Agent, patience_s: float = 5.0) -> StepLibrary:
    """The document as one step of this agent sees it."""
    step = Step("q", "q/search", "search", {}, lab.clock.now() + patience_s, tuple)
    return StepLibrary(agent.worker.shelves, agent.worker._reasoner, step)


async def test_a_search_over_the_mesh_finds_what_one_index_over_all_finds(make_lab: MakeLab) -> None:
    """Every shard is asked, each once, and its own are read at home."""
    async with make_lab(agent_count=6) as lab:
        agents = lab.all_agents()
        lab.store(*agents)
        found = await library(lab, agents[0]).find(QUERY, len(FRAGMENTS))
        alone = ShardIndex(FRAGMENTS).find(QUERY, len(FRAGMENTS))
        assert {one.title for one in found} == {hit.fragment.title for hit in alone} == {f.title for f in FRAGMENTS}
        asked = 6 - len(agents[0].worker.shelves.store.shards)
        assert len(lab.network.sent("request")) == asked
        assert isinstance(library(lab, agents[0]), Library)


async def test_a_shard_that_nobody_alive_holds_is_left_out_at_once(make_lab: MakeLab) -> None:
    """The others' fragments are found all the same, and nobody waits for the dead."""
    async with make_lab(agent_count=6) as lab:
        agents = lab.all_agents()
        lab.store(*agents)
        asker = agents[0]
        home = next(s for s in range(6) if s not in asker.worker.shelves.store.shards)
        dead = asker.worker.shelves.placement[home]
        for agent in agents:
            if agent.settings.node_id in dead:
                lab.kill(agent)
                asker.hear(News(agent.settings.node_id, 0, alive=False))
        began = lab.clock.now()
        found = {one.title for one in await library(lab, asker).find(QUERY, len(FRAGMENTS))}
        assert lab.clock.now() - began < 1.0
        lost = {f.title for f in FRAGMENTS if not asker.worker.shelves.within_reach(f.title)}
        assert found == {fragment.title for fragment in FRAGMENTS} - lost


async def test_a_query_for_a_shard_that_is_elsewhere_is_refused(make_lab: MakeLab) -> None:
    """Views may differ for a moment; the asker turns to another holder."""
    async with make_lab(agent_count=6) as lab:
        agent = lab.agent("agent_1")
        lab.store(agent)
        away = next(s for s in range(6) if s not in agent.worker.shelves.store.shards)
        step = Step("q", "q/x", "lookup", {"query": "x", "shard": away, "limit": 3}, lab.clock.now() + 1, tuple)
        assert await agent.worker.execute(step, "r") == {"ok": False, "error": "refused"}
        nonsense = Step("q", "q/x", "lookup", {"query": 7}, lab.clock.now() + 1, tuple)
        assert await agent.worker.execute(nonsense, "r") == {"ok": False, "error": "refused"}
        await asyncio.sleep(0)
