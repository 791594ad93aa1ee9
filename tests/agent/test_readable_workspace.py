"""A person finds in an agent's own folder what became of each task, on what evidence, and who told it what."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest

from agent.fragments import shard_of
from agent.tools import TOOLS
from tests.agent.lab import ANSWER, Lab
from tests.agent.owning import PATIENCE_S, all_events, owned, running, start, suspect
from tests.agent.specimen import Agent

MakeLab = Callable[..., Lab]


def kept(agent: Agent, name: str) -> list[dict[str, Any]]:
    """The lines of one file of the agent's folder."""
    path = agent.settings.workspace / name
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


async def test_each_task_has_its_evidence_trail(make_lab: MakeLab) -> None:
    """Question, what each step found and who did it, and the end; the answer stands beside with its fragments."""
    async with make_lab(agent_count=8) as lab:
        agents = await running(lab, {f"q{number}": 0.1 for number in range(20)})
        await asyncio.sleep(2)
        for agent in agents:
            trails: dict[str, list[dict[str, Any]]] = defaultdict(list)
            for line in kept(agent, "tasks.jsonl"):
                trails[line["task"]].append(line)
            answers = {line["task"]: line for line in kept(agent, "answers.jsonl")}
            assert set(trails) == set(answers)
            done = {(event["step"], event["req"]) for one in agents for event in one.events("step_done")}
            for task, (begin, *steps, end) in trails.items():
                assert begin["question"] == answers[task]["question"]
                assert [line["step"] for line in steps] == list(TOOLS)
                assert [line["at_s"] for line in (begin, *steps, end)] == sorted(line["at_s"] for line in trails[task])
                assert end["end"] == "answered"
                search, extract, triple, reason = steps
                assert [one.split()[0] for one in search["fragments"]] == ["f-1", "f-2"]
                assert {one["fragment_id"] for one in extract["sentences"]} == {"f-1", "f-2"}
                assert [one for one in reason["chain"] if one not in triple["triples"]] == []
                assert reason["answer"] == answers[task]["answer"] == ANSWER
                assert answers[task]["fragments"] == ["f-1", "f-2"]
                requests = {event["step"]: event for event in agent.events("request")}
                for line in steps:
                    name = f"{task}/{line['step']}"
                    assert line["by"] == requests[name]["peer"]
                    assert (name, requests[name]["req"]) in done


async def test_messages_of_both_ends_fit_together(make_lab: MakeLab) -> None:
    """What one agent notes as sent another notes as received, and a result names the request that it answers."""
    async with make_lab(agent_count=8) as lab:
        agents = await running(lab, {f"q{number}": 0.1 for number in range(20)})
        await asyncio.sleep(2)
        notes = {agent.settings.node_id: kept(agent, "messages.jsonl") for agent in agents}
        sent = {(node, one["peer"], one["id"]) for node, all_ in notes.items() for one in all_ if one["way"] == "sent"}
        got = {
            (one["peer"], node, one["id"]) for node, all_ in notes.items() for one in all_ if one["way"] == "received"
        }
        assert sent == got
        requests = {one["id"]: one for all_ in notes.values() for one in all_ if one["kind"] == "request"}
        results = [
            one for all_ in notes.values() for one in all_ if one["kind"] == "result" and one["way"] == "received"
        ]
        assert len(results) >= 40
        assert {one["tool"] for one in requests.values()} >= set(TOOLS)
        assert all(one["ok"] and one["in_reply_to"] in requests for one in results)


@pytest.mark.parametrize("fault", ["kill", "freeze"])
async def test_a_message_to_the_dead_and_a_failed_task_are_told(make_lab: MakeLab, fault: str) -> None:
    """A message that nobody acknowledged, or waits for any more, has failed; a task given up says why.

    Who is frozen may come back: a task that needs it is not given up, and has no end yet.
    """
    async with make_lab(agent_count=8, replication=1) as lab:
        agents = await running(lab)
        (holder,) = agents[0].worker.shelves.placement[shard_of("Mira Holt", 8)]
        living = [agent for agent in agents if agent.settings.node_id != holder]
        task = owned(agents[0], living[0].settings.node_id)
        if fault == "kill":
            lab.kill(next(agent for agent in agents if agent.settings.node_id == holder))
        else:
            lab.network.freeze(holder)
        start(lab, living, {task: 0.1})
        await asyncio.sleep(0.5)
        suspect(living, holder)
        await asyncio.sleep(PATIENCE_S + 1)
        failed = [one for agent in living for one in kept(agent, "messages.jsonl") if one["way"] == "failed"]
        assert ("request", holder) in {(one["kind"], one["peer"]) for one in failed}
        reasons = [f"failed: {event['reason']}" for event in all_events(living, "task_failed")]
        assert [line["end"] for line in kept(living[0], "tasks.jsonl") if "end" in line] == reasons
        assert len(reasons) == (fault == "kill")
