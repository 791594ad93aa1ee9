"""What has been delivered to a node and not yet been taken: bounded by count and by bytes."""

import asyncio

from protocols.message import Message

MAX_MESSAGES = 10_000
MAX_BYTES = 64 * 1024 * 1024


class Inbox:
    """A queue that takes no more once it is full; the one message that fills it may go over the bytes."""

    def __init__(self) -> None:
        self._bytes = 0
        self._queue: asyncio.Queue[tuple[Message, int]] = asyncio.Queue()

    def empty(self) -> bool:
        """Whether nothing waits to be taken."""
        return self._queue.empty()

    @property
    def is_full(self) -> bool:
        """Whether nothing more can be taken now."""
        return self._queue.qsize() >= MAX_MESSAGES or self._bytes >= MAX_BYTES

    def put(self, message: Message) -> bool:
        """Whether there was room for ``message``."""
        if self.is_full:
            return False
        size = len(message.to_json())
        self._bytes += size
        self._queue.put_nowait((message, size))
        return True

    async def get(self) -> Message:
        """The oldest message; waits for one."""
        message, size = await self._queue.get()
        self._bytes -= size
        return message
