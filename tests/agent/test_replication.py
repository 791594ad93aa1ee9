"""Shards with too few live holders are copied, by a rule that all compute alike; what a restart has lost comes back."""

import asyncio
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.fragments import Fragment, shard_of
from agent.membership import RESTART_STEP
from agent.replicas import copies
from protocols.message import Traffic
from tests.agent.lab import ANSWER, FRAGMENTS, Lab
from tests.agent.specimen import Agent

MakeLab = Callable[..., Lab]
NAMES = tuple(f"agent_{number}" for number in range(1, 9))
SHARD = shard_of(FRAGMENTS[1].title, len(NAMES))
"""Of the fragment that every answer needs; the lab puts it on this agent and the next."""


@given(alive=st.lists(st.sampled_from(NAMES), unique=True), replication=st.integers(1, 4), seed=st.integers(0, 99))
def test_the_copies_restore_every_shard_that_is_not_lost(alive: list[str], replication: int, seed: int) -> None:
    """Afterwards each has as many live holders as it should, or all the living; nothing is fetched from the dead."""
    living = [name for name in NAMES if name in alive]
    rng = Random(seed)
    holders = [rng.sample(NAMES, replication) for _ in range(8)]
    planned = copies(holders, living, replication, seed)
    for shard, names in enumerate(holders):
        before = [name for name in names if name in living]
        mine = [copy for copy in planned if copy.shard == shard]
        after = {*before, *(copy.target for copy in mine)}
        assert len(after) == len(before) + len(mine) == (min(replication, len(living)) if before else 0)
        assert all(copy.source in before and copy.target in living for copy in mine)


async def begun(lab: Lab, tasks: dict[str, float]) -> list[Agent]:
    """All agents of the roster, with the document, beating; the clock starts now."""
    agents = lab.all_agents()
    await lab.link(*agents)
    lab.store(*agents, arrivals_s=tasks)
    for agent in agents:
        assert agent.node._start(lab.clock.now())
    lab.beat(*agents)
    return agents


def answered(lab: Lab) -> dict[str, str | None]:
    """Every answer there is, by task."""
    return {event["task"]: event["answer"] for agent in lab.agents.values() for event in agent.events("answer")}


@pytest.mark.parametrize("replicate", [True, False])
async def test_a_second_storm_finds_the_fragments_copied(make_lab: MakeLab, *, replicate: bool) -> None:
    """Both first holders die 5 s apart: with replication the later tasks are answered, without it none is."""
    tasks = {f"q{number}": 8 + number / 5 for number in range(20)}
    async with make_lab(agent_count=8, topology="mesh", recovery={"replicate": replicate}) as lab:
        agents = await begun(lab, tasks)
        await asyncio.sleep(1)
        lab.kill(agents[SHARD])
        await asyncio.sleep(5)
        lab.kill(agents[(SHARD + 1) % 8])
        await asyncio.sleep(16)
        right = [task for task, answer in answered(lab).items() if answer == ANSWER]
        assert len(right) == (len(tasks) if replicate else 0)
        survivors = [agent for place, agent in enumerate(agents) if place not in (SHARD, (SHARD + 1) % 8)]
        alive = [agent.settings.node_id for agent in survivors]
        copied = [event for agent in survivors for event in agent.events("copied")]
        assert bool(copied) is replicate
        assert [event for agent in agents for event in agent.events("copy_failed")] == []
        for agent in survivors:
            holders = agent.worker.shelves.holders()
            assert (
                all(sum(name in alive for name in names) == 2 for shard, names in enumerate(holders)) is replicate
            )  # as every survivor sees it
        said = [message for kind in ("fetch", "copy", "holding") for message in lab.network.sent(kind)]
        assert {message.traffic for message in said} == ({Traffic.RESUME} if replicate else set())


async def test_a_death_that_is_taken_back_copies_nothing(make_lab: MakeLab) -> None:
    """A peer that is frozen for a little longer than the detector's patience is not replaced as a holder."""
    async with make_lab(agent_count=8, topology="mesh", detector={"interval_s": 0.2, "timeout_s": 0.1}) as lab:
        agents = await begun(lab, {})
        await asyncio.sleep(1)
        lab.network.freeze("agent_3")
        await asyncio.sleep(0.8)
        lab.network.thaw("agent_3")
        await asyncio.sleep(5)
        assert any(agent.events("suspect") for agent in agents)
        assert [event for agent in agents for event in agent.events("copied", "copy_failed")] == []


async def test_copies_keep_to_their_rate(make_lab: MakeLab) -> None:
    """A shard of 200 kB comes in parts, and at 100 kB/s not under two seconds less the last part."""
    async with make_lab(
        agent_count=8, topology="mesh", recovery={"replicate": True, "replicate_bytes_per_s": 100_000}
    ) as lab:
        agents = await begun(lab, {})
        titles = [title for title in (f"t{number}" for number in range(10_000)) if shard_of(title, 8) == SHARD][:100]
        large = [Fragment(fragment_id=title, title=title, text="x" * 2000) for title in titles]
        for place in (SHARD, (SHARD + 1) % 8):
            agents[place].worker.shelves.store.store(SHARD, large)
        await asyncio.sleep(1)
        lab.kill(agents[SHARD])
        await asyncio.sleep(8)
        (copied,) = [event for agent in agents for event in agent.events("copied") if event["shard"] == SHARD]
        assert copied["fragments"] == 100
        assert 1300 < copied["ms"] < 2500
        (target,) = [agent for agent in agents if agent.settings.node_id == copied["node"]]
        assert target.worker.shelves.store.fragments_of(SHARD) == tuple(large)


@pytest.mark.parametrize("replicate", [True, False])
async def test_a_restart_with_an_empty_workspace_gets_everything_back(make_lab: MakeLab, *, replicate: bool) -> None:
    """Schedule, placement and its own shards come from the others, and it owns tasks again; or, switched off, not."""
    tasks = {f"q{number}": 6 + number / 5 for number in range(40)}
    async with make_lab(agent_count=8, topology="mesh", recovery={"replicate": replicate}) as lab:
        agents = await begun(lab, tasks)
        await asyncio.sleep(1)
        victim = agents[SHARD]
        held = victim.worker.shelves.store.shards
        lab.kill(victim)
        await asyncio.sleep(0.3)
        for name in ("broadcast.json", "start.json"):
            victim.settings.workspace.joinpath(name).unlink()
        del lab.network.dead[victim.settings.node_id]
        reborn = lab.agent(victim.settings.node_id, RESTART_STEP)
        await reborn.node._rejoin()
        lab.beat(reborn)
        await asyncio.sleep(16)
        assert (reborn.worker.shelves.store.shards == held) is replicate
        assert bool([event for event in reborn.events("task_start") if event["inc"] == RESTART_STEP]) is replicate
        if replicate:
            assert set(answered(lab).values()) == {ANSWER}
            assert len(answered(lab)) == len(tasks)
            # Its next life would find them again.
            assert reborn.node._workspace.earlier_life() is not None


@pytest.mark.parametrize("body", [{}, {"holder": 3, "shards": []}, {"holder": "agent_2", "shards": "all"}])
async def test_nonsense_about_holdings_is_dropped(make_lab: MakeLab, body: dict[str, object]) -> None:
    """Journaled, and the placement stays; a shard that does not exist is no news either."""
    async with make_lab(agent_count=4) as lab:
        a = lab.observer()
        lab.store(a)
        before = a.worker.shelves.holders()
        a.adapter.inbox.put_nowait(lab.message("agent_2", "agent_1", "holding", body))  # type: ignore[arg-type]
        a.adapter.inbox.put_nowait(lab.message("agent_2", "agent_1", "holding", {"holder": "agent_2", "shards": [99]}))
        a.adapter.inbox.put_nowait(lab.message("agent_2", "agent_1", "fetch", {"shard": 99, "part": -1}))
        await asyncio.sleep(0.1)
        assert a.worker.shelves.holders() == before
        assert len(a.events("nonsense")) == 1
