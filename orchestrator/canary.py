"""Idle connections to the victims' admin ports, whose end tells what the kill itself costs."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from protocols.errors import LabError

_CONNECT_TIMEOUT_S = 2.0


class Canaries:
    """Holds one connection to each address; ``ended(node)`` is called at its first EOF or reset."""

    def __init__(self, ended: Callable[[str], None]) -> None:
        self._ended = ended
        self._tasks: list[asyncio.Task[None]] = []
        self._writers: list[asyncio.StreamWriter] = []

    async def hold(self, addresses: Sequence[tuple[str, str, int]]) -> None:
        """Connect to each (node, host, port); raises LabError when one does not accept."""
        for node, host, port in addresses:
            try:
                async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                    reader, writer = await asyncio.open_connection(host, port)
            except (OSError, TimeoutError) as error:
                raise LabError(f"expected the admin port of {node} to accept a connection, got: {error!r}") from error
            self._writers.append(writer)
            self._tasks.append(asyncio.create_task(self._watch(node, reader), name=f"canary {node}"))

    def release(self) -> None:
        """Let go of all connections that are left, without a word."""
        for task in self._tasks:
            task.cancel()
        for writer in self._writers:
            writer.close()

    async def _watch(self, node: str, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):  # a reset is the same news as an EOF
            while await reader.read(1024):
                pass
        self._ended(node)
