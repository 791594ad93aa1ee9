"""Connections of a storm as the capture saw them: between named nodes, on the journal's clock."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal, NamedTuple

from benchmarks.truth.clocks import Offset
from benchmarks.truth.owners import owner
from benchmarks.truth.recording import Port, Sighting
from benchmarks.truth.streams import Connection, Flow
from orchestrator.journal import Event

_EARLY_S, _LATE_S = 0.001, 0.2
"""The trace's clock and ours may differ by the first; a close may come so much later than the end on the wire."""


class Moved(NamedTuple):
    """Payload bytes that passed at ``at_s`` (monotonic)."""

    at_s: float
    size: int


@dataclass(frozen=True)
class Seen:
    """One connection; times are monotonic seconds, None for what did not happen."""

    client: str | None
    """The node that opened it; None when nobody saw whose it was."""
    server: str
    service: Literal["protocol", "admin"]
    ports: tuple[int, int]
    """The client's and the server's."""
    began_s: float
    upward: Sequence[Moved]
    downward: Sequence[Moved]
    client_end_s: float | None
    """The first FIN or RST that the client sent."""
    server_end_s: float | None
    repeated: int = 0
    missing: int = 0

    def moved(self) -> Iterator[Moved]:
        """Payload in both directions."""
        yield from self.upward
        yield from self.downward

    def end_of(self, node: str) -> float | None:
        """The first FIN or RST that ``node`` sent."""
        return self.server_end_s if node == self.server else self.client_end_s if node == self.client else None


def nodes_by_pid(events: Iterable[Event]) -> dict[int, str]:
    """Each agent's process, by its own word."""
    return {pid: str(event["node"]) for event in events
            if event["ev"] == "agent_start" and isinstance(pid := event.get("pid"), int)}  # fmt: skip


def seen(
    connection: Connection,
    offset: Offset,
    ports: Mapping[int, Port],
    sightings: Mapping[int, Sequence[Sighting]],
    nodes: Mapping[int, str],
) -> Seen:
    """Give a connection's ends their names and its packets the journal's clock."""
    began_s = offset.monotonic(connection.began_unix_s)
    client_end_s, server_end_s = (
        _placed(flow.ended_unix_s, offset) for flow in (connection.upward, connection.downward)
    )
    over_s = (client_end_s if client_end_s is not None else inf) + _LATE_S
    of_both = [one for one in sightings.get(connection.client_port, ()) if one.server == connection.server_port]
    pid = owner(of_both, began_s - _EARLY_S, over_s, nodes)
    server = ports[connection.server_port]
    return Seen(
        client=nodes.get(pid) if pid is not None else None,
        server=server.node,
        service=server.service,
        ports=(connection.client_port, connection.server_port),
        began_s=began_s,
        upward=_moved(connection.upward, offset),
        downward=_moved(connection.downward, offset),
        client_end_s=client_end_s,
        server_end_s=server_end_s,
        repeated=connection.upward.repeated + connection.downward.repeated,
        missing=connection.upward.missing + connection.downward.missing,
    )


def _moved(flow: Flow, offset: Offset) -> list[Moved]:
    return [Moved(offset.monotonic(payload.unix_s), payload.size) for payload in flow.payload]


def _placed(unix_s: float | None, offset: Offset) -> float | None:
    return None if unix_s is None else offset.monotonic(unix_s)
