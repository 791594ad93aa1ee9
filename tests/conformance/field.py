"""A target in a process of its own, under attack, and a well-behaved neighbour that talks to it meanwhile."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from protocols.adapter import BaseProtocolAdapter

from .arena import HOST, Arena
from .peer_process import PeerProcess

CHUNK_BYTES = 65536
_MIB = 1 << 20
_MEMORY_MIB = 150
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Field:
    """A target in a process of its own, and a well-behaved neighbour that talks to it."""

    arena: Arena
    target: PeerProcess
    neighbour: BaseProtocolAdapter
    bytes_sent: int = 0
    """How much of the last attack went out, at least."""
    exchanges: int = 0
    """How often the target has answered its neighbour during attacks."""

    @asynccontextmanager
    async def unharmed(self) -> AsyncIterator[None]:
        """Inside the block the target answers its neighbour; its memory stays bounded; it does not crash."""
        self.target.reset_peak_memory()
        before = self.target.vitals.memory_info().rss
        attacked = asyncio.Event()

        async def talk() -> None:
            last = False
            while not last:
                last = attacked.is_set()
                await self.arena.exchange(self.neighbour, "b")
                self.exchanges += 1

        async with asyncio.TaskGroup() as group:
            group.create_task(talk())
            try:
                yield
            finally:
                attacked.set()
        grown_mib = (self.target.peak_memory() - before) / _MIB
        assert grown_mib < _MEMORY_MIB, f"expected bounded memory, it grew by {grown_mib:.0f} MiB"
        assert self.target.alive
        assert "Traceback" not in self.target.log

    async def connect(self, *, inside_tls: bool = True) -> Connection:
        """A connection to the target; where the protocol is spoken over TLS inside of that, unless told otherwise."""
        asking = self.arena.asking_tls() if inside_tls else {}
        return await asyncio.open_connection(HOST, self.arena.port("b"), **asking)

    async def attack(self, payload: bytes) -> bytes:
        """Send all of ``payload``; what comes back is one complete answer, or what came before the target hung up."""
        reader, writer = await self.connect()
        answer = b""

        async def send() -> None:
            with contextlib.suppress(ConnectionError):
                for begin in range(0, len(payload), CHUNK_BYTES):
                    writer.write(payload[begin : begin + CHUNK_BYTES])
                    await writer.drain()
                    self.bytes_sent = begin

        self.bytes_sent = 0
        sending = asyncio.create_task(send())
        with contextlib.suppress(ConnectionError):
            while not complete(answer) and (data := await reader.read(CHUNK_BYTES)):
                answer += data
        await sending
        writer.transport.abort()
        return answer

    async def recorded_request(self) -> tuple[bytes, bytes]:
        """Head and body of the request by which this protocol sends a message, as its own client writes it."""
        async with self.arena.recorder("b") as recorder:
            recording = await self.arena.node("r", via={"b": recorder.port})
            await self.arena.link(recording, "b")
            recorder.requests.clear()
            await self.arena.deliver(recording, self.arena.message(sender="r"))
            await recording.close()
        head, end, body = bytes(recorder.requests[recorder.requests.rfind(b"POST /") :]).partition(b"\r\n\r\n")
        assert end, "expected to read a request on the wire"
        return head, body


def complete(answer: bytes) -> bool:
    """Whether ``answer`` is a whole HTTP answer with a content-length."""
    head, end, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    return bool(end) and (length is None or len(body) >= int(length[1]))
