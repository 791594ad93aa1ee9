"""The calling side: one kept TLS connection pool per peer, signed first, with a bearer token from then on."""

import asyncio
import io
import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from protocols.adapter import Timeouts
from protocols.anp.hosts import RPC_PATH, host_of, url
from protocols.anp.identity import AnpIdentity
from protocols.errors import IdentityError, PeerRejectedError, PeerTimeoutError, PeerUnreachableError

MAX_ANSWER_BYTES = 64 * 1024

_CONNECTIONS = 16
_KEEP_ALIVE_S = 3600
_SINGLE_WRITE_BYTES = 1 << 20
_JSON = {"Content-Type": "application/json"}


@dataclass
class Link:
    """What is kept for one peer."""

    session: aiohttp.ClientSession
    rpc_url: str
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_CONNECTIONS))
    """So that a burst of messages does not make as many TLS handshakes."""


@dataclass(frozen=True)
class Answer:
    """Status, headers and body, whatever they are."""

    status: int
    headers: dict[str, str]
    body: bytes


class AnpClient:
    """Calls peers; only ProtocolErrors come out of here.

    Every call must be made inside ``protocols.names.naming``, which leads host names of the lab to their endpoints.
    """

    def __init__(self, identity: AnpIdentity, timeouts: Timeouts) -> None:
        self._identity = identity
        self._timeouts = timeouts
        self._links: dict[str, Link] = {}
        self._calls = 0

    @property
    def peers(self) -> tuple[str, ...]:
        """For whom something is kept."""
        return tuple(self._links)

    def link(self, peer: str) -> Link:
        """The kept link to ``peer``, or a new one whose connections are still to be made."""
        found = self._links.get(peer)
        if found is None:
            found = self._links[peer] = Link(self._session(), url(peer, RPC_PATH))
        return found

    async def forget(self, peer: str) -> None:
        """Close what is kept for ``peer``; its bearer token stays valid, as the SDK has it."""
        link = self._links.pop(peer, None)
        if link is not None:
            await link.session.close()

    async def fetch(self, peer: str, address: str) -> dict[str, Any]:
        """The JSON object at ``address``, a page of ``peer``'s own."""
        if urlsplit(address).hostname != host_of(peer):
            raise IdentityError(peer, f"expected a page of {host_of(peer)}, got {address[:200]!r}")
        return _object(peer, await self._exchange(peer, self.link(peer), "GET", address))

    async def call(self, peer: str, method: str, params: dict[str, Any], purpose: str = "call") -> dict[str, Any]:
        """The result of one JSON-RPC call, whose id begins with ``purpose``.

        Authenticated by the bearer token when there is one, else by a signature (RFC 9421); a token that the peer no
        longer knows is answered by its challenge, and that by a signature, as in the SDK's own client.
        """
        self._calls += 1
        request = {"jsonrpc": "2.0", "id": f"{purpose}-{self._calls}", "method": method, "params": params}
        body = json.dumps(request, separators=(",", ":"), ensure_ascii=False).encode()
        link, signer = self.link(peer), self._identity.authenticator
        address = link.rpc_url
        headers = signer.get_auth_header(address, method="POST", headers=_JSON, body=body)
        answer = await self._exchange(peer, link, "POST", address, body, headers)
        if answer.status == HTTPStatus.UNAUTHORIZED and "Authorization" in headers:
            signer.clear_token(address)
            headers = signer.get_challenge_auth_header(address, answer.headers, "POST", _JSON, body)
            answer = await self._exchange(peer, link, "POST", address, body, headers)
        parsed = _object(peer, answer)
        signer.update_token(address, answer.headers)
        result = parsed.get("result")
        if not isinstance(result, dict):
            raise PeerRejectedError(peer, f"expected a result of {method}, got {_short(answer.body)}")
        return result

    async def _exchange(
        self,
        peer: str,
        link: Link,
        method: str,
        address: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        # aiohttp writes small bodies together with their headers, but warns of large ones given as bytes.
        data = io.BytesIO(body) if body is not None and len(body) > _SINGLE_WRITE_BYTES else body
        sent = {**(_JSON if body is not None else {}), **(headers or {})}
        try:
            async with (
                asyncio.timeout(self._timeouts.connect_s + self._timeouts.ack_s),
                link.slots,
                link.session.request(method, address, data=data, headers=sent, allow_redirects=False) as response,
            ):
                answer = bytearray()
                async for chunk in response.content.iter_any():
                    answer += chunk
                    if len(answer) > MAX_ANSWER_BYTES:
                        raise PeerRejectedError(peer, f"expected at most {MAX_ANSWER_BYTES} bytes of answer, got more")
                return Answer(response.status, dict(response.headers), bytes(answer))
        except TimeoutError as error:
            raise PeerTimeoutError(peer, f"no answer to {method} {address} in time") from error
        except (aiohttp.ClientError, OSError, RuntimeError, ValueError) as error:
            raise as_protocol_error(peer, error) from error

    def _session(self) -> aiohttp.ClientSession:
        timeouts = self._timeouts
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                ssl=self._identity.trust,
                limit=0,
                keepalive_timeout=_KEEP_ALIVE_S,
                # A name may move to another address; the loop asks each time.
                use_dns_cache=False,
            ),
            timeout=aiohttp.ClientTimeout(sock_connect=timeouts.connect_s, sock_read=timeouts.ack_s),
            headers={"Accept-Encoding": "identity"},
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )


def as_protocol_error(peer: str, error: Exception) -> IdentityError | PeerRejectedError | PeerUnreachableError:
    """What a failed exchange says about the peer; RuntimeError comes from a session closed by a disconnect."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return IdentityError(peer, f"expected the certificate of {host_of(peer)}: {error.certificate_error}")
    if isinstance(error, aiohttp.ClientSSLError | aiohttp.ClientResponseError | ValueError):
        return PeerRejectedError(peer, f"expected HTTPS, got {type(error).__name__}: {error}")
    return PeerUnreachableError(peer, f"the connection failed: {error or type(error).__name__}")


def _object(peer: str, answer: Answer) -> dict[str, Any]:
    if answer.status != HTTPStatus.OK:
        raise PeerRejectedError(peer, f"expected status 200, got {answer.status} {_short(answer.body)}")
    try:
        parsed = json.loads(answer.body)
    except (ValueError, RecursionError) as error:
        raise PeerRejectedError(peer, f"expected JSON, got {_short(answer.body)}") from error
    if not isinstance(parsed, dict):
        raise PeerRejectedError(peer, f"expected a JSON object, got {_short(answer.body)}")
    return parsed


def _short(body: bytes) -> str:
    return repr(body[:300])
