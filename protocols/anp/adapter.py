"""The ANP adapter: discovery by DID, RFC 9421 handshake, bearer token, signed ``direct.send``."""

import logging
import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import anp
from anp.openanp.client import parse_agent_document, parse_openrpc

from protocols.adapter import AdapterContext, BaseProtocolAdapter, Identity
from protocols.anp.authority import certify
from protocols.anp.client import AnpClient
from protocols.anp.direct import CAPABILITIES, CONNECT, SEND, capabilities_params, send_params
from protocols.anp.documents import Documents
from protocols.anp.errors import Reason
from protocols.anp.hosts import DID_PATH, did_of, node_at, url
from protocols.anp.identity import PROFILE_DIRECT, AnpIdentity, own_identity, serving_tls
from protocols.anp.service import ROUTES, AnpService
from protocols.errors import IdentityError, PeerRejectedError
from protocols.inbox import Inbox
from protocols.message import Message
from protocols.names import LabNames, naming
from protocols.serving import AsgiServer
from protocols.wire import count_served

_MALFORMED = (ValueError, TypeError, LookupError, AttributeError)


class AnpAdapter(BaseProtocolAdapter):
    """ANP 1.2 over HTTPS.

    Receipt: the JSON-RPC answer to ``direct.send``, whose success means "taken in" and no more (P3, 3.3). ANP knows no
    long-running unit, so results travel as messages of their own. P3 asks receivers to drop operations they have
    seen; the lab does that once for all protocols, in ``agent/``: here the same message may come again, while the
    same *proof* is a replay.
    """

    name: ClassVar[str] = "anp"
    distribution: ClassVar[str] = "anp"

    def __init__(self, context: AdapterContext) -> None:
        super().__init__(context)
        self._identity: AnpIdentity = own_identity(context.identity.node_id, context.workspace)
        self._names = LabNames(self._locate, self._identity.trust, context.counter)
        self._client = AnpClient(self._identity, context.timeouts)
        self._documents = Documents(self._identity, context.timeouts, context.clock)
        self._inbox = Inbox()
        self._server: AsgiServer | None = None
        _quieten_sdk()

    @classmethod
    def prepare(cls, folder: Path, workspaces: Mapping[str, Path]) -> None:
        """Make the lab's CA in ``folder``/ca, and a certificate and key for each node in its workspace."""
        certify(folder / "ca", workspaces)

    @classmethod
    def serving_tls(cls, workspace: Path) -> ssl.SSLContext:
        """The certificate made by :meth:`prepare`."""
        return serving_tls(workspace)

    async def start(self) -> None:
        """Serve this node's port."""
        service = AnpService(
            self.context, self._identity, self._documents, self._names, self._inbox.put, self._count_rejection
        )
        app = count_served(service, self.context.counter, ROUTES)
        self._server = AsgiServer(app, self.context.listen(), tls=self.serving_tls(self.context.workspace))
        await self._server.start()

    async def close(self) -> None:
        """Close all clients and the server."""
        for peer in self._client.peers:
            await self.disconnect(peer)
        if self._server is not None:
            await self._server.close()

    async def send_message(self, dest: str, content: Message) -> None:
        """``direct.send``; raises PeerRejectedError also for a certificate of another host."""
        try:
            with naming(self._names):
                receipt = await self._client.call(
                    dest, SEND, send_params(self._identity, dest, content, self.context.civil_time())
                )
        except IdentityError as error:
            raise PeerRejectedError(dest, str(error)) from error
        if receipt.get("accepted") is not True or receipt.get("message_id") != content.message_id:
            raise PeerRejectedError(dest, f"expected a receipt for {content.message_id}, got {str(receipt)[:200]}")

    async def receive_message(self) -> Message:
        """The next delivered message."""
        return await self._inbox.get()

    async def connect(self, peer: str) -> Identity:
        """DID document → agent description → OpenRPC interface → ``anp.get_capabilities``, signed → bearer token.

        As in the SDK's own client a token that this peer has issued before is shown instead of a new signature; a new
        life of the peer does not take it and asks for the signature. The DID binds the host (TLS) and the key (its
        proof); the agent description names node and incarnation, 0 if it does not say. Raises IdentityError when any
        of them is another's.
        """
        await self.disconnect(peer)
        did = did_of(peer)
        with naming(self._names):
            document = await self._client.fetch(peer, url(peer, DID_PATH))
            self._documents.keep(peer, document)
            description = await self._client.fetch(peer, _endpoint(peer, document, "AgentDescription"))
            if (description.get("identifier"), description.get("name")) != (did, peer):
                named = f"{description.get('name')!r}, {description.get('identifier')!r}"
                raise IdentityError(peer, f"expected {did} at this address, {named} answers")
            self._client.link(peer).rpc_url = await self._rpc_url(peer, description)
            result = await self._capabilities(peer, CONNECT)
        if result.get("service_did") != did:
            raise IdentityError(peer, f"expected {did} to serve this address, got {result.get('service_did')!r}")
        profiles = result.get("supported_profiles")
        if not isinstance(profiles, list) or PROFILE_DIRECT not in profiles:
            raise PeerRejectedError(peer, f"expected support of {PROFILE_DIRECT}, got {profiles!r}")
        incarnation = description.get("incarnation", 0)
        if type(incarnation) is not int:
            raise PeerRejectedError(peer, f"expected a whole number as incarnation, got {incarnation!r}")
        return Identity(peer, incarnation)

    async def disconnect(self, peer: str) -> None:
        """Close the kept connections."""
        await self._client.forget(peer)

    async def probe(self, peer: str) -> None:
        """``anp.get_capabilities`` with the bearer token: ANP has no presence, this is its cheapest authentic call."""
        with naming(self._names):
            await self._capabilities(peer, "probe")

    async def _capabilities(self, peer: str, purpose: str) -> dict[str, Any]:
        return await self._client.call(peer, CAPABILITIES, capabilities_params(self.context.civil_time()), purpose)

    async def _rpc_url(self, peer: str, description: dict[str, Any]) -> str:
        """Where the peer's OpenRPC interface, which must offer what the lab needs, is served."""
        try:
            _, methods = parse_agent_document(description)
            if not methods:
                links = [entry["url"] for entry in description["interfaces"] if entry["protocol"] == "openrpc"]
                methods = parse_openrpc(await self._client.fetch(peer, links[0]))
            offered = {method["name"]: method["servers"][0]["url"] for method in methods}
            if not {SEND, CAPABILITIES} <= offered.keys():
                raise PeerRejectedError(peer, f"expected {SEND} and {CAPABILITIES}, got {sorted(offered)}")
            return str(offered[SEND])
        except _MALFORMED as error:
            raise PeerRejectedError(peer, f"expected an OpenRPC interface, got: {error!r}") from error

    def _count_rejection(self, reason: Reason) -> None:
        self.rejections[reason] += 1

    def _locate(self, host: str) -> tuple[str, int] | None:
        node = node_at(host)
        if node is None:
            return None
        endpoint = self.context.resolver(node)
        return endpoint.host, endpoint.port


def _endpoint(peer: str, document: dict[str, Any], kind: str) -> str:
    try:
        return str(next(entry["serviceEndpoint"] for entry in document["service"] if entry["type"] == kind))
    except (*_MALFORMED, StopIteration) as error:
        raise PeerRejectedError(peer, f"expected a service of type {kind} in the DID document") from error


def _quieten_sdk() -> None:
    """What the SDK logs as errors is what this lab makes happen: refused tokens, dead hosts; each has its own count."""
    logging.getLogger("anp").setLevel(logging.CRITICAL)
    logging.getLogger().addFilter(_is_not_anp)


def _is_not_anp(record: logging.LogRecord) -> bool:
    """The SDK logs, with stack traces, to the root logger too."""
    return not record.pathname.startswith(os.path.dirname(anp.__file__))  # noqa: PTH120 - as logging spells it
