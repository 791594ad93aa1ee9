"""Forwards TCP connections between agents, each byte as its flow's shape allows: the part without a process of its own.

A cut flow is silent: what was sent waits, as in the kernel of a host whose cable is out, and arrives when the flow is
mended. A connection that its client gave up before it reached the other side is forgotten, as a SYN would be.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random

from chaos.links.shape import Flow, Shape
from protocols.clock import Clock

_PIECE_BYTES = 65_536
_PIECES = 64
"""As many wait in one direction of a connection; then its sender has to wait, as for a full window."""
_PLAIN = Shape()
_AT_ONCE = struct.pack("ii", 1, 0)
"""struct linger: what is unsent is thrown away when the socket is closed."""


@dataclass
class Weather:
    """The shapes in force."""

    shapes: Mapping[Flow, Shape] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def change(self, shapes: Mapping[Flow, Shape]) -> None:
        """From now on these hold, and no others."""
        self.shapes = shapes
        self._changed.set()
        self._changed = asyncio.Event()

    def of(self, flow: Flow) -> Shape:
        """What ``flow`` suffers now."""
        return self.shapes.get(flow, _PLAIN)

    def resets(self, flow: Flow) -> bool:
        """Whether connections between the two ends of ``flow`` are reset now."""
        return self.of(flow).reset or self.of((flow[1], flow[0])).reset

    async def passable(self, flow: Flow) -> None:
        """Wait until ``flow`` is not cut."""
        while self.of(flow).cut:
            await self._changed.wait()


class Direction:
    """One of the two directions of a connection; ``b""`` is its end."""

    def __init__(self, flow: Flow, weather: Weather, clock: Clock, rng: Random) -> None:
        self.ended = False
        self._flow = flow
        self._weather = weather
        self._clock = clock
        self._rng = rng
        self._pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_PIECES)
        self._free_at = 0.0

    async def take(self, reader: asyncio.StreamReader) -> None:
        """Receive until the end of the stream; a reset is an end as well."""
        while not self.ended:
            try:
                data = await reader.read(_PIECE_BYTES)
            except OSError:
                data = b""
            self.ended = not data
            await self._pieces.put(self._due(data))

    async def give(self, writer: asyncio.StreamWriter) -> None:
        """Deliver each piece when it is due and the way is open; returns when the end was delivered."""
        while True:
            due, data = await self._pieces.get()
            if due > self._clock.now():
                await self._clock.sleep(due - self._clock.now())
            await self._weather.passable(self._flow)
            if not data:
                with contextlib.suppress(OSError):
                    writer.write_eof()
                return
            writer.write(data)
            await writer.drain()

    def _due(self, data: bytes) -> tuple[float, bytes]:
        shape = self._weather.of(self._flow)
        if shape == _PLAIN:
            return self._free_at, data
        due = max(self._free_at, self._clock.now() + shape.delay_s(self._rng))
        # A later piece never overtakes an earlier one; a narrow link is busy for as long as a piece takes.
        self._free_at = due + (len(data) / shape.bytes_per_s if shape.bytes_per_s else 0.0)
        return self._free_at, shape.passed(data, self._rng) if data else data


class Proxy:
    """Forwards what comes to its listeners, each of which stands for one ordered pair of nodes."""

    def __init__(self, weather: Weather, clock: Clock, rng: Random) -> None:
        self._weather = weather
        self._clock = clock
        self._rng = rng
        self._servers: list[asyncio.Server] = []
        self._connections: dict[asyncio.Task[None], Flow] = {}

    async def listen(self, flow: Flow, listener: socket.socket, host: str, port: int) -> None:
        """Take connections that ``flow[0]`` opens to ``flow[1]``, which serves ``host:port``."""

        def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(self._forward(flow, (host, port), reader, writer))
            self._connections[task] = flow
            task.add_done_callback(self._connections.pop)

        self._servers.append(await asyncio.start_server(forward, sock=listener, limit=_PIECE_BYTES))

    async def reset_struck(self) -> None:
        """Reset the connections that the weather resets; returns when it is done."""
        struck = [task for task, flow in self._connections.items() if self._weather.resets(flow)]
        for task in struck:
            task.cancel()
        await asyncio.gather(*struck, return_exceptions=True)

    async def close(self) -> None:
        """Take no more connections, and end those that there are."""
        for server in self._servers:
            server.close()
        ending = tuple(self._connections)
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)

    async def _forward(
        self,
        flow: Flow,
        address: tuple[str, int],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        up = Direction(flow, self._weather, self._clock, self._rng)
        down = Direction((flow[1], flow[0]), self._weather, self._clock, self._rng)
        taking = [asyncio.create_task(up.take(reader))]
        far: asyncio.StreamWriter | None = None
        try:
            if self._weather.resets(flow):
                return
            # A handshake needs both ways.
            await self._weather.passable(flow)
            await self._weather.passable((flow[1], flow[0]))
            if up.ended:
                return
            back, far = await asyncio.open_connection(*address, limit=_PIECE_BYTES)
            taking.append(asyncio.create_task(down.take(back)))
            async with asyncio.TaskGroup() as group:
                group.create_task(up.give(far))
                group.create_task(down.give(writer))
        except* OSError:
            # Refused, or broken while it was written to: the client sees a reset.
            writer.transport.abort()
        finally:
            for task in taking:
                task.cancel()
            for end in (writer, far):
                if end is not None:
                    if self._weather.resets(flow):
                        _reset(end)
                    end.close()


def _reset(end: asyncio.StreamWriter) -> None:
    """Have the kernel say RST in the place of an orderly end, whatever is still to be sent or read."""
    with contextlib.suppress(OSError):  # it has ended already
        end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    end.transport.abort()
