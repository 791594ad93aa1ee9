"""Counts every payload byte at the socket, below all SDKs: sockets, listeners and the event loop that report them.

Which class and peer the bytes fall under is the business of ``protocols.tally``. Adapters never see any of this.
"""

import socket
from collections.abc import Callable
from contextlib import suppress
from selectors import BaseSelector
from typing import Any, Self
from weakref import WeakSet

from protocols import names
from protocols.message import Traffic
from protocols.tally import (
    ByteCounter,
    Carrier,
    End,
    Role,
    Row,
    Tally,
    attribute,
    carried,
    classify,
    current,
    served,
    serving,
)

__all__ = [
    "ByteCounter",
    "Carrier",
    "CountingListener",
    "CountingLoop",
    "CountingSocket",
    "End",
    "Row",
    "Tally",
    "attribute",
    "carried",
    "classify",
    "count_served",
    "counting_loop",
    "listen",
    "served",
]

_LISTEN_BACKLOG = 512
_PEEK = int(socket.MSG_PEEK)
"""A plain number: the enum's ``&`` is Python, and costs more than the rest of the counting of a ``recv``."""
_DIALLING_OPTIONS = ("family", "proto", "flags", "local_addr", "happy_eyeballs_delay", "interleave", "all_errors")


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
        # A reset connection no longer knows its other side.
        wrapped.tally = Tally(counter, role, (_port(wrapped.getsockname), _port(wrapped.getpeername)))
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
        try:
            data = super().recv(bufsize, flags)
        except ConnectionError:
            self.tally.ended()
            raise
        if not flags & _PEEK:
            self.tally.received(len(data))
        if not data and bufsize:
            self.tally.ended()
        return data

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """As ``socket.recv_into``, counted."""
        try:
            count = super().recv_into(buffer, nbytes, flags)
        except ConnectionError:
            self.tally.ended()
            raise
        if not flags & _PEEK:
            self.tally.received(count)
        if not count and len(buffer):
            self.tally.ended()
        return count

    def close(self) -> None:
        """Close, and settle the bytes that never got a tag."""
        if self.fileno() != -1:
            self.tally.close()
            if self.client_address is not None:
                self.counter.closed(self.client_address)
        super().close()


def _port(of: Callable[[], Any]) -> int:
    """The port of one end; 0 where there is none (a pair of Unix sockets) or the connection is already gone."""
    try:
        address = of()
    except OSError:
        return 0
    return address[1] if isinstance(address, tuple) else 0


class CountingListener(socket.socket):
    """A listening socket whose accepted connections are counted."""

    counter: ByteCounter
    accepted: "WeakSet[socket.socket]"

    def accept(self) -> tuple[socket.socket, Any]:
        """As ``socket.accept``; the connection is a :class:`CountingSocket`."""
        plain, address = super().accept()
        connection = CountingSocket.wrap(plain, self.counter, "server")
        connection.tally.assume(Traffic.STRAY)
        connection.client_address = address[:2]
        self.counter.accepted(address[:2], connection.tally)
        self.accepted.add(connection)
        return connection, address

    def hang_up(self) -> None:
        """End every accepted connection, also one of which no server knows yet because its TLS handshake hangs."""
        for connection in list(self.accepted):
            with suppress(OSError):  # it has ended by itself
                connection.shutdown(socket.SHUT_RDWR)


def listen(host: str, port: int, counter: ByteCounter) -> CountingListener:
    """A counted listening socket; raises ``OSError`` when the port is taken."""
    # asyncio switches Nagle off only where it is told that this is TCP; otherwise answers wait 40 ms for an ACK.
    listener = CountingListener(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.counter = counter
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
        counted.tally.assume(*current())
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


def counting_loop(counter: ByteCounter, selector: BaseSelector | None = None) -> CountingLoop:
    """A new event loop that counts into ``counter``; for ``asyncio.Runner(loop_factory=...)``."""
    loop = CountingLoop(selector)
    loop.counter = counter
    return loop


def count_served(app: Any, counter: ByteCounter, routes: dict[str, Traffic]) -> Any:
    """Wrap an ASGI application so that served bytes find their class and peer.

    ``routes`` names the class of the protocol's own calls by path (probe, discovery, handshake); a message names its
    own through :func:`attribute`, and a request that nobody knows is stray.
    """

    async def counted(scope: Any, receive: Any, send: Any) -> None:
        client = scope.get("client")
        tally = counter.serving((client[0], client[1])) if client else None
        if tally is None:
            await app(scope, receive, send)
            return
        tally.asked()
        known = routes.get(scope.get("path", ""))
        if known is not None:
            tally.tag(known, None)

        async def send_and_release(event: Any) -> None:
            await send(event)
            if event["type"] == "http.response.body" and not event.get("more_body"):
                tally.answered()

        with serving(tally):
            await app(scope, receive, send_and_release)

    return counted
