"""The calling half: the SDK's client to one peer, kept while anybody uses it, and what its errors mean."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx
from acp_sdk.client import Client
from acp_sdk.models import ACPError, Session, SessionId
from httpx_sse import SSEError

from protocols.adapter import Timeouts
from protocols.breaks import trace_breaks
from protocols.errors import PeerRejectedError, PeerTimeoutError, PeerUnreachableError

_MAX_ANSWER_BYTES = 64 * 1024 * 1024
_HEADERS = {
    # FastAPI from 0.132 on refuses a body without it, and the SDK's client does not set it.
    "Content-Type": "application/json",
    # A small answer must not unpack to something huge.
    "Accept-Encoding": "identity",
}
_NONSENSE = (
    *(ACPError, SSEError, httpx.InvalidURL, httpx.DecodingError),
    # what JSON, pydantic and codecs raise
    *(ValueError, RecursionError, LookupError, TypeError),
)


class Link:
    """The SDK's client of one peer. Given up, it closes when the last exchange on it has ended."""

    def __init__(self, timeouts: Timeouts, no_tls: ssl.SSLContext) -> None:
        self._transport = _BoundedTransport(
            # httpx reads all CA certificates for every client (26 ms of CPU); plain HTTP has no use for them.
            verify=no_tls,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=16, keepalive_expiry=None),
            trust_env=False,
        )
        # A stream is quiet until its run ends; whoever calls bounds the call as a whole.
        patience = httpx.Timeout(None, connect=timeouts.connect_s)
        self.sdk = Client(
            headers=_HEADERS,
            timeout=patience,
            transport=self._transport,
            event_hooks={"request": [trace_breaks]},
            trust_env=False,
        )
        self._users = 0
        self._watches: dict[asyncio.Timeout, None] = {}
        self._given_up = False

    def in_session(self, session: SessionId | None) -> Client:
        """The same client within a session."""
        if session is None:
            return self.sdk
        return _SessionClient(client=self.sdk.client, manage_client=False, session=Session(id=session))

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Inside the block the link stays open."""
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            if self._given_up and not self._users:
                await self.cut()

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[asyncio.Timeout]:
        """A block that ends with the link, as if its time had run out: it has no result anybody waits for."""
        async with self.held(), asyncio.timeout(None) as until_given_up:
            self._watches[until_given_up] = None
            try:
                yield until_given_up
            finally:
                del self._watches[until_given_up]

    async def give_up(self) -> None:
        """Close now or, if exchanges are under way, with the last of them."""
        self._given_up = True
        for watch in self._watches:
            watch.reschedule(asyncio.get_running_loop().time())
        if not self._users:
            await self.cut()

    async def cut(self) -> None:
        """Close every connection, whatever is under way on it."""
        await self._transport.aclose()


class _SessionClient(Client):
    """The SDK would ask the peer for the session before each run, to be told that it does not know it yet."""

    async def _prepare_session_for_run(self, *, base_url: httpx.URL | str | None) -> dict[str, Any]:  # noqa: ARG002
        return {"session_id": self._session.id} if self._session else {}


class _BoundedTransport(httpx.AsyncHTTPTransport):
    """Gives no answer on that is packed or larger than any answer of ours."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        if response.headers.get("content-encoding", "identity") != "identity":
            await response.aclose()
            raise httpx.DecodingError("expected an answer that is not packed", request=request)
        if isinstance(response.stream, httpx.AsyncByteStream):
            response.stream = _BoundedStream(response.stream)
        return response


class _BoundedStream(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._stream:
            size += len(chunk)
            if size > _MAX_ANSWER_BYTES:
                raise httpx.DecodingError(f"expected at most {_MAX_ANSWER_BYTES} bytes of answer, got more")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


@contextmanager
def translated(peer: str, call: str) -> Iterator[None]:
    """Only ProtocolErrors come out of the block."""
    try:
        yield
    except (httpx.TimeoutException, TimeoutError) as error:
        raise PeerTimeoutError(peer, f"no answer to {call} in time ({type(error).__name__})") from error
    except _NONSENSE as error:
        code = f"{error.error.code} " if isinstance(error, ACPError) else f"{type(error).__name__} "
        raise PeerRejectedError(peer, f"expected an answer to {call}, got {code}{str(error)[:200]!r}") from error
    except (httpx.RequestError, RuntimeError) as error:
        raise PeerUnreachableError(peer, f"{call} failed: {error or type(error).__name__}") from error
