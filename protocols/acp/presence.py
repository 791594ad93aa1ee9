"""A stream of a peer's presence: it lasts until one side gives it up, so its break is evidence of the peer's death."""

import asyncio
from dataclasses import dataclass, field

from protocols.acp import parts
from protocols.acp.client import Link, translated
from protocols.adapter import Broken
from protocols.breaks import breaks_told
from protocols.errors import PeerUnreachableError, ProtocolError
from protocols.message import Traffic
from protocols.wire import Carrier, carried, classify

_GIVEN_UP = Broken("the link was given up")


@dataclass(eq=False)
class Presence:
    """One such stream."""

    peer: str
    url: str
    link: Link
    bound_s: float
    """For its first event."""
    broken: "asyncio.Future[Broken]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    """Told at the stream's break, though its client has yet to tidy up; a ProtocolError if it never was open."""
    _opened: bool = False

    async def follow(self, node_id: str) -> None:
        """Open the stream in the name of ``node_id`` and read it to its end."""
        try:
            with classify(Traffic.HEARTBEAT, self.peer), carried() as carrier:
                self._tell(await self._read(node_id, carrier))
        except ProtocolError as error:
            if not self.broken.done():
                self.broken.set_exception(error)
        finally:
            self._tell(_GIVEN_UP)

    async def _read(self, node_id: str, carrier: Carrier) -> Broken:
        """How the stream ended; raises ProtocolError if it never was open."""
        what = "a stream of its presence"
        at_once = breaks_told(lambda why: self._tell(Broken(f"{what} failed: {why}", carrier.end)))
        try:
            with translated(self.peer, what), at_once:
                async with self.link.watched() as watch, asyncio.timeout(self.bound_s) as bound:
                    async for _ in self.link.sdk.run_stream(
                        parts.watcher(node_id), agent=parts.PRESENCE, base_url=self.url
                    ):
                        self._opened = True
                        bound.reschedule(None)
        except ProtocolError as error:
            if watch.expired():
                return _GIVEN_UP
            # A connection that ended under it was there, though no event of the stream had come yet.
            if self._opened or (isinstance(error, PeerUnreachableError) and carrier.end is not None):
                return Broken(str(error), carrier.end)
            raise
        return Broken(f"{what} ended", carrier.end)

    def _tell(self, broken: Broken) -> None:
        if not self.broken.done():
            self.broken.set_result(broken)
