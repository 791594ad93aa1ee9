"""A stage for tasks: who owns which, who began what, and how to start the clock."""

from collections.abc import Callable, Iterable
from typing import Any

from agent.decisions import News
from tests.agent.lab import Lab
from tests.agent.specimen import Agent

MakeLab = Callable[..., Lab]
DEADLINE_S = 2.0
PATIENCE_S = 3 * DEADLINE_S
"""How long an owner waits for what is out of reach."""
UNNOTICED_S = 2 * 2 * 1.0 + 0.5 + 1.0
"""The detector's bound with its defaults and five to eight links, and a second."""


def owned(agent: Agent, *owners: str) -> str:
    """A task whose preference list begins with these owners."""
    return next(f"q{number}" for number in range(10_000) if agent.roles.owners(f"q{number}")[: len(owners)] == owners)


def started(agents: Iterable[Agent], *tasks: str) -> list[tuple[str, str, bool]]:
    """Who began which task, and whether as a take-over; of these tasks or of all, in order of time."""
    events = [event for agent in agents for event in agent.events("task_start")]
    events.sort(key=lambda event: float(event["t"]))
    return [
        (event["node"], event["task"], event["takeover"]) for event in events if not tasks or event["task"] in tasks
    ]


def all_events(agents: Iterable[Agent], *names: str) -> list[dict[str, Any]]:
    """These events of all these agents."""
    return [event for agent in agents for event in agent.events(*names)]


async def running(lab: Lab, arrivals_s: dict[str, float] | None = None) -> list[Agent]:
    """All agents, linked and started; the clock starts now."""
    agents = lab.all_agents()
    await lab.link(*agents)
    start(lab, agents, arrivals_s or {})
    return agents


def start(lab: Lab, agents: Iterable[Agent], arrivals_s: dict[str, float]) -> None:
    """Give these agents the document and the schedule, and the start instant: now."""
    t0 = lab.clock.now()
    for agent in agents:
        lab.store(agent, arrivals_s=arrivals_s)
        assert agent.node._start(t0)


def suspect(agents: Iterable[Agent], victim: str) -> None:
    """Let each of them believe that the victim is dead."""
    for agent in agents:
        agent.hear(News(victim, 0, alive=False))
