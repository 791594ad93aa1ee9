"""Counts every payload byte at the socket, by class and peer, below all SDKs.

An exchange belongs to the class that its initiator's policy has set with :func:`classify` when the first bytes of
the request leave. The connection keeps that tag, so the bytes of the answer, and the bytes which the event loop sends
later from a full buffer, fall under it too. A server learns class and peer when the message has been read
(:func:`attribute`); bytes that came before wait until then. Adapters never see any of this.
"""

import asyncio
import socket
import threading
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal, Self
from weakref import WeakSet

from protocols import names
from protocols.message import Traffic

Role = Literal["client", "server"]
Row = tuple[Role, str | None, str, int, int]
"""(role, peer, class, bytes sent, bytes received)."""

_traffic: ContextVar[Traffic] = ContextVar("traffic", default=Traffic.UNCLASSIFIED)
_peer: ContextVar[str | None] = ContextVar("peer", default=None)
_inbound: ContextVar["Tally | None"] = ContextVar("inbound", default=None)

_LISTEN_BACKLOG = 512
_DIALLING_OPTIONS = ("family", "proto", "flags", "local_addr", "happy_eyeballs_delay", "interleave", "all_errors")


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


@dataclass
class ByteCounter:
    """All bytes of one process, accumulated until they are drained."""

    _rows: dict[tuple[Role, str | None, Traffic], list[int]] = field(default_factory=dict)
    _served: MutableMapping[tuple[str, int], "Tally"] = field(default_factory=dict)
    _adding: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)
    """A synchronous SDK moves its bytes in threads of its own."""

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

    def __init__(self, counter: ByteCounter, role: Role) -> None:
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

    def answered(self) -> None:
        """The answer is out: what arrives next belongs to a request not yet read."""
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
            self.tag(_traffic.get(), _peer.get())
        self._count(count, 0)

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


class CountingSocket(socket.socket):
    """A stream socket that reports every byte it moves to its :class:`Tally`."""

    tally: Tally
    counter: ByteCounter
    client_address: tuple[str, int] | None = None

    @classmethod
    def wrap(cls, plain: socket.socket, counter: ByteCounter, role: Role) -> Self:
        """Take over ``plain`` (which is detached) and count from now on."""
        timeout = plain.gettimeout()
        wrapped = cls(plain.family, plain.type, plain.proto, fileno=plain.detach())
        wrapped.settimeout(timeout)
        wrapped.counter = counter
        wrapped.tally = Tally(counter, role)
        return wrapped

    def send(self, data: Any, flags: int = 0, /) -> int:
        """As ``socket.send``, counted."""
        count = super().send(data, flags)
        self.tally.sent(count)
        return count

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        """As ``socket.sendall``, counted to the last byte even when it fails midway; a timeout bounds each send."""
        rest = memoryview(data).cast("B")
        while rest:
            rest = rest[self.send(rest, flags) :]

    def sendmsg(self, *args: Any) -> int:
        """As ``socket.sendmsg``, counted."""
        count = super().sendmsg(*args)
        self.tally.sent(count)
        return count

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """As ``socket.recv``, counted."""
        data = super().recv(bufsize, flags)
        if not flags & socket.MSG_PEEK:
            self.tally.received(len(data))
        return data

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """As ``socket.recv_into``, counted."""
        count = super().recv_into(buffer, nbytes, flags)
        if not flags & socket.MSG_PEEK:
            self.tally.received(count)
        return count

    def close(self) -> None:
        """Close, and settle the bytes that never got a tag."""
        if self.fileno() != -1:
            self.tally.close()
            if self.client_address is not None:
                self.counter.closed(self.client_address)
        super().close()


class CountingListener(socket.socket):
    """A listening socket whose accepted connections are counted."""

    counter: ByteCounter
    assumed: Traffic
    accepted: "WeakSet[socket.socket]"

    def accept(self) -> tuple[socket.socket, Any]:
        """As ``socket.accept``; the connection is a :class:`CountingSocket`."""
        plain, address = super().accept()
        connection = CountingSocket.wrap(plain, self.counter, "server")
        connection.tally.assume(self.assumed)
        connection.client_address = address[:2]
        self.counter.accepted(address[:2], connection.tally)
        self.accepted.add(connection)
        return connection, address

    def hang_up(self) -> None:
        """End every accepted connection, also one of which no server knows yet because its TLS handshake hangs."""
        for connection in list(self.accepted):
            with suppress(OSError):  # it has ended by itself
                connection.shutdown(socket.SHUT_RDWR)


def listen(host: str, port: int, counter: ByteCounter, assumed: Traffic = Traffic.UNCLASSIFIED) -> CountingListener:
    """A counted listening socket; raises ``OSError`` when the port is taken.

    ``assumed`` is the class of a connection that ends before its first request is read: one over TLS, which ended in
    the making, is a handshake.
    """
    # asyncio switches Nagle off only where it is told that this is TCP; otherwise answers wait 40 ms for an ACK.
    listener = CountingListener(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.counter = counter
    listener.assumed = assumed
    listener.accepted = WeakSet()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(_LISTEN_BACKLOG)
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


class CountingLoop(names.NamingLoop):
    """An event loop whose outgoing connections are counted, whichever library opens them."""

    counter: ByteCounter

    async def create_connection(self, protocol_factory: Any, host: Any = None, port: Any = None, **options: Any) -> Any:
        """As ``loop.create_connection`` (Python's public API), with a counted socket underneath."""
        plain = options.pop("sock", None)
        if plain is None:
            plain = await self._dial(host, port)
            if options.get("ssl") and not options.get("server_hostname"):
                options["server_hostname"] = host
            options = {name: value for name, value in options.items() if name not in _DIALLING_OPTIONS}
        lab = names.current()
        counted = CountingSocket.wrap(plain, lab.counter if lab else self.counter, "client")
        # A TLS handshake is sent by the loop itself, before any task of the caller sends.
        counted.tally.assume(_traffic.get(), _peer.get())
        return await super().create_connection(protocol_factory, sock=counted, **options)

    async def _dial(self, host: str, port: int) -> socket.socket:
        try:
            # A literal address needs no resolver, and so no thread whose start would count as the protocol's time.
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        except socket.gaierror:
            found = await self.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        family, kind, proto, _, address = found[0]
        plain = socket.socket(family, kind, proto)
        try:
            plain.setblocking(False)
            await self.sock_connect(plain, address)
        except BaseException:
            plain.close()
            raise
        return plain


def counting_loop(counter: ByteCounter) -> CountingLoop:
    """A new event loop that counts into ``counter``; for ``asyncio.Runner(loop_factory=...)``."""
    loop = CountingLoop()
    loop.counter = counter
    return loop


def count_served(app: Any, counter: ByteCounter, routes: dict[str, Traffic]) -> Any:
    """Wrap an ASGI application so that served bytes find their class and peer.

    ``routes`` names the class of the protocol's own calls by path (probe, discovery, handshake); a message names its
    own through :func:`attribute`.
    """

    async def counted(scope: Any, receive: Any, send: Any) -> None:
        client = scope.get("client")
        tally = counter.serving((client[0], client[1])) if client else None
        if tally is None:
            await app(scope, receive, send)
            return
        known = routes.get(scope.get("path", ""))
        if known is not None:
            tally.tag(known, None)

        async def send_and_release(event: Any) -> None:
            await send(event)
            if event["type"] == "http.response.body" and not event.get("more_body"):
                tally.answered()

        token = _inbound.set(tally)
        try:
            await app(scope, receive, send_and_release)
        finally:
            _inbound.reset(token)

    return counted
