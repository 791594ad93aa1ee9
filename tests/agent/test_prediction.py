"""Peers that become slow have their shards copied before they die; what that is worth, and what a false alarm costs."""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

import pytest

from agent.prediction import RiskLedger
from agent.replicas import Copy, copies
from tests.agent.lab import ANSWER, Lab
from tests.agent.test_replication import SHARD, begun

MakeLab = Callable[..., Lab]
NAMES = tuple(f"agent_{number}" for number in range(1, 9))


def test_two_late_probes_of_three_are_a_risk_and_two_on_time_end_it() -> None:
    """A single late one is nothing, a slow peer that was always slow is none, and a new process begins anew."""
    ledger = RiskLedger()
    assert not any(ledger.add("a", 0.002) for _ in range(10))
    assert [ledger.add("a", taken) for taken in (0.2, 0.002, 0.002)] == [False] * 3
    assert [ledger.add("a", taken) for taken in (0.2, 0.002, 0.2, 0.2)] == [False, False, True, False]
    assert list(ledger.at_risk) == ["a"]
    assert [ledger.add("a", 0.002) for _ in range(2)] == [False] * 2
    assert list(ledger.at_risk) == []
    assert not any(ledger.add("b", 0.3) for _ in range(30))
    assert not any(ledger.add("c", taken) for taken in (0.001, 0.015) * 20)  # times fifteen, but by 14 ms
    ledger.add("a", 0.2)
    ledger.forget("a")
    assert not any(ledger.add("a", 0.2) for _ in range(3))


def test_who_finds_everybody_slow_is_slow_itself() -> None:
    """Two of four late at once are two at risk, three of four are none."""
    for slow, risky in ((2, 2), (3, 0)):
        ledger = RiskLedger()
        for beat in range(14):
            for place, peer in enumerate("abcd"):
                ledger.add(peer, 0.2 if beat >= 10 and place < slow else 0.002)
        assert len(ledger.at_risk) == risky


def test_a_doubtful_holder_is_replaced_and_is_the_last_source() -> None:
    """Its shards are copied as if it were dead, from another holder, or from itself where there is no other."""
    doubted = copies([("agent_1", "agent_2")], NAMES, 2, seed=1, doubtful=["agent_1"])
    assert [(copy.source, copy.target in NAMES[2:]) for copy in doubted] == [("agent_2", True)]
    (last,) = copies([("agent_1",)], NAMES, 1, seed=1, doubtful=["agent_1"])
    assert last == Copy(0, "agent_1", last.target)
    assert last.target != "agent_1"
    assert copies([("agent_2", "agent_3")], NAMES, 2, seed=1, doubtful=["agent_1"]) == []


class Found(NamedTuple):
    """Right answers of twenty, copies made before anybody died, and bytes of the messages that made them."""

    right: int
    copied_before: int
    bytes_before: int


async def slow_then_die(lab: Lab, *, slow: bool, die: bool) -> Found:
    """The first holder of what all answers need is slow from 4 s on; it dies at 9 s, and the second 0.3 s later."""
    agents = await begun(lab, {f"q{number}": 11 + number / 5 for number in range(20)})
    await asyncio.sleep(4)
    first, second = agents[SHARD], agents[(SHARD + 1) % 8]
    if slow:
        for name in lab.names:
            lab.network.delays_s[first.settings.node_id, name] = 0.1
    await asyncio.sleep(5)
    copied = sum(len(agent.events("copied")) for agent in agents)
    moved = sum(len(one.to_json()) for kind in ("risk", "fetch", "copy", "holding") for one in lab.network.sent(kind))
    if die:
        lab.kill(first)
        await asyncio.sleep(0.3)
        lab.kill(second)
    await asyncio.sleep(14)
    answers = [event["answer"] for agent in agents for event in agent.events("answer")]
    for agent in agents:
        agent.settings.workspace.joinpath("journal.jsonl").unlink()
    return Found(answers.count(ANSWER), copied, moved)


@pytest.mark.parametrize(
    ("slow", "die", "predict", "right", "is_copied"),
    [
        (True, True, True, 20, True),
        (True, True, False, 0, False),
        (False, True, True, 0, False),  # nothing announces a sudden death
        (True, False, True, 20, True),  # a false alarm: copies for nothing
    ],
)
async def test_what_prediction_is_worth(
    make_lab: MakeLab, *, slow: bool, die: bool, predict: bool, right: int, is_copied: bool
) -> None:
    """Slow, then dead together with the other holder: only with prediction do the fragments survive."""
    wishes = {"detector": {"interval_s": 0.5, "timeout_s": 0.4}, "recovery": {"replicate": True, "predict": predict}}
    async with make_lab(agent_count=8, topology="mesh", **wishes) as lab:
        found = await slow_then_die(lab, slow=slow, die=die)
        assert found.right == right
        assert (found.copied_before > 0, found.bytes_before > 0) == (is_copied, is_copied)
        # The slow peer held two shards, and each was copied once, however many noticed.
        assert found.copied_before in (0, 2)
