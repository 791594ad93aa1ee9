"""ACP 0.2 (REST and server-sent events) through ``acp-sdk``.

A request is a run in ACP's *stream* mode: ``run.created`` is the receipt, ``run.completed`` carries the result. ACP's
asynchronous mode gives the same receipt, but after it a client can only ask for the run's status again and again;
the interval between two questions would be ours and would stand in the protocol's numbers. A stream has no timer.
Status and events of a run are asked for where ACP needs them: after a cut, for runs whose stream broke. Clients of
other origin may use any of the three modes (sync, async, stream) with our server.

All other messages are synchronous runs; the completed run, which has no output, is the receipt. ACP leaves identity
to an agent's metadata: the manifest names node id and incarnation.
"""

import asyncio
import contextlib
import logging
import ssl
from collections import OrderedDict
from collections.abc import AsyncIterator
from typing import Any, ClassVar

from acp_sdk.client import Client
from acp_sdk.models import (
    ACPError,
    Event,
    Run,
    RunCancelledEvent,
    RunCompletedEvent,
    RunCreatedEvent,
    RunFailedEvent,
    RunId,
    RunStatus,
)
from pydantic import TypeAdapter, ValidationError
from starlette.responses import Response

from protocols.acp import parts
from protocols.acp.client import Link, translated
from protocols.acp.presence import Presence
from protocols.acp.server import AcpServer, refusal
from protocols.acp.store import KeyedStore, RecentResources
from protocols.adapter import AdapterContext, BaseProtocolAdapter, Identity, Tell, checked
from protocols.errors import IdentityError, PeerRejectedError, PeerUnreachableError, ProtocolError
from protocols.message import Message, Traffic
from protocols.serving import AsgiServer, BodyRefusedError, bounded
from protocols.wire import classify, count_served

ROUTES = {"/ping": Traffic.HEARTBEAT}
_MAX_CUT_RUNS = 100
_IDENTITY = TypeAdapter(Identity)


class AcpAdapter(BaseProtocolAdapter):
    """One agent of its own name per node; runs carry messages, ``/ping`` probes, ``/agents/{name}`` identifies."""

    name: ClassVar[str] = "acp"
    distribution: ClassVar[str] = "acp-sdk"

    def __init__(self, context: AdapterContext) -> None:
        super().__init__(context)
        self._links: dict[str, Link] = {}
        self._streams: dict[asyncio.Task[None], Link] = {}
        self._cut: dict[str, OrderedDict[str, RunId]] = {}
        """Peer → request → its run, for runs whose stream broke before their end."""
        self._acp = AcpServer(context.identity, context.skills, self._stores(), self.rejections)
        self._server: AsgiServer | None = None
        self._serving = contextlib.AsyncExitStack()
        self._no_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        timeouts = context.timeouts
        self._bound_s = timeouts.connect_s + timeouts.ack_s

    async def start(self) -> None:
        """Serve this node's port."""
        # The SDK logs every failed run and every refused request with its stack; refusals are everyday events here.
        logging.getLogger("acp").setLevel(logging.CRITICAL)
        app = count_served(bounded(self._acp, self._refuse), self.context.counter, ROUTES)
        self._server = AsgiServer(app, self.context.listen())
        await self._serving.enter_async_context(self._acp.lifespan())
        await self._server.start()

    async def close(self) -> None:
        """End all streams and runs, close all clients and the server."""
        links = [self._links.pop(peer) for peer in list(self._links)]
        for link in links:  # first of all, so that no watch takes what follows for a peer's end
            await link.give_up()
        for stream, link in list(self._streams.items()):
            stream.cancel()
            await link.cut()
        await asyncio.gather(*self._streams, return_exceptions=True)
        for link in links:
            await link.cut()
        self._acp.close()
        if self._server is not None:
            await self._server.close()
        await self._serving.aclose()

    async def send_message(self, dest: str, content: Message) -> None:
        """A run of the peer's agent: of a request a streamed one, otherwise a synchronous one.

        A result ends the run that its request opened, and returns when the stream has been written to its end; when
        the stream breaks over it, that is a PeerUnreachableError. If the stream broke before, the run is completed
        all the same, so that its status and events tell the result to who asks for them, and the result is sent as a
        message too.
        """
        if content.kind == "request":
            await self._request(dest, content)
            return
        if content.kind == "result" and await self._completed(dest, content):
            return
        async with self._call(dest, "a run") as (client, url):
            run = await client.run_sync(parts.packed(content), agent=parts.agent_name(dest), base_url=url)
        if run.status is not RunStatus.COMPLETED:
            raise PeerRejectedError(dest, f"expected a completed run, it is {run.status}: {run.error}")

    def carries_back(self, content: Message) -> bool:
        """A result, while a run of its request is open and its stream unbroken."""
        return content.in_reply_to is not None and self._acp.waits_for(content.recipient, content.in_reply_to)

    async def receive_message(self) -> Message:
        """The next message that a run brought, or with which a run of ours ended."""
        content = await self._acp.inbox.get()
        if content.kind == "result" and content.in_reply_to is not None:
            self._forget_cut(content.sender, content.in_reply_to)
        return content

    async def connect(self, peer: str) -> Identity:
        """A new TCP connection, ``GET /ping``, and the manifest, which must name ``peer``."""
        await self.disconnect(peer)
        with classify(Traffic.HEARTBEAT, peer):  # a ping is a ping: the peer cannot tell one from another
            await self.probe(peer)
        try:
            async with self._call(peer, "the manifest") as (client, url):
                manifest = await client.agent(name=parts.agent_name(peer), base_url=url)
                identity = _IDENTITY.validate_python(manifest.metadata.model_extra)
        except PeerRejectedError as error:
            if isinstance(error.__cause__, ACPError):
                raise IdentityError(peer, f"expected agent {peer} at this address, got: {error.__cause__}") from error
            raise
        return checked(peer, identity)

    async def disconnect(self, peer: str) -> None:
        """Give the kept client up; it closes with the last run whose end is awaited on it."""
        link = self._links.pop(peer, None)
        if link is not None:
            await link.give_up()

    async def probe(self, peer: str) -> None:
        """``GET /ping``."""
        async with self._call(peer, "a ping") as (client, url):
            await client.ping(base_url=url)

    async def watch(self, peer: str, tell: Tell) -> None:
        """A stream of the peer's presence, which breaks when the peer dies."""
        presence = Presence(peer, self._url(peer), self._link(peer), self._bound_s, tell)
        await presence.follow(self.context.identity.node_id)

    async def resume(self, peer: str) -> None:
        """Ask for status and events of the runs whose stream broke; take the results of those that have ended."""
        for request, run_id in list(self._cut.get(peer, {}).items()):
            try:
                async with self._call(peer, "a run's status") as (client, url):
                    run = await client.run_status(run_id=run_id, base_url=url)
                    if not run.status.is_terminal:
                        continue  # the peer found no stream to end it on and will send the result by itself
                    events = [event async for event in client.run_events(run_id=run_id, base_url=url)]
            except PeerRejectedError:
                events = []  # a peer that was started anew knows nothing of it
            self._forget_cut(peer, request)
            for event in events:
                self._take(peer, request, event)

    def _refuse(self, _scope: Any, refused: BodyRefusedError) -> Response:
        self.rejections[refused.kind] += 1
        return refusal(refused.status, str(refused))

    def _stores(self) -> dict[str, Any]:
        """What the SDK's server is to remember in."""
        return {"store": KeyedStore(), "resource_store": RecentResources()}

    def _link(self, peer: str) -> Link:
        if peer not in self._links:
            self._links[peer] = Link(self.context.timeouts, self._no_tls)
        return self._links[peer]

    def _url(self, peer: str) -> str:
        endpoint = self.context.resolve(peer)
        return f"http://{endpoint.host}:{endpoint.port}"

    @contextlib.asynccontextmanager
    async def _call(self, peer: str, what: str) -> AsyncIterator[tuple[Client, str]]:
        """The SDK's client and the peer's base URL for one bounded call; only ProtocolErrors come out of here."""
        url, link = self._url(peer), self._link(peer)
        with translated(peer, what):
            async with link.held(), asyncio.timeout(self._bound_s):
                yield link.sdk, url

    async def _completed(self, dest: str, content: Message) -> bool:
        carried = self.carries_back(content)
        with translated(dest, "the end of its run"):
            delivered = await self._acp.complete(dest, content, self._bound_s)
        if carried and not delivered:
            raise PeerUnreachableError(dest, "the stream of its run broke")
        return delivered

    async def _request(self, dest: str, content: Message) -> None:
        receipt: asyncio.Future[RunId] = asyncio.get_running_loop().create_future()
        link = self._link(dest)
        stream = asyncio.create_task(self._follow(dest, content, link, receipt), name=f"run {content.message_id}")
        self._streams[stream] = link
        stream.add_done_callback(self._streams.pop)
        try:
            await receipt
        except asyncio.CancelledError:
            stream.cancel()
            raise

    async def _follow(self, peer: str, content: Message, link: Link, receipt: "asyncio.Future[RunId]") -> None:
        """Read the stream of one run to its end."""
        loop = asyncio.get_running_loop()
        request = content.message_id
        ended = False
        try:
            url, client = self._url(peer), link.in_session(parts.session_id(content))
            with translated(peer, "a streamed run"):
                async with link.held(), asyncio.timeout(self._bound_s) as bound:
                    async for event in client.run_stream(
                        parts.packed(content), agent=parts.agent_name(peer), base_url=url
                    ):
                        if isinstance(event, RunCreatedEvent) and not receipt.done():
                            receipt.set_result(event.run.run_id)
                            bound.reschedule(None)
                        ended = self._take(peer, request, event)
                        if ended:  # what is left is the end of the answer, which gives the connection back
                            bound.reschedule(loop.time() + self._bound_s)
        except ProtocolError as error:
            if not receipt.done():
                receipt.set_exception(error)
        finally:
            if not receipt.done():
                receipt.set_exception(PeerUnreachableError(peer, "the stream ended before its first event"))
            elif not ended and not receipt.cancelled() and receipt.exception() is None:
                self._remember_cut(peer, request, receipt.result())

    def _take(self, peer: str, request: str, event: Event) -> bool:
        """Whether the run has ended with this event; its result, if it has one, goes into the inbox."""
        if isinstance(event, RunCompletedEvent):
            result = _result_of(event.run)
            if result is not None and (result.sender, result.in_reply_to) == (peer, request):
                self._acp.inbox.put(result)  # if nobody takes results, its run still tells it
        return isinstance(event, RunCompletedEvent | RunFailedEvent | RunCancelledEvent)

    def _remember_cut(self, peer: str, request: str, run_id: RunId) -> None:
        cut = self._cut.setdefault(peer, OrderedDict())
        cut[request] = run_id
        if len(cut) > _MAX_CUT_RUNS:
            cut.popitem(last=False)

    def _forget_cut(self, peer: str, request: str) -> None:
        cut = self._cut.get(peer, OrderedDict())
        cut.pop(request, None)
        if not cut:
            self._cut.pop(peer, None)


class AcpStockAdapter(AcpAdapter):
    """ACP with the SDK's own stores, as it comes: to measure what they cost. See ``protocols.acp.store``."""

    name: ClassVar[str] = "acp-stock"

    def _refuse(self, _scope: Any, refused: BodyRefusedError) -> Response:
        self.rejections[refused.kind] += 1
        return refusal(refused.status, str(refused))

    def _stores(self) -> dict[str, Any]:
        return {}


def _result_of(run: Run) -> Message | None:
    try:
        return parts.unpacked(run.output)
    except ValidationError:
        return None
