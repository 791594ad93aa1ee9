"""One agent under test, all its parts within reach."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from agent.decisions import News
from agent.exchange import Exchange
from agent.heartbeat import HeartbeatMonitor
from agent.membership import Membership
from agent.mesh import MeshNetwork
from agent.node import Node
from agent.recovery import RecoveryHandler
from agent.roles import Roles
from agent.settings import AgentSettings
from agent.tasks import TaskOwner
from agent.worker import Worker
from tests.agent.memory_net import MemoryAdapter


@dataclass
class Agent:
    """One agent under test, its parts by name."""

    node: Node
    adapter: MemoryAdapter
    settings: AgentSettings
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def mesh(self) -> MeshNetwork:
        """Its links."""
        return self.node._mesh

    @property
    def heartbeat(self) -> HeartbeatMonitor:
        """Its failure detector's shell."""
        return self.node._heartbeat

    @property
    def membership(self) -> Membership:
        """Its view of the living."""
        return self.heartbeat._membership

    @property
    def recovery(self) -> RecoveryHandler:
        """What it does about deaths."""
        found = self.heartbeat.recovery
        assert isinstance(found, RecoveryHandler)
        return found

    @property
    def roles(self) -> Roles:
        """Who does what, as it sees it."""
        return self.node._roles

    @property
    def worker(self) -> Worker:
        """Its worker."""
        return self.node._worker

    @property
    def exchange(self) -> Exchange:
        """Its open requests."""
        return self.worker._exchange

    @property
    def owner(self) -> TaskOwner:
        """Its tasks."""
        return self.node._tasks

    def events(self, *names: str) -> list[dict[str, Any]]:
        """Its journal so far, all of it or the events of these names."""
        lines = self.settings.workspace.joinpath("journal.jsonl").read_text().splitlines()
        return [event for event in map(json.loads, lines) if not names or event["ev"] in names]

    def hear(self, *news: News) -> None:
        """Tell it this, as a peer would, and have it act on it."""
        self.heartbeat._carry_out(self.membership.told(news, self.node._clock.now()))

    def changes(self, *names: str) -> list[tuple[str, str, int, str]]:
        """Its suspicions, their ends, or both: event, peer, incarnation, mechanism."""
        events = self.events(*(names or ("suspect", "alive")))
        return [(event["ev"], event["peer"], event["peer_inc"], event["mechanism"]) for event in events]
