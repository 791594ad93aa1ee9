"""A TCP proxy that no counting loop sees: the independent count, and the network's misbehaviour."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_HOST = "127.0.0.1"
_CHUNK_BYTES = 65536


class Proxy:
    """Forwards on plain sockets; counts, records, holds back and cuts."""

    def __init__(self, target_port: int, receive_buffer_bytes: int | None = None) -> None:
        self.from_client = self.to_client = self.from_server = self.to_server = 0
        """Bytes moved at each of the proxy's two ends."""
        self.requests = bytearray()
        """All that clients have sent."""
        self.hold_after: int | None = None
        """Read no more from a client once it has sent so many bytes."""
        self.held = asyncio.Event()
        self.release = asyncio.Event()
        self.cut_answer_after: int | None = None
        """Pass so many bytes of the next answer on, then cut the connection."""
        self._target_port = target_port
        self._listener = socket.socket()
        if receive_buffer_bytes is not None:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self._listener.bind((_HOST, 0))
        self._listener.listen(512)
        self._listener.settimeout(0)
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """Where clients connect to."""
        port: int = self._listener.getsockname()[1]
        return port

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Proxy"]:
        """Accept connections within the block."""
        accepting = asyncio.create_task(self._accept())
        try:
            yield self
        finally:
            tasks = [accepting, *self._connections]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._listener.close()

    async def drained(self) -> None:
        """Wait until both ends of every connection have said that no more bytes come."""
        while self._connections:
            await asyncio.gather(*self._connections)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            client, _ = await loop.sock_accept(self._listener)
            task = asyncio.create_task(self._forward(client))
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)

    async def _forward(self, client: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with client, socket.socket() as server:
            server.settimeout(0)
            await loop.sock_connect(server, (_HOST, self._target_port))
            upwards = asyncio.create_task(self._upwards(client, server))
            try:
                await self._downwards(server, client)
                await upwards
            except ConnectionError:
                return
            finally:
                upwards.cancel()
                await asyncio.gather(upwards, return_exceptions=True)

    async def _upwards(self, client: socket.socket, server: socket.socket) -> None:
        loop, moved = asyncio.get_running_loop(), 0
        while data := await loop.sock_recv(client, _CHUNK_BYTES):
            moved += len(data)
            self.from_client += len(data)
            self.requests += data
            await loop.sock_sendall(server, data)
            self.to_server += len(data)
            if self.hold_after is not None and moved >= self.hold_after:
                self.held.set()
                await self.release.wait()
        server.shutdown(socket.SHUT_WR)

    async def _downwards(self, server: socket.socket, client: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while data := await loop.sock_recv(server, _CHUNK_BYTES):
            self.from_server += len(data)
            passed = data if self.cut_answer_after is None else data[: self.cut_answer_after]
            await loop.sock_sendall(client, passed)
            self.to_client += len(passed)
            if self.cut_answer_after is not None:
                raise ConnectionAbortedError
        client.shutdown(socket.SHUT_WR)
