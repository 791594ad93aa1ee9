"""A connection on which nothing is said, held for its end: a process that ends, ends its connections."""

import asyncio
import contextvars
from collections.abc import Callable

from protocols.adapter import BaseProtocolAdapter
from protocols.clock import Clock
from protocols.message import Traffic
from protocols.wire import End, classify


class IdleConnection(asyncio.Protocol):
    """Its end is told in the very callback that reads it.

    A stream's reader would wake a task, which has its turn after all that the loop has ready by then; when a peer dies
    that is much.
    """

    def __init__(self, clock: Clock, tell: Callable[[End], None]) -> None:
        self.has_ended = False
        """By the other side."""
        self._over = asyncio.Event()
        self._clock = clock
        self._tell = tell
        self._ports = (0, 0)
        self._transport: asyncio.BaseTransport | None = None

    async def ended(self) -> None:
        """Return when the other side has ended it, or this side has closed it."""
        await self._over.wait()

    def close(self) -> None:
        """Hang up; what we close ourselves is nobody's end."""
        self._over.set()
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember its ports: a reset connection does not know them any more."""
        self._transport = transport
        self._ports = transport.get_extra_info("sockname")[1], transport.get_extra_info("peername")[1]

    def eof_received(self) -> None:
        """The other side has hung up."""
        self._end()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - a reset says the same as an EOF
        """It was reset, or it ends after its EOF."""
        self._end()

    def _end(self) -> None:
        if not self._over.is_set():
            self._over.set()
            self.has_ended = True
            self._tell(End(self._clock.now(), *self._ports))


async def dial(adapter: BaseProtocolAdapter, peer: str, clock: Clock, tell: Callable[[End], None]) -> IdleConnection:
    """Open such a connection to ``peer``; ``tell`` is called when the other side ends it.

    Raises:
        OSError, TimeoutError: it could not be made in the adapter's ``connect_s``.
        PeerUnreachableError: nobody of that name is in the roster.
    """
    endpoint = adapter.context.resolve(peer)
    loop = asyncio.get_running_loop()
    # What follows from the end is no business of this connection, and not of its class of traffic.
    outside = contextvars.copy_context()
    with classify(Traffic.HEARTBEAT, peer):
        async with asyncio.timeout(adapter.context.timeouts.connect_s):
            _, idle = await loop.create_connection(
                lambda: IdleConnection(clock, lambda end: outside.run(tell, end)), endpoint.host, endpoint.port
            )
    return idle
