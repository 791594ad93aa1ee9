"""A stream of a peer's presence: it lasts until one side gives it up, so its break is evidence of the peer's death."""

import asyncio
from dataclasses import dataclass

from protocols.acp import parts
from protocols.acp.client import Link, translated
from protocols.adapter import Broken, Tell
from protocols.breaks import breaks_told
from protocols.errors import PeerUnreachableError, ProtocolError
from protocols.message import Traffic
from protocols.wire import Carrier, carried, classify

_WHAT = "a stream of its presence"


@dataclass
class Presence:
    """One such stream."""

    peer: str
    url: str
    link: Link
    bound_s: float
    """For its first event."""
    tell: Tell
    _told: bool = False
    _opened: bool = False

    async def follow(self, node_id: str) -> None:
        """Open it in the name of ``node_id`` and read it to its end; raises ProtocolError if it never was open."""
        with classify(Traffic.HEARTBEAT, self.peer), carried() as carrier:
            at_once = breaks_told(lambda why: self._broke(f"{_WHAT} failed: {why}", carrier))
            try:
                with translated(self.peer, _WHAT), at_once:
                    async with self.link.watched() as watch, asyncio.timeout(self.bound_s) as bound:
                        async for _ in self.link.sdk.run_stream(
                            parts.watcher(node_id), agent=parts.PRESENCE, base_url=self.url
                        ):
                            self._opened = True
                            bound.reschedule(None)
            except ProtocolError as error:
                if watch.expired() or self._told:
                    return
                # A connection that ended under it was there, though no event of the stream had come yet.
                if not self._opened and (not isinstance(error, PeerUnreachableError) or carrier.end is None):
                    raise
                self._broke(str(error), carrier)
            else:
                self._broke(f"{_WHAT} ended", carrier)

    def _broke(self, what: str, carrier: Carrier) -> None:
        self._told = True
        self.tell(Broken(what, carrier.end))
