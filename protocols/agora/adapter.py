"""Agora: one protocol document, known to both sides by its hash, over HTTP POST."""
# mypy: disable-error-code="import-untyped"

import json
import logging
from typing import Any, ClassVar

from agora.utils import encode_as_data_uri
from pydantic import JsonValue, TypeAdapter, ValidationError
from starlette.responses import JSONResponse, Response

from protocols.adapter import AdapterContext, BaseProtocolAdapter, Identity, accept, checked
from protocols.agora.document import DOCUMENT, IDENTIFY, PROTOCOL_HASH
from protocols.agora.link import Link
from protocols.agora.receiver import WELL_KNOWN, application
from protocols.agora.transport import Session, Transporter, fetch
from protocols.agora.wsgi import InlineWsgi
from protocols.errors import PeerRejectedError
from protocols.inbox import Inbox
from protocols.message import Message, Traffic
from protocols.serving import AsgiServer, BodyRefusedError, bounded
from protocols.wire import attribute, count_served

_STORAGE = ".agora/receiver.json"
_OK, _NOT_MODIFIED, _NOT_FOUND = 200, 304, 404
_SOURCES = [encode_as_data_uri(DOCUMENT)]
_OBJECT = TypeAdapter(dict[str, JsonValue])
_IDENTITY = TypeAdapter(Identity)


class AgoraAdapter(BaseProtocolAdapter):
    """A node serves the routine of one document: who it is, and the delivery of messages; results are messages too.

    The SDK is synchronous. Its client works in threads that belong to the link of each peer. Its server application
    runs inside the event loop: with the routine registered nothing in it blocks, and werkzeug's development server, by
    which the SDK would serve it, ends each connection with its first answer and leaves its threads behind.

    Of the SDK's sender this is the transporter, which is all that shows on the wire. ``Sender.execute_task`` around it
    builds the schema of its tool anew for each call (3 ms) and rewrites its storage twice, without a lock.

    A node's skills are not published: the list of documents maps hashes to addresses and nothing else, and a document
    is a way of talking, whose hash would have to differ with each node's skills. Agora describes agents nowhere else.
    """

    name: ClassVar[str] = "agora"
    distribution: ClassVar[str] = "agora-protocol"

    def __init__(self, context: AdapterContext) -> None:
        super().__init__(context)
        self._inbox = Inbox()
        self._links: dict[str, Link] = {}
        self._ending: dict[Link, None] = {}
        self._server: AsgiServer | None = None

    async def start(self) -> None:
        """Serve this node's port; document and routine are registered, or found in the workspace."""
        logging.getLogger("urllib3").setLevel(logging.ERROR)  # peers break connections all the time here
        served = application(self._identify, self._deliver, self.context.workspace / _STORAGE)
        app = count_served(bounded(InlineWsgi(served), self._refuse), self.context.counter, {})
        self._server = AsgiServer(app, self.context.listen())
        await self._server.start()

    async def close(self) -> None:
        """Cut what is under way and free all links and the server."""
        for link in [*self._links.values(), *self._ending]:
            link.cut()
        for peer in list(self._links):
            await self.disconnect(peer)
        for link in list(self._ending):
            await link.close()
        if self._server is not None:
            await self._server.close()

    async def send_message(self, dest: str, content: Message) -> None:
        """``POST /`` with the document's hash; the routine's answer is the receipt."""
        answer = await self._converse(dest, content.to_json().decode())
        if _object(dest, answer).get("received") != content.message_id:
            raise PeerRejectedError(dest, f"expected the receipt of {content.message_id}, got {answer[:200]!r}")

    async def receive_message(self) -> Message:
        """The next delivered message."""
        return await self._inbox.get()

    async def connect(self, peer: str) -> Identity:
        """Ask for the peer's documents, then who it is, offering ours where it is missing; the answer must name it.

        The specification leaves the list of documents optional, and the SDK's own server has none.
        """
        await self.disconnect(peer)
        status, answer = await self._get_documents(peer)
        if status not in (_OK, _NOT_FOUND):
            raise PeerRejectedError(peer, f"expected a list of documents, got {status} {answer[:200]!r}")
        documents = _object(peer, answer) if status == _OK else {}
        self._link(peer).knows_protocol = PROTOCOL_HASH in documents
        named = await self._converse(peer, IDENTIFY)
        try:
            return checked(peer, _IDENTITY.validate_json(named))
        except ValidationError as error:
            raise PeerRejectedError(peer, f"expected node_id and incarnation, got {named[:200]!r}") from error

    async def disconnect(self, peer: str) -> None:
        """Close the kept connections and their threads, after the exchanges under way."""
        link = self._links.pop(peer, None)
        if link is not None:
            self._ending[link] = None
            await link.close()
            del self._ending[link]

    async def probe(self, peer: str) -> None:
        """A conditional request for the list of documents: 304, or the SDK's own 404, is a sign of life."""
        status, _ = await self._get_documents(peer, {"If-None-Match": "*"})
        if status not in (_OK, _NOT_MODIFIED, _NOT_FOUND):
            raise PeerRejectedError(peer, f"expected 304 for a probe, got {status}")

    async def _get_documents(self, peer: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
        url = self._address(peer) + WELL_KNOWN
        timeouts = self.context.timeouts
        return await self._link(peer).call(lambda session: fetch(session, timeouts, "GET", url, headers=headers))

    async def _converse(self, peer: str, query: str) -> str:
        """One round under our document: the body of the answer; with the document itself if the peer may lack it."""
        link, target = self._link(peer), self._address(peer)
        sources = [] if link.knows_protocol else _SOURCES
        timeouts = self.context.timeouts

        def converse(session: Session) -> Any:
            transporter = Transporter(session, timeouts)
            rounds = transporter.new_conversation(
                target, multiround=False, protocol_hash=PROTOCOL_HASH, protocol_sources=sources
            )
            with rounds as conversation:
                return conversation(query)["body"]

        try:
            answer = await link.call(converse)
        except PeerRejectedError:
            link.knows_protocol = False
            raise
        if not isinstance(answer, str):
            raise PeerRejectedError(peer, f"expected a string for a body, got {str(answer)[:200]!r}")
        link.knows_protocol = True
        return answer

    def _link(self, peer: str) -> Link:
        link = self._links.get(peer)
        if link is None:
            link = self._links[peer] = Link(peer, self.context.counter, self.context.timeouts)
        return link

    def _address(self, peer: str) -> str:
        endpoint = self.context.resolve(peer)
        return f"http://{endpoint.host}:{endpoint.port}"

    def _identify(self) -> str:
        attribute(Traffic.HANDSHAKE, None)
        identity = self.context.identity
        return json.dumps({"node_id": identity.node_id, "incarnation": identity.incarnation})

    def _deliver(self, text: str) -> str:
        try:
            message = Message.from_json(text)
        except ValidationError as error:
            return self._no("malformed", f"expected a message, got {error.error_count()} faults")
        accept(message)
        if message.recipient != self.context.identity.node_id:
            return self._no("misaddressed", f"this is {self.context.identity.node_id}")
        if not self._inbox.put(message):
            return self._no("busy", "the inbox is full, try again later")
        return json.dumps({"received": message.message_id})

    def _no(self, kind: str, reason: str) -> str:
        self.rejections[kind] += 1
        return json.dumps({"error": reason})

    def _refuse(self, _scope: Any, refused: BodyRefusedError) -> Response:
        self.rejections[refused.kind] += 1
        return JSONResponse({"status": "error", "message": str(refused)}, status_code=refused.status)


def _object(peer: str, answer: str | bytes) -> dict[str, JsonValue]:
    try:
        return _OBJECT.validate_json(answer)
    except ValidationError as error:
        raise PeerRejectedError(peer, f"expected a JSON object, got {answer[:200]!r}") from error
