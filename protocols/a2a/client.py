"""The A2A client side of one node: one kept HTTP client per peer, and the SDK's clients on it."""

import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from urllib.parse import urlsplit

import httpx
from a2a.client import A2AClientError, A2AClientTimeoutError, Client, ClientCallContext, ClientConfig, ClientFactory
from a2a.client.card_resolver import parse_agent_card
from a2a.extensions.common import HTTP_EXTENSION_HEADER
from a2a.types import AgentCapabilities, AgentCard, AgentInterface
from a2a.utils.constants import AGENT_CARD_WELL_KNOWN_PATH, PROTOCOL_VERSION_1_0
from a2a.utils.errors import A2AError
from google.protobuf.json_format import ParseError  # type: ignore[import-untyped]
from pydantic_core import from_json

from protocols.a2a.codec import EXTENSION
from protocols.adapter import Endpoint, Timeouts
from protocols.breaks import trace_breaks
from protocols.errors import PeerRejectedError, PeerTimeoutError, PeerUnreachableError

_MAX_CARD_BYTES = 64 * 1024
_QUIET_S = 20.0
"""How long a stream may say nothing: the SDK's server sends a comment every 15 s."""
_NO_ETAG = '"-"'
_MAX_WORDS = 300
_NONSENSE = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RuntimeError)
"""What the SDK lets through when an answer makes no sense to it; RecursionError is a RuntimeError."""


class Link:
    """The way to one peer; whoever uses it last after :meth:`retire` closes it."""

    def __init__(self, peer: str, endpoint: Endpoint, binding: str, timeouts: Timeouts, no_tls: ssl.SSLContext) -> None:
        self._peer = peer
        self.url = f"http://{endpoint.host}:{endpoint.port}"
        self.http = httpx.AsyncClient(
            timeout=httpx.Timeout(timeouts.ack_s, connect=timeouts.connect_s),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=16, keepalive_expiry=None),
            # httpx reads all CA certificates for every client (26 ms of CPU); plain HTTP has no use for them.
            verify=no_tls,
            trust_env=False,
            event_hooks={"request": [trace_breaks]},
        )
        parameters = {HTTP_EXTENSION_HEADER: EXTENSION}
        self.call = ClientCallContext(service_parameters=parameters)
        self.stream_call = ClientCallContext(service_parameters=parameters, timeout=_QUIET_S)
        self._binding = binding
        self._etag = _NO_ETAG
        self._users = 0
        self._retired = False
        self._clients: tuple[Client, Client] | None = None

    @property
    def unary(self) -> Client:
        """For calls with one answer."""
        return self._sdk_clients()[0]

    @property
    def streaming(self) -> Client:
        """For calls answered by a stream."""
        return self._sdk_clients()[1]

    async def fetch_card(self) -> AgentCard:
        """The peer's card, by which its clients are made; raises the SDK's and httpx's errors."""
        card = await self._get_card({})
        if card is None:
            raise A2AClientError("expected an agent card, got 304 to an unconditional request")
        for interface in card.supported_interfaces:
            # Who answers here is reached here, whatever address it believes to have.
            interface.url = self.url + (urlsplit(interface.url).path or "/")
        self._clients = self._make_clients(card)
        return card

    async def check_card(self) -> AgentCard | None:
        """The peer's card if it is another than the last one seen, else None."""
        return await self._get_card({"if-none-match": self._etag})

    @asynccontextmanager
    async def used(self) -> AsyncIterator[None]:
        """Keep the link open within the block; raises PeerUnreachableError when it has been given up."""
        if self.http.is_closed:
            raise PeerUnreachableError(self._peer, "expected an open link, it was given up meanwhile")
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            await self._close_if_done()

    async def retire(self) -> None:
        """Close as soon as nobody uses the link."""
        self._retired = True
        await self._close_if_done()

    async def _close_if_done(self) -> None:
        if self._retired and not self._users:
            await self.http.aclose()

    def _sdk_clients(self) -> tuple[Client, Client]:
        if self._clients is None:
            # Nobody has asked the peer for its card: it will speak as we do, or say no.
            interface = AgentInterface(
                url=f"{self.url}/", protocol_binding=self._binding, protocol_version=PROTOCOL_VERSION_1_0
            )
            card = AgentCard(supported_interfaces=[interface], capabilities=AgentCapabilities(streaming=True))
            self._clients = self._make_clients(card)
        return self._clients

    def _make_clients(self, card: AgentCard) -> tuple[Client, Client]:
        unary, streaming = (
            ClientFactory(
                ClientConfig(streaming=streaming, httpx_client=self.http, supported_protocol_bindings=[self._binding])
            ).create(card)
            for streaming in (False, True)
        )
        return unary, streaming

    async def _get_card(self, headers: dict[str, str]) -> AgentCard | None:
        """What the SDK's resolver does, bounded and with the ETag, which the resolver keeps to itself."""
        answer = bytearray()
        async with self.http.stream("GET", self.url + AGENT_CARD_WELL_KNOWN_PATH, headers=headers) as response:
            async for chunk in response.aiter_bytes():
                answer += chunk
                if len(answer) > _MAX_CARD_BYTES:
                    raise A2AClientError(f"expected a card of at most {_MAX_CARD_BYTES} bytes, got more")
        if response.status_code == httpx.codes.NOT_MODIFIED:
            return None
        if response.status_code != httpx.codes.OK:
            raise A2AClientError(f"expected an agent card, got {response.status_code} {bytes(answer[:200])!r}")
        card = parse_agent_card(from_json(bytes(answer)))
        self._etag = response.headers.get("etag", _NO_ETAG)
        return card


@contextmanager
def translated(peer: str, doing: str) -> Iterator[None]:
    """Nothing but ProtocolErrors comes out of this block, whatever the SDK and httpx raise in it."""
    try:
        yield
    except (TimeoutError, httpx.TimeoutException, A2AClientTimeoutError) as error:
        raise PeerTimeoutError(peer, f"no answer to {doing} in time ({type(error).__name__})") from error
    except httpx.RequestError as error:
        raise PeerUnreachableError(peer, f"{doing} failed: {_words(error)}") from error
    except A2AClientError as error:
        # The SDK has one error for what the network and what the peer did wrong; the cause tells them apart.
        if isinstance(error.__cause__, httpx.RequestError):
            raise PeerUnreachableError(peer, f"{doing} failed: {_words(error)}") from error
        raise PeerRejectedError(peer, f"expected an answer to {doing}, got: {_words(error)}") from error
    except A2AError as error:
        raise PeerRejectedError(peer, f"{doing} was refused: {_words(error)}") from error
    except (*_NONSENSE, httpx.InvalidURL, ParseError) as error:
        raise PeerRejectedError(peer, f"expected an answer to {doing}, got nonsense: {_words(error)}") from error


def _words(error: Exception) -> str:
    return f"{type(error).__name__} {error}"[:_MAX_WORDS]
