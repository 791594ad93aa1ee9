"""Keeps the SDK's blocking calls to one peer in threads of their own, out of the event loop's way."""
# mypy: disable-error-code="import-untyped"

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, TypeVar

import requests
from agora.common.errors import ProtocolError as AgoraError
from urllib3.exceptions import ReadTimeoutError

from protocols.adapter import Timeouts
from protocols.agora.transport import MAX_CONNECTIONS, Call, Session, current_call
from protocols.errors import PeerRejectedError, PeerTimeoutError, PeerUnreachableError
from protocols.wire import ByteCounter

T = TypeVar("T")


class Link:
    """One peer's session and threads, made as they are needed; a peer that hangs holds up only calls to itself."""

    def __init__(self, peer: str, counter: ByteCounter, timeouts: Timeouts) -> None:
        self.knows_protocol = False
        """Whether the peer has said that it holds our document, so that the hash alone will do."""
        self._peer = peer
        self._timeouts = timeouts
        self._session = Session(counter)
        self._threads = ThreadPoolExecutor(MAX_CONNECTIONS, thread_name_prefix=f"agora-{peer}")
        self._calls: dict[Future[Any], Call] = {}

    async def call(self, work: Callable[[Session], T]) -> T:
        """Do ``work`` in a thread, bounded as a whole; only ProtocolErrors come out of here."""
        call, context = Call(), copy_context()
        context.run(current_call.set, call)
        try:
            future = self._threads.submit(context.run, self._exchange, work)
        except RuntimeError as error:
            raise PeerUnreachableError(self._peer, "the link was given up meanwhile") from error
        self._calls[future] = call
        future.add_done_callback(self._calls.pop)
        try:
            # requests bounds each read; a peer that trickles its answer would hold the caller for ever.
            async with asyncio.timeout(self._timeouts.connect_s + self._timeouts.ack_s):
                return await asyncio.wrap_future(future)
        except TimeoutError as error:
            raise PeerTimeoutError(self._peer, "expected a complete answer in time, got none") from error
        finally:
            if not future.done():
                call.cut()

    def cut(self) -> None:
        """Break the exchanges under way."""
        for call in list(self._calls.values()):
            call.cut()

    async def close(self) -> None:
        """Free connections and threads once the exchanges under way have ended."""
        ends = [asyncio.wrap_future(future) for future in list(self._calls)]
        try:
            await asyncio.shield(asyncio.gather(*ends, return_exceptions=True))
        finally:
            self._session.close()
            self._threads.shutdown(wait=not self._calls)

    def _exchange(self, work: Callable[[Session], T]) -> T:
        try:
            return work(self._session)
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError, requests.Timeout) as error:
            if isinstance(error, requests.Timeout) or isinstance(error.args[0], ReadTimeoutError):
                raise PeerTimeoutError(self._peer, f"no answer in time ({type(error).__name__})") from error
            raise PeerUnreachableError(self._peer, str(error)) from error
        except (requests.RequestException, AgoraError) as error:
            raise PeerRejectedError(self._peer, str(error)) from error
