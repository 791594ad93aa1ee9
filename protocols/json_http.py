"""Plain JSON over HTTP: the baseline without an agent protocol on top."""

import asyncio
import ssl
from typing import Any, ClassVar

import httpx
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from pydantic import TypeAdapter, ValidationError

from protocols.adapter import AdapterContext, BaseProtocolAdapter, Identity, accept, checked
from protocols.errors import PeerRejectedError, PeerTimeoutError, PeerUnreachableError
from protocols.inbox import Inbox
from protocols.message import Message, Traffic
from protocols.serving import AsgiServer, BodyRefusedError, bounded
from protocols.wire import count_served

_MAX_ANSWER_BYTES = 64 * 1024
_IDENTITY = TypeAdapter(Identity)
_ROUTES = {"/health": Traffic.HEARTBEAT, "/hello": Traffic.HANDSHAKE}


class JsonHttpAdapter(BaseProtocolAdapter):
    """``POST /messages`` delivers, ``GET /hello`` identifies, ``GET /health`` probes; one kept client per peer."""

    name: ClassVar[str] = "json"
    distribution: ClassVar[str] = "httpx"

    def __init__(self, context: AdapterContext) -> None:
        super().__init__(context)
        self._inbox = Inbox()
        self._clients: dict[str, httpx.AsyncClient] = {}
        self._server: AsgiServer | None = None
        self._no_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    async def start(self) -> None:
        """Serve this node's port."""
        app = count_served(bounded(self._application(), self._refuse), self.context.counter, _ROUTES)
        self._server = AsgiServer(app, self.context.listen())
        await self._server.start()

    async def close(self) -> None:
        """Close all clients and the server."""
        for peer in list(self._clients):
            await self.disconnect(peer)
        if self._server is not None:
            await self._server.close()

    async def send_message(self, dest: str, content: Message) -> None:
        """``POST /messages``; 202 is the receipt."""
        status, answer = await self._call(dest, "POST", "/messages", content.to_json())
        if status != httpx.codes.ACCEPTED:
            raise PeerRejectedError(dest, f"expected 202 for a message, got {status} {answer[:200]!r}")

    async def receive_message(self) -> Message:
        """The next delivered message."""
        return await self._inbox.get()

    async def connect(self, peer: str) -> Identity:
        """A new TCP connection and ``GET /hello``; the answer must name ``peer``."""
        await self.disconnect(peer)
        return await self._identify(peer, "/hello")

    async def disconnect(self, peer: str) -> None:
        """Close the kept client."""
        client = self._clients.pop(peer, None)
        if client is not None:
            await client.aclose()

    async def probe(self, peer: str) -> None:
        """``GET /health``; raises IdentityError when another answers."""
        await self._identify(peer, "/health")

    async def _identify(self, peer: str, path: str) -> Identity:
        status, answer = await self._call(peer, "GET", path)
        try:
            return checked(peer, _IDENTITY.validate_json(answer))
        except ValidationError as error:
            raise PeerRejectedError(peer, f"expected node_id and incarnation, got {status} {answer[:200]!r}") from error

    async def _call(self, peer: str, method: str, path: str, content: bytes | None = None) -> tuple[int, bytes]:
        """Status and body of the peer's answer, whatever it is; only ProtocolErrors come out of here."""
        endpoint = self.context.resolve(peer)
        client = self._clients.get(peer)
        if client is None:
            client = self._clients[peer] = self._new_client()
        url = f"http://{endpoint.host}:{endpoint.port}{path}"
        headers = {"content-type": "application/json"} if content is not None else {}
        timeouts = self.context.timeouts
        answer = bytearray()
        try:
            # httpx bounds each read; a peer that trickles its answer would hold the caller for ever.
            async with (
                asyncio.timeout(timeouts.connect_s + timeouts.ack_s),
                client.stream(method, url, content=content, headers=headers) as response,
            ):
                async for chunk in response.aiter_raw():
                    answer += chunk
                    if len(answer) > _MAX_ANSWER_BYTES:
                        raise PeerRejectedError(peer, f"expected at most {_MAX_ANSWER_BYTES} bytes of answer, got more")
            if client.is_closed:
                # A disconnect came while this connection was being made, so the pool did not know it yet.
                await response.extensions["network_stream"].aclose()
            return response.status_code, bytes(answer)
        except (httpx.TimeoutException, TimeoutError) as error:
            raise PeerTimeoutError(peer, f"no answer to {method} {path} in time ({type(error).__name__})") from error
        except httpx.InvalidURL as error:
            raise PeerRejectedError(peer, f"expected an answer to {method} {path}, got a redirect: {error}") from error
        except httpx.RequestError as error:
            raise PeerUnreachableError(peer, f"{method} {path} failed: {error or type(error).__name__}") from error

    def _new_client(self) -> httpx.AsyncClient:
        timeouts = self.context.timeouts
        return httpx.AsyncClient(
            timeout=httpx.Timeout(timeouts.ack_s, connect=timeouts.connect_s),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=16, keepalive_expiry=None),
            # httpx reads all CA certificates for every client (26 ms of CPU); plain HTTP has no use for them.
            verify=self._no_tls,
            trust_env=False,
        )

    def _application(self) -> FastAPI:
        app = FastAPI(openapi_url=None)
        identity = self.context.identity

        @app.get("/health")
        @app.get("/hello")
        async def hello() -> JSONResponse:
            return JSONResponse({"node_id": identity.node_id, "incarnation": identity.incarnation})

        @app.post("/messages")
        async def messages(request: Request) -> Response:
            return self._deliver(await request.body())

        return app

    def _deliver(self, payload: bytes) -> Response:
        try:
            message = Message.from_json(payload)
        except ValidationError as error:
            return self._no(422, "malformed", f"expected a message, got {error.error_count()} faults")
        accept(message)
        if message.recipient != self.context.identity.node_id:
            return self._no(421, "misaddressed", f"this is {self.context.identity.node_id}")
        if not self._inbox.put(message):
            return self._no(503, "busy", "the inbox is full, try again later")
        return Response(status_code=202)

    def _refuse(self, _scope: Any, refused: BodyRefusedError) -> Response:
        return self._no(refused.status, refused.kind, str(refused))

    def _no(self, status: int, kind: str, reason: str) -> Response:
        self.rejections[kind] += 1
        return JSONResponse({"error": reason}, status_code=status)
