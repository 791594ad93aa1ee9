"""Retries are bounded and kept apart: the bucket by its arithmetic, and in a mesh whose workers all refuse."""

import asyncio
from collections.abc import Callable
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from agent.retries import RETRIES_PER_S, RETRIES_PER_SUCCESS, Backoff, RetryBudget
from tests.agent.lab import Lab

MakeLab = Callable[..., Lab]
ACTS = st.lists(st.tuples(st.booleans(), st.floats(0, 3, allow_nan=False)), max_size=200)


@given(ACTS)
def test_the_budget_is_never_overdrawn(acts: list[tuple[bool, float]]) -> None:
    """Whatever succeeds and whenever is asked: at most ten, a share of the successes, and what time brings."""
    budget, now, earned, spent = RetryBudget(RETRIES_PER_SUCCESS, RETRIES_PER_S), 0.0, 0, 0
    for succeeded, pause_s in acts:
        now += pause_s
        if succeeded:
            budget.earn()
            earned += 1
        else:
            spent += budget.spend(now)
        assert spent <= 10 + RETRIES_PER_SUCCESS * earned + RETRIES_PER_S * now + 1e-6


def test_an_empty_bucket_fills_with_time_up_to_ten() -> None:
    """Nobody waits for ever, and a long calm saves nothing up."""
    budget = RetryBudget(0.1, 0.5)
    assert [budget.spend(0.0) for _ in range(11)] == [True] * 10 + [False]
    assert [budget.spend(1.9), budget.spend(2.0), budget.spend(2.0)] == [False, True, False]
    assert sum(budget.spend(1000.0) for _ in range(50)) == 10
    assert all(RetryBudget(0.1, enforced=False).spend(0.0) for _ in range(50))


def test_pauses_double_to_a_bound_and_are_cut_by_chance() -> None:
    """Each lies between half and the whole of 0.1, 0.2, 0.4, 0.4 s, and no two agents pause alike."""
    backoffs = [Backoff(0.1, 0.4, Random(seed)) for seed in (1, 2)]
    drawn = [[backoff.next_s() for _ in range(4)] for backoff in backoffs]
    for pauses in drawn:
        assert all(whole / 2 <= pause <= whole for pause, whole in zip(pauses, (0.1, 0.2, 0.4, 0.4), strict=True))
    assert drawn[0] != drawn[1]


async def refused(lab: Lab) -> tuple[list[int], list[float], int]:
    """Requests to half of the agents fail for 6 s: each agent's retries, what its budget allows, all answers."""
    agents = lab.all_agents()
    await lab.link(*agents)
    lab.store(*agents, arrivals_s={f"q{number}": number / 20 for number in range(120)})
    for agent in agents:
        assert agent.node._start(lab.clock.now())
    for name in lab.names[4:]:
        lab.network.rejects[name, "request"] = None
    await asyncio.sleep(6)
    lab.network.rejects.clear()
    await asyncio.sleep(10)
    attempts = [[line["attempt"] for line in agent.events("request")] for agent in agents]
    retries = [sum(attempt > 1 for attempt in made) for made in attempts]
    allowed = [10 + RETRIES_PER_SUCCESS * made.count(1) + RETRIES_PER_S * 16 for made in attempts]
    return retries, allowed, sum(len(agent.events("answer")) for agent in agents)


async def test_a_mesh_that_is_refused_does_not_storm(make_lab: MakeLab) -> None:
    """Each agent's retries stay within the budget, and are less than half of those without; most answers come still."""
    found = {}
    for enforced in (True, False):
        async with make_lab(agent_count=8, topology="mesh", recovery={"retry_budget": enforced}) as lab:
            found[enforced] = await refused(lab)
            for agent in lab.agents.values():
                agent.settings.workspace.joinpath("journal.jsonl").unlink()
    retries, allowed, answers = found[True]
    assert all(made <= most for made, most in zip(retries, allowed, strict=True))
    assert sum(found[False][0]) > 2 * sum(retries)
    assert answers >= 0.85 * found[False][2]
