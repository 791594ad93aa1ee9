"""Where agents live: the interface, and one file per runtime."""

from collections.abc import Callable, Mapping
from typing import ClassVar, Protocol

import httpx

from agent.settings import AgentSettings
from chaos.faults import Record
from chaos.schedule import Order

_START_TIMEOUT_S = 30.0
_START_TIMEOUT_PER_AGENT_S = 1.5


class Runtime(Protocol):
    """The agents of one run, wherever they live, as the conductor sees them."""

    name: ClassVar[str]
    """What stands in the results."""
    watch_s: ClassVar[float]
    """How often to ask :meth:`ended`, seconds."""

    async def start(self, timeout_s: float) -> None:
        """Have all agents serve their admin ports; raises LabError naming the first that does not in time."""

    async def act(self, order: Order) -> None:
        """Have chaos carry out one order and journal what happened; raises FaultError when it is refused."""

    async def ended(self) -> Mapping[str, int]:
        """Agents that are not running, with the status they left: negative for a signal, else an exit code."""

    def last_words(self, node: str) -> str:
        """What an agent that gave up said of it, or where to read that."""

    async def stop(self) -> None:
        """End all agents; returns when none is left, or as few as can be."""


RuntimeFactory = Callable[[httpx.AsyncClient, Record], Runtime]
"""A client for the agents' admin ports, and where a fault's events go → the runtime."""


def start_timeout_s(agent_count: int) -> float:
    """How long the agents of a run may take to serve."""
    return _START_TIMEOUT_S + _START_TIMEOUT_PER_AGENT_S * agent_count


def admin_url(agent: AgentSettings) -> str:
    """Base address of an agent's admin port."""
    return f"http://{agent.member(agent.node_id).host}:{agent.admin_port}"
