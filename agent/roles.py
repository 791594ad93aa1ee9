"""Who can do what: tool holders, adoption, and task owners, by rules that every survivor computes alike."""

from collections.abc import Callable, Sequence

from agent.journal import Journal
from agent.ranking import owners, rank
from agent.settings import AgentSettings

LOOKUP = "lookup"
"""What every agent does besides its one tool: read a fragment out of its own shards."""


class Roles:
    """The division of labour among the agents that are held for alive."""

    def __init__(self, settings: AgentSettings, alive_peers: Callable[[], Sequence[str]], journal: Journal) -> None:
        self.me = settings.node_id
        self._seed = settings.seed
        self._adopts = settings.recovery.adopt
        self._roster = tuple(member.node_id for member in settings.roster)
        self._tools = {member.node_id: member.tool for member in settings.roster}
        self._alive_peers = alive_peers
        self._journal = journal
        self._adopted: tuple[str, ...] = ()

    def alive(self) -> tuple[str, ...]:
        """All agents held for alive, this one among them, in roster order."""
        peers = frozenset(self._alive_peers())
        return tuple(name for name in self._roster if name == self.me or name in peers)

    def holders(self, tool: str) -> tuple[str, ...]:
        """Live agents that have ``tool``; when there is none, the one that adopts it; empty if adoption is off."""
        alive = self.alive()
        native = tuple(name for name in alive if self._tools[name] == tool)
        if native or not self._adopts:
            return native
        return rank(f"{self._seed}|adopt|{tool}", alive)[:1]

    def can(self, tool: str) -> bool:
        """Whether this agent serves ``tool`` now."""
        return tool in (LOOKUP, self._tools[self.me]) or self.me in self.holders(tool)

    def review_adoption(self, tools: Sequence[str]) -> None:
        """Journal which tools this agent has begun, or ceased, to stand in for."""
        adopted = tuple(tool for tool in tools if self._tools[self.me] != tool and self.me in self.holders(tool))
        for tool in adopted:
            if tool not in self._adopted:
                self._journal.append("adopt", tool=tool)
        for tool in self._adopted:
            if tool not in adopted:
                self._journal.append("unadopt", tool=tool)
        self._adopted = adopted

    def owners(self, task: str) -> tuple[str, ...]:
        """The preference list of a task's owners, over the whole roster."""
        return owners(self._seed, task, self._roster)

    def order(self, step: str, candidates: Sequence[str], links: Sequence[str]) -> list[str]:
        """Candidates by preference: this agent itself, then warm links, then the rest; seeded by the step within each.

        A message to a peer without a warm link costs a whole connect, so a neighbour that can do it goes first.
        """
        ranked = rank(f"{self._seed}|step|{step}", candidates)
        distance = dict.fromkeys(ranked, 2) | dict.fromkeys(links, 1) | {self.me: 0}
        return sorted(ranked, key=lambda name: distance[name])
