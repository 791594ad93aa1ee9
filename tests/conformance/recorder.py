"""A server that passes for a node and hands everything on to it: what is said inside of TLS can be read there."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

_HOST = "127.0.0.1"
_CHUNK_BYTES = 65536


class Recorder:
    """``serving`` are the options by which it listens, ``asking`` those by which it asks the node at the port."""

    def __init__(self, target_port: int, serving: Mapping[str, Any], asking: Mapping[str, Any]) -> None:
        self.requests = bytearray()
        """All that clients have sent."""
        self.port = 0
        self._target_port = target_port
        self._serving = serving
        self._asking = asking
        self._connections: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Recorder"]:
        """Accept connections within the block."""
        server = await asyncio.start_server(self._forward, _HOST, 0, **self._serving)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for connection in self._connections:
                connection.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)
            await server.wait_closed()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        answers, requests = await asyncio.open_connection(_HOST, self._target_port, **self._asking)
        back = asyncio.create_task(self._pump(answers, writer, bytearray()))
        try:
            await self._pump(reader, requests, self.requests)
            await back
        except asyncio.CancelledError:
            return
        finally:
            back.cancel()
            await asyncio.gather(back, return_exceptions=True)
            requests.transport.abort()
            writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, record: bytearray) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(_CHUNK_BYTES):
                record += data
                writer.write(data)
                await writer.drain()
        writer.close()
