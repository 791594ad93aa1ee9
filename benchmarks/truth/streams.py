"""Puts segments together to connections: payload in either direction, each byte once, and how they ended.

This is bookkeeping of sequence numbers (RFC 9293), no reassembly: nobody looks at the payload.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from benchmarks.truth.packets import ACK, FIN, RST, SYN, Packet

_HALF, _WHOLE = 1 << 31, 1 << 32


class Payload(NamedTuple):
    """New bytes that passed at one instant."""

    unix_s: float
    size: int


@dataclass
class Flow:
    """One direction of a connection."""

    payload: list[Payload] = field(default_factory=list)
    repeated: int = 0
    """Bytes that were sent again."""
    ended_unix_s: float | None = None
    """The first FIN or RST."""
    _first: int | None = None
    _end: int = 0
    """Where the bytes seen so far end, counted from the first one."""
    _holes: list[tuple[int, int]] = field(default_factory=list)

    @property
    def missing(self) -> int:
        """Bytes that were sent, since others follow them, but are not in the capture."""
        return sum(end - begin for begin, end in self._holes)

    def add(self, packet: Packet) -> None:
        """Take the next segment of this direction."""
        if packet.flags & (FIN | RST) and self.ended_unix_s is None:
            self.ended_unix_s = packet.unix_s
        if self._first is None:
            self._first = packet.sequence + (1 if packet.flags & SYN else 0)
        if not packet.size:
            return
        begin = self._end + _signed(packet.sequence - self._first - self._end)
        fresh = self._fill(begin, begin + packet.size)
        self.repeated += packet.size - fresh
        if fresh:
            self.payload.append(Payload(packet.unix_s, fresh))

    def _fill(self, begin: int, end: int) -> int:
        """Mark [begin, end) as seen; returns how many of these bytes are new."""
        fresh = 0
        left = []
        for hole_begin, hole_end in self._holes:
            low, high = max(begin, hole_begin), min(end, hole_end)
            if low >= high:
                left.append((hole_begin, hole_end))
                continue
            fresh += high - low
            left += [part for part in ((hole_begin, low), (high, hole_end)) if part[0] < part[1]]
        self._holes = left
        if begin > self._end:
            self._holes.append((self._end, begin))
        if end > self._end:
            fresh += end - max(begin, self._end)
            self._end = end
        return fresh


@dataclass
class Connection:
    """A TCP connection, named by the ports of its two ends."""

    client_port: int
    server_port: int
    began_unix_s: float
    upward: Flow = field(default_factory=Flow)
    """From the client to the server."""
    downward: Flow = field(default_factory=Flow)


def connections(packets: Iterable[Packet], servers: Collection[int]) -> list[Connection]:
    """The connections to the ports ``servers`` in the order of their first segment; others are passed over."""
    current: dict[tuple[int, int], Connection] = {}
    found = []
    for packet in packets:
        is_upward = packet.destination in servers
        if not is_upward and packet.source not in servers:
            continue
        ports = (packet.source, packet.destination) if is_upward else (packet.destination, packet.source)
        opens = bool(packet.flags & SYN) and not packet.flags & ACK
        if ports not in current or (opens and _is_over(current[ports])):
            current[ports] = Connection(*ports, packet.unix_s)
            found.append(current[ports])
        (current[ports].upward if is_upward else current[ports].downward).add(packet)
    return found


def _is_over(connection: Connection) -> bool:
    return connection.upward.ended_unix_s is not None or connection.downward.ended_unix_s is not None


def _signed(difference: int) -> int:
    """The difference of two sequence numbers, which wrap at 2^32, as a number around 0."""
    return (difference + _HALF) % _WHOLE - _HALF
