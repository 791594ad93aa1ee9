"""Keeps the count of payload bytes: which class and peer each falls under.

An exchange belongs to the class that its initiator's policy has set with :func:`classify` when the first bytes of
the request leave. The connection keeps that tag, so the bytes of the answer, and the bytes which the event loop sends
later from a full buffer, fall under it too. A server learns class and peer when the message has been read
(:func:`attribute`); bytes that came before wait until then. What no message ever explains - a request for something
that is not here, noise, a connection cut before its first request could be read - is ``stray``.
"""

import asyncio
import threading
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from protocols.clock import Clock, MonotonicClock
from protocols.message import Traffic

Role = Literal["client", "server"]
Row = tuple[Role, str | None, str, int, int]
"""(role, peer, class, bytes sent, bytes received)."""

_traffic: ContextVar[Traffic] = ContextVar("traffic", default=Traffic.UNCLASSIFIED)
_peer: ContextVar[str | None] = ContextVar("peer", default=None)
_inbound: ContextVar["Tally | None"] = ContextVar("inbound", default=None)
_carrier: ContextVar["Carrier | None"] = ContextVar("carrier", default=None)


class End(NamedTuple):
    """The other side ended a connection: its FIN or RST was read at our socket."""

    at_s: float
    """Monotonic seconds."""
    own_port: int
    peer_port: int


@contextmanager
def classify(traffic: Traffic, peer: str) -> Iterator[None]:
    """Every byte sent to, and answered by, ``peer`` inside the block belongs to ``traffic``."""
    before = _traffic.set(traffic), _peer.set(peer)
    try:
        yield
    finally:
        _traffic.reset(before[0])
        _peer.reset(before[1])


def attribute(traffic: Traffic, peer: str | None) -> None:
    """Tell whose request of which class the connection being served carries; no-op outside a served request."""
    tally = _inbound.get()
    if tally is not None:
        tally.tag(traffic, peer)


@contextmanager
def serving(tally: "Tally") -> Iterator[None]:
    """Inside the block :func:`attribute` speaks of the connection of ``tally``."""
    token = _inbound.set(tally)
    try:
        yield
    finally:
        _inbound.reset(token)


@dataclass
class Carrier:
    """The connection on which a block, or a task that it made, has sent its last request."""

    tally: "Tally | None" = None

    @property
    def end(self) -> End | None:
        """How the other side ended it; None as long as it has not."""
        return self.tally.end if self.tally is not None else None


@contextmanager
def carried() -> Iterator[Carrier]:
    """Find out which connection carries what the block sends, whatever SDK sends it."""
    carrier = Carrier()
    token = _carrier.set(carrier)
    try:
        yield carrier
    finally:
        _carrier.reset(token)


def served() -> "Tally | None":
    """The tally of the connection whose request is being served here."""
    return _inbound.get()


def current() -> tuple[Traffic, str | None]:
    """Class and peer that :func:`classify` has set here."""
    return _traffic.get(), _peer.get()


@dataclass
class ByteCounter:
    """All bytes of one process, accumulated until they are drained."""

    _rows: dict[tuple[Role, str | None, Traffic], list[int]] = field(default_factory=dict)
    _served: MutableMapping[tuple[str, int], "Tally"] = field(default_factory=dict)
    _adding: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)
    """A synchronous SDK moves its bytes in threads of its own."""
    clock: Clock = field(default_factory=MonotonicClock, repr=False, compare=False)
    """Tells when a connection was seen to end."""

    def add(self, role: Role, peer: str | None, traffic: Traffic, sent: int, received: int) -> None:
        """Count bytes of one exchange; from any thread."""
        with self._adding:
            row = self._rows.setdefault((role, peer, traffic), [0, 0])
            row[0] += sent
            row[1] += received

    def drain(self) -> list[Row]:
        """The rows since the last call, in a stable order; none if nothing moved."""
        with self._adding:
            rows, self._rows = self._rows, {}
        ordered = sorted(rows.items(), key=lambda item: (item[0][0], item[0][1] or "", item[0][2]))
        return [(role, peer, str(traffic), row[0], row[1]) for (role, peer, traffic), row in ordered]

    def accepted(self, address: tuple[str, int], tally: "Tally") -> None:
        """Remember the tally of an accepted connection by its client's address."""
        self._served[address] = tally

    def closed(self, address: tuple[str, int]) -> None:
        """Forget a connection."""
        self._served.pop(address, None)

    def serving(self, address: tuple[str, int]) -> "Tally | None":
        """The tally of the connection from ``address``."""
        return self._served.get(address)


class Tally:
    """The bytes of one connection and the tags they fall under, one for each direction."""

    def __init__(self, counter: ByteCounter, role: Role, ports: tuple[int, int] = (0, 0)) -> None:
        """``ports``: our own and the other side's."""
        self.end: End | None = None
        self._ports = ports
        self._counter = counter
        self._role: Role = role
        self._peer: str | None = None
        self._last = Traffic.UNCLASSIFIED
        self._open = [True, True]
        """Whether bytes sent, received are still without a tag."""
        self._waiting = [0, 0]

    def tag(self, traffic: Traffic, peer: str | None) -> None:
        """From now on bytes fall under this tag; so do those that waited for one.

        A peer once known stays known: calls that name no sender (a probe) come over its connections too.
        """
        self._last = traffic
        self._peer = peer or self._peer
        self._open = [False, False]
        if any(self._waiting):
            self._counter.add(self._role, self._peer, traffic, *self._waiting)
            self._waiting = [0, 0]

    def assume(self, traffic: Traffic, peer: str | None = None) -> None:
        """Bytes for which nobody ever names a class fall under this tag."""
        self._last, self._peer = traffic, peer

    def asked(self) -> None:
        """A request is about to be read: its bytes, and those of its answer, wait for its own tag."""
        self._open = [True, True]

    def answered(self) -> None:
        """The answer is out: what arrives next belongs to a request not yet read."""
        if self._open[0]:
            self.tag(Traffic.STRAY, None)
        self._open[1] = True

    def close(self) -> None:
        """A request cut before it could be read falls under the class of the connection's last exchange."""
        if any(self._waiting):
            self.tag(self._last, None)

    def sent(self, count: int) -> None:
        """Count ``count`` bytes handed to the kernel.

        A client's tag is renewed whenever one of the caller's own tasks sends; a send from the loop itself (no
        current task) flushes an earlier one and keeps the tag.
        """
        if self._role == "client" and _running_in_task():
            self.tag(*current())
            carrier = _carrier.get()
            if carrier is not None:
                carrier.tally = self
        self._count(count, 0)

    def ended(self) -> None:
        """The other side's FIN or RST was read just now; the first one counts."""
        if self.end is None:
            self.end = End(self._counter.clock.now(), *self._ports)

    def received(self, count: int) -> None:
        """Count ``count`` bytes taken from the kernel."""
        self._count(0, count)

    def _count(self, sent: int, received: int) -> None:
        if not sent and not received:
            return
        if self._open[0 if sent else 1]:
            self._waiting[0] += sent
            self._waiting[1] += received
        else:
            self._counter.add(self._role, self._peer, self._last, sent, received)


def _running_in_task() -> bool:
    try:
        return asyncio.current_task() is not None
    except RuntimeError:  # a plain thread of a synchronous SDK: the caller's own context
        return True
