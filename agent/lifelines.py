"""Idle connections to peers that are reached by a name: where the name goes with the process, their end is the proof.

Nothing that is sent to a container that has ended comes back, not even a refusal: its name and its address are gone, as
those of a container are that is only cut off. But a process that ends, ends its connections, and a cut ends none.
"""

import asyncio
from collections.abc import Iterable
from ipaddress import ip_address

from agent.idle import IdleConnection, dial
from agent.spawn import Spawn
from protocols.adapter import BaseProtocolAdapter
from protocols.clock import Clock
from protocols.errors import ProtocolError

_ATTEMPTS = 3
_PAUSE_S = 1.0


class Lifelines:
    """One idle connection to each of these peers, made again when it has ended. No detector looks at them."""

    def __init__(self, adapter: BaseProtocolAdapter, clock: Clock, spawn: Spawn) -> None:
        self._adapter = adapter
        self._clock = clock
        self._spawn = spawn
        self._lines: dict[str, IdleConnection] = {}
        self._again: dict[str, asyncio.Event] = {}

    def hold(self, peers: Iterable[str]) -> None:
        """From now on; peers with an address for a name need none, for where they were somebody refuses."""
        for peer in peers:
            if not _is_address(self._adapter.context.resolve(peer).host):
                self._again[peer] = asyncio.Event()
                self._spawn(self._hold(peer))

    def broke(self, peer: str) -> bool:
        """Whether ``peer`` has ended the connection, and none could be made since."""
        return peer in self._lines and self._lines[peer].has_ended

    def returned(self, peer: str) -> None:
        """``peer`` is alive: it may have another address by now, where the old connection does not lead."""
        if peer in self._again:
            self._again[peer].set()

    async def _hold(self, peer: str) -> None:
        again, failures = self._again[peer], 0
        while True:
            again.clear()
            try:
                line = await dial(self._adapter, peer, self._clock, lambda _end: again.set())
            except (OSError, TimeoutError, ProtocolError):
                failures += 1
                if failures == _ATTEMPTS:
                    await again.wait()
                    failures = 0
            else:
                failures = 0
                self._lines[peer] = line
                try:
                    await again.wait()
                finally:
                    line.close()
            await self._clock.sleep(_PAUSE_S)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
