"""A2A 1.0: agent cards, JSON-RPC messages with a receipt, and requests as tasks whose stream brings the result."""

import asyncio
import logging
import ssl
from typing import Any, ClassVar

from a2a.types import SendMessageConfiguration, SendMessageRequest, TaskState
from a2a.utils.constants import TransportProtocol
from starlette.responses import Response

from protocols.a2a.client import Link, translated
from protocols.a2a.codec import agent_card, identity_of, to_a2a
from protocols.a2a.requests import SentRequests
from protocols.a2a.server import Executor, RequestHandler, application, refusal
from protocols.a2a.tasks import OpenTasks
from protocols.adapter import AdapterContext, BaseProtocolAdapter, Broken, Identity, Tell, checked
from protocols.errors import PeerRejectedError, PeerTimeoutError, PeerUnreachableError
from protocols.inbox import Inbox
from protocols.message import Message
from protocols.serving import AsgiServer, BodyRefusedError, bounded
from protocols.wire import count_served

_NO_HISTORY = SendMessageConfiguration(history_length=0)
_REFUSED = (TaskState.TASK_STATE_FAILED, TaskState.TASK_STATE_REJECTED)


class A2AAdapter(BaseProtocolAdapter):
    """The card identifies and is the probe; messages go by ``SendMessage``, requests by ``SendStreamingMessage``.

    A result completes the task that its request opened. When nobody reads that task's stream any more, the result
    waits in the task and :meth:`send_message` raises PeerUnreachableError; sent again, or for a task this node does
    not know (it has restarted), it goes as a message of its own.
    """

    name: ClassVar[str] = "a2a"
    distribution: ClassVar[str] = "a2a-sdk"
    binding: ClassVar[str] = TransportProtocol.JSONRPC.value

    def __init__(self, context: AdapterContext) -> None:
        super().__init__(context)
        # The SDK logs whatever a peer does wrong, with a traceback; here that is an everyday event.
        logging.getLogger("a2a").setLevel(logging.CRITICAL)
        timeouts = context.timeouts
        self._bound_s = timeouts.connect_s + timeouts.ack_s
        self._inbox = Inbox()
        self._links: dict[str, Link] = {}
        self._watching: dict[str, list[Tell]] = {}
        self._requests = SentRequests(self._deliver, self._broke, self._bound_s)
        self._open_tasks = OpenTasks(self._broke)
        self._no_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._handler: RequestHandler | None = None
        self._server: AsgiServer | None = None

    async def start(self) -> None:
        """Serve this node's port: agent card and A2A."""
        identity = self.context.identity
        endpoint = self.context.resolve(identity.node_id)
        card = agent_card(identity, f"http://{endpoint.host}:{endpoint.port}/", self.binding, self.context.skills)
        executor = Executor(self._inbox, self._open_tasks, identity.node_id, self.rejections)
        self._handler = RequestHandler(executor, self._open_tasks, identity.node_id, card)
        app = count_served(bounded(application(self._handler, card), self._refuse), self.context.counter, {})
        self._server = AsgiServer(app, self.context.listen())
        await self._server.start()

    async def close(self) -> None:
        """End all streams, tasks and clients, and the server."""
        self._watching.clear()
        await self._requests.close()
        for peer in list(self._links):
            await self.disconnect(peer)
        if self._server is not None:
            await self._server.close()
        if self._handler is not None:
            await self._handler.aclose()
        await _end_shutdown_watcher()

    async def send_message(self, dest: str, content: Message) -> None:
        """A message, answered by one; a request, answered by its task; or the result that completes a peer's task."""
        if content.kind == "request":
            link = self._link(dest)
            # Without the limit a task comes with the message it was made of, as its history.
            call = SendMessageRequest(message=to_a2a(content), configuration=_NO_HISTORY)
            events = link.streaming.send_message(call, context=link.stream_call)
            await self._requests.ask(link, content, events)
        elif content.kind != "result" or not await self._completed(dest, content):
            await self._send(dest, content)

    def carries_back(self, content: Message) -> bool:
        """A result for which somebody reads the stream of an open task."""
        task = self._open_tasks.find(content.recipient, content.in_reply_to) if content.kind == "result" else None
        return task is not None and task.readers > 0 and not task.result.done()

    async def receive_message(self) -> Message:
        """The next message or result delivered."""
        return await self._inbox.get()

    async def connect(self, peer: str) -> Identity:
        """A new TCP connection and the whole agent card, which must name ``peer``."""
        await self.disconnect(peer)
        link = self._new_link(peer)
        try:
            with translated(peer, "a request for its agent card"):
                async with asyncio.timeout(self._bound_s):
                    identity = identity_of(await link.fetch_card())
            _check_name(peer, identity)
        except BaseException:
            await link.retire()
            raise
        await self.disconnect(peer)
        self._links[peer] = link
        return identity

    async def disconnect(self, peer: str) -> None:
        """Give up the kept client; it closes when the last stream on it has ended."""
        link = self._links.pop(peer, None)
        if link is not None:
            await link.retire()

    async def probe(self, peer: str) -> None:
        """A conditional request for the agent card: 304, or the card of another life."""
        link = self._link(peer)
        with translated(peer, "a conditional request for its agent card"):
            async with asyncio.timeout(self._bound_s), link.used():
                card = await link.check_card()
        if card is not None:
            _check_name(peer, identity_of(card))

    async def watch(self, peer: str, tell: Tell) -> None:
        """Wait until the stream of a task, ours at the peer or the peer's here, breaks before its time."""
        over = asyncio.Event()

        def broke(how: Broken) -> None:
            tell(how)
            over.set()

        watching = self._watching.setdefault(peer, [])
        watching.append(broke)
        try:
            await over.wait()
        finally:
            if broke in watching:
                watching.remove(broke)

    async def resume(self, peer: str) -> None:
        """Subscribe again to the tasks that ``peer`` works on for us, or fetch them if they are over."""
        await self._requests.resume(self._link(peer), peer)

    async def _send(self, dest: str, content: Message) -> None:
        link = self._link(dest)
        with translated(dest, "a message"):
            async with asyncio.timeout(self._bound_s), link.used():
                call = SendMessageRequest(message=to_a2a(content))
                async for event in link.unary.send_message(call, context=link.call):
                    if event.task.status.state in _REFUSED:
                        raise PeerRejectedError(dest, "expected the message to be taken, its task was rejected")

    async def _completed(self, dest: str, result: Message) -> bool:
        """Whether ``result`` went out on the task of the request it answers; raises ProtocolError."""
        task = self._open_tasks.find(dest, result.in_reply_to)
        if task is None or task.result.done():
            return False
        task.result.set_result(result)
        if not task.readers:
            raise PeerUnreachableError(dest, "expected it to wait for its result, nobody reads that task's stream")
        try:
            async with asyncio.timeout(self._bound_s):
                told = await asyncio.shield(task.told)
        except TimeoutError as error:
            raise PeerTimeoutError(dest, "it did not read its result in time") from error
        if not told:
            raise PeerUnreachableError(dest, "it hung up before it had read its result")
        return True

    def _link(self, peer: str) -> Link:
        link = self._links.get(peer)
        if link is None:
            link = self._links[peer] = self._new_link(peer)
        return link

    def _new_link(self, peer: str) -> Link:
        return Link(peer, self.context.resolve(peer), self.binding, self.context.timeouts, self._no_tls)

    def _deliver(self, message: Message) -> None:
        self._inbox.put(message)  # a result nobody takes: its task still has it

    def _refuse(self, _scope: Any, refused: BodyRefusedError) -> Response:
        self.rejections[refused.kind] += 1
        return refusal(self.binding, str(refused))

    def _broke(self, peer: str, how: Broken) -> None:
        for tell in self._watching.pop(peer, []):
            tell(how)


class A2ARestAdapter(A2AAdapter):
    """The same over A2A's HTTP+JSON binding: ``POST /message:send``, ``POST /message:stream``, ``GET /tasks/...``."""

    name: ClassVar[str] = "a2a-rest"
    binding: ClassVar[str] = TransportProtocol.HTTP_JSON.value


def _check_name(peer: str, identity: Identity) -> None:
    if not identity.node_id:
        raise PeerRejectedError(peer, "expected an agent card with a name, got one without")
    checked(peer, identity)


async def _end_shutdown_watcher() -> None:
    """End the task by which sse-starlette looks twice a second whether uvicorn stops; it would outlive every server."""
    for task in asyncio.all_tasks():
        if getattr(task.get_coro(), "__qualname__", "") == "_shutdown_watcher":
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
