"""The whole mesh in virtual time: what must hold after any storm, whatever the topology, detector and victims."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from agent.links import most_links, replacements
from agent.membership import RESTART_STEP
from tests.agent.lab import ANSWER, Lab
from tests.agent.specimen import Agent

MakeLab = Callable[..., Lab]
TASKS = {f"q{number}": number / 5 for number in range(30)}
KILL_AT_S = 2.0
END_S = 10.0


async def storm(lab: Lab, victims: tuple[int, ...], heal_s: float | None = None) -> list[Agent]:
    """Run the schedule of 6 s, kill these at 2 s, restart them ``heal_s`` later; the agents that live at the end."""
    agents = lab.all_agents()
    await lab.link(*agents)
    for agent in agents:
        lab.store(agent, arrivals_s=TASKS)
        assert agent.node._start(lab.clock.now())
    lab.beat(*agents)
    await asyncio.sleep(KILL_AT_S)
    for number in victims:
        lab.kill(agents[number - 1])
    living = [agent for place, agent in enumerate(agents, start=1) if place not in victims]
    if heal_s is not None:
        await asyncio.sleep(heal_s)
        for number in victims:
            name = lab.names[number - 1]
            del lab.network.dead[name]
            reborn = lab.agent(name, RESTART_STEP)
            await reborn.node._rejoin()
            lab.beat(reborn)
            living.append(reborn)
    await asyncio.sleep(END_S - KILL_AT_S - (heal_s or 0.0))
    return living


def journal(lab: Lab, *names: str) -> list[dict[str, Any]]:
    """These events of all agents, the dead included, in order of time."""
    files = {agent.settings.workspace: agent for agent in lab.agents.values()}
    return sorted(
        (event for agent in files.values() for event in agent.events(*names)), key=lambda event: float(event["t"])
    )


@pytest.mark.parametrize("mode", ["common", "probe"])
@pytest.mark.parametrize("topology", ["mesh", "ring", "star"])
@pytest.mark.parametrize("victims", [(1, 2), (3, 7)])
async def test_after_a_storm_all_agree_and_no_task_is_lost(
    make_lab: MakeLab, topology: str, mode: str, victims: tuple[int, ...]
) -> None:
    """The survivors suspect the victims and nobody else, hold the links they want, and answered every task, rightly."""
    async with make_lab(agent_count=8, topology=topology, detector={"mode": mode}) as lab:
        survivors = await storm(lab, victims)
        dead = tuple(lab.names[number - 1] for number in victims)
        assert {agent.membership.suspects for agent in survivors} == {dead}
        for agent in survivors:
            me, own = agent.settings.node_id, agent.settings.neighbours
            wanted = replacements(topology, me, own, lab.names, agent.membership.alive)
            assert set(wanted) <= set(agent.mesh.links)
            assert len(agent.mesh.links) <= most_links(topology, own, lab.names)
        links = {(agent.settings.node_id, peer) for agent in survivors for peer in agent.mesh.links}
        assert links == {(peer, name) for name, peer in links}  # everybody is probed by those whom it probes
        assert {event["peer"] for event in journal(lab, "suspect")} == set(dead)
        assert journal(lab, "alive") == []
        answers = journal(lab, "answer")
        assert {event["task"] for event in answers} == set(TASKS)
        assert {event["answer"] for event in answers} == {ANSWER}
        assert journal(lab, "task_failed") == []
        detection_s = max(event["t"] for event in journal(lab, "suspect")) - journal(lab, "started")[0]["t"] - KILL_AT_S
        # The hub of a star probes seven links, four a beat; a second death may show only when its link is wanted.
        assert detection_s < (2.5 if topology != "star" else 2 * 2.5) + 0.1
        repairs = journal(lab, "repair")
        assert {event["cause"][0] for event in repairs} <= set(dead)
        assert all(event["t"] > journal(lab, "suspect")[0]["t"] for event in repairs)


@pytest.mark.parametrize("topology", ["mesh", "star"])
async def test_without_a_storm_nothing_is_suspected_repeated_or_repaired(make_lab: MakeLab, topology: str) -> None:
    """The control: every task is begun and answered once, no step is done twice, no link changes."""
    async with make_lab(agent_count=8, topology=topology) as lab:
        agents = await storm(lab, ())
        assert journal(lab, "suspect", "alive", "refute", "repair", "link_down", "task_failed", "nonsense") == []
        assert Counter(event["task"] for event in journal(lab, "answer")) == Counter(list(TASKS))
        starts = Counter((event["task"], event["step"]) for event in journal(lab, "step_start"))
        assert set(starts.values()) == {1}
        assert all(event["attempt"] == 1 for event in journal(lab, "request"))
        assert len(journal(lab, "link_up")) == sum(len(agent.settings.neighbours) for agent in agents)


@pytest.mark.parametrize(
    ("topology", "mode", "heal_s", "agent_count", "victims"),
    [
        ("mesh", "common", 0.5, 8, (2, 5)),
        ("mesh", "probe", 0.5, 8, (2, 5)),
        ("star", "probe", 3.0, 8, (2, 5)),
        # A task arrives as its owner and its heir die, and both are back before anyone noticed.
        ("mesh", "probe", 0.05, 4, (3, 4)),
        # They are back while stand-ins for them are being linked.
        ("ring", "common", 0.05, 5, (1, 2, 3)),
    ],
)
async def test_restarted_victims_are_taken_back_and_no_task_is_lost(
    make_lab: MakeLab, topology: str, mode: str, heal_s: float, agent_count: int, victims: tuple[int, ...]
) -> None:
    """Noticed before or not: at the end all are alive to all, linked as at the start, and every task is answered."""
    async with make_lab(agent_count=agent_count, topology=topology, detector={"mode": mode}) as lab:
        living = await storm(lab, victims, heal_s)
        assert {agent.membership.suspects for agent in living} == {()}
        for agent in living:
            assert sorted(agent.mesh.links) == sorted(agent.settings.neighbours)
        assert {event["task"] for event in journal(lab, "answer")} == set(TASKS)
        returns = journal(lab, "alive")
        # News of a return make nobody suspect the earlier life.
        changes = [(event["node"], event["peer"], event["t"]) for event in journal(lab, "suspect", "alive")]
        assert len(set(changes)) == len(changes)
        assert {(event["peer"], event["peer_inc"]) for event in returns} == {
            (f"agent_{number}", RESTART_STEP) for number in victims
        }


@pytest.mark.parametrize("off", ["republish", "takeover", "reconnect"])
async def test_each_part_of_recovery_is_worth_something(make_lab: MakeLab, off: str) -> None:
    """Switched off, its repairs are missing, and where tasks hang on it some are not answered."""
    kinds = {"republish": "request", "takeover": "task", "reconnect": "edge"}
    async with make_lab(agent_count=8, topology="mesh", step_work_ms=150, recovery={off: False}) as lab:
        await storm(lab, (3, 7))
        missing = kinds.pop(off)
        found = {event["kind"] for event in journal(lab, "repair")}
        assert found == set(kinds.values())
        assert missing not in found
        unanswered = set(TASKS) - {event["task"] for event in journal(lab, "answer")}
        assert bool(unanswered) is (off != "reconnect")


async def test_the_same_seed_is_the_same_storm(make_lab: MakeLab) -> None:
    """Two runs leave the same journals, but for the place."""
    runs = []
    for _ in range(2):
        async with make_lab(agent_count=8, topology="mesh") as lab:
            began = lab.clock.now()
            await storm(lab, (3, 7))
            events = journal(lab)
            for agent in lab.agents.values():
                agent.settings.workspace.joinpath("journal.jsonl").unlink()
        runs.append([{**event, "t": round(event["t"] - began, 3)} for event in events])
    assert [
        {key: value for key, value in event.items() if key not in ("t0", "req", "cause", "ms")} for event in runs[0]
    ] == [{key: value for key, value in event.items() if key not in ("t0", "req", "cause", "ms")} for event in runs[1]]
