"""The requests this node has sent and waits for, each with the stream that brings its result."""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from a2a.types import (
    Artifact,
    GetTaskRequest,
    Part,
    StreamResponse,
    SubscribeToTaskRequest,
    Task,
    TaskState,
    TaskStatus,
)
from a2a.utils.errors import TaskNotFoundError, UnsupportedOperationError

from protocols.a2a.client import Link, translated
from protocols.a2a.codec import foreign_result, from_artifact, is_of_the_lab
from protocols.adapter import Broken
from protocols.breaks import breaks_told
from protocols.errors import PeerRejectedError, ProtocolError
from protocols.message import Message
from protocols.wire import Carrier, carried

_MAX_REMEMBERED = 10_000
_OVER = (
    TaskState.TASK_STATE_COMPLETED,
    TaskState.TASK_STATE_CANCELED,
    TaskState.TASK_STATE_FAILED,
    TaskState.TASK_STATE_REJECTED,
)
_REFUSED = (TaskState.TASK_STATE_FAILED, TaskState.TASK_STATE_REJECTED)

Deliver = Callable[[Message], None]
Broke = Callable[[str, Broken], None]


@dataclass(eq=False)
class Asked:
    """One request under way."""

    request: Message
    task_id: str = ""
    """Empty until the first event."""
    over: bool = False
    refused: bool = False
    parts: list[Part] = field(default_factory=list)
    """What a foreign agent has answered so far, perhaps in chunks."""


class SentRequests:
    """Follows the streams of all requests sent; a reader lives until its task is over, whatever happens to links."""

    def __init__(self, deliver: Deliver, broke: Broke, receipt_s: float) -> None:
        self._deliver = deliver
        self._broke = broke
        self._receipt_s = receipt_s
        self._asked: OrderedDict[tuple[str, str], Asked] = OrderedDict()
        self._readers: dict[asyncio.Task[None], Asked] = {}

    async def ask(self, link: Link, request: Message, events: AsyncIterator[StreamResponse]) -> None:
        """Start the task that ``events`` are of; returns on its first event, raises ProtocolError."""
        asked = self._asked.setdefault((request.recipient, request.message_id), Asked(request))
        if len(self._asked) > _MAX_REMEMBERED:
            self._asked.popitem(last=False)
        try:
            await self._follow(link, asked, events, "a request")
        finally:
            if not asked.task_id and not self._is_read(asked):
                self._forget(asked)

    async def resume(self, link: Link, peer: str) -> None:
        """Take up again what ``peer`` was asked and its streams were cut off from; raises ProtocolError."""
        cut_off = [asked for (name, _), asked in self._asked.items() if name == peer and not self._is_read(asked)]
        for asked in cut_off:
            try:
                await self._subscribe(link, asked)
            except PeerRejectedError as error:
                if not isinstance(error.__cause__, TaskNotFoundError):
                    raise
                self._forget(asked)  # the peer has begun a new life, which knows nothing of it

    async def close(self) -> None:
        """End all readers."""
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)

    async def _subscribe(self, link: Link, asked: Asked) -> None:
        subscription = link.streaming.subscribe(SubscribeToTaskRequest(id=asked.task_id), context=link.stream_call)
        try:
            await self._follow(link, asked, subscription, "a subscription")
        except PeerRejectedError as error:
            # Finished meanwhile: what cannot be subscribed to any more can be fetched.
            if not isinstance(error.__cause__, UnsupportedOperationError):
                raise
            peer = asked.request.recipient
            with translated(peer, "a task's state"):
                async with asyncio.timeout(self._receipt_s), link.used():
                    task = await link.unary.get_task(GetTaskRequest(id=asked.task_id), context=link.call)
                    self._take_task(asked, task)

    async def _follow(self, link: Link, asked: Asked, events: AsyncIterator[StreamResponse], doing: str) -> None:
        """Read ``events`` in the background; returns when the first has come."""
        receipt: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        reader = asyncio.create_task(self._read(link, asked, events, receipt, doing), name="a2a stream")
        self._readers[reader] = asked
        reader.add_done_callback(self._readers.pop)
        try:
            with translated(asked.request.recipient, doing):
                async with asyncio.timeout(self._receipt_s):
                    await receipt
        except BaseException:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
            raise

    async def _read(
        self, link: Link, asked: Asked, events: AsyncIterator[StreamResponse], receipt: asyncio.Future[None], doing: str
    ) -> None:
        peer = asked.request.recipient
        carrier = Carrier()

        def broke(what: str) -> None:
            if receipt.done() and not asked.over:
                self._broke(peer, Broken(what, carrier.end))

        try:
            async with link.used():
                at_once = breaks_told(lambda why: broke(f"{doing} failed: {why}"))
                with translated(peer, doing), carried() as carrier, at_once:
                    async for event in events:
                        self._take(asked, event)
                        if asked.refused:
                            raise PeerRejectedError(peer, "expected the request to be taken, its task was rejected")
                        if not receipt.done():
                            receipt.set_result(None)
                if not asked.over:
                    raise PeerRejectedError(peer, "expected the stream to last as long as its task, it ended before")
        except ProtocolError as error:
            if receipt.done():
                broke(str(error))
            else:
                receipt.set_exception(error)

    def _take(self, asked: Asked, event: StreamResponse) -> None:
        match event.WhichOneof("payload"):
            case "task":
                self._take_task(asked, event.task)
            case "artifact_update":
                asked.task_id = asked.task_id or event.artifact_update.task_id
                self._take_artifact(asked, event.artifact_update.artifact)
            case "status_update":
                self._settle(asked, event.status_update.status)
            case "message":
                self._settle(asked, TaskStatus(state=TaskState.TASK_STATE_COMPLETED, message=event.message))

    def _take_task(self, asked: Asked, task: Task) -> None:
        """A snapshot: all there is, not what is new."""
        if not asked.task_id and task.status.state in _REFUSED:
            asked.refused = self._forget(asked)
        asked.task_id = task.id
        asked.parts.clear()
        for artifact in task.artifacts:
            self._take_artifact(asked, artifact)
        self._settle(asked, task.status)

    def _take_artifact(self, asked: Asked, artifact: Artifact) -> None:
        if not is_of_the_lab(artifact):
            asked.parts.extend(artifact.parts)
        elif self._forget(asked):  # several streams may bring the same result
            with contextlib.suppress(ValueError):  # nonsense is no result
                self._deliver(from_artifact(artifact))

    def _settle(self, asked: Asked, status: TaskStatus) -> None:
        if status.state not in _OVER:
            return
        asked.over = True
        if self._forget(asked):
            task_id = asked.task_id or asked.request.message_id
            parts = [*asked.parts, *status.message.parts]
            self._deliver(foreign_result(asked.request, task_id, parts, TaskState.Name(status.state)))

    def _forget(self, asked: Asked) -> bool:
        """Whether it was still waited for."""
        return self._asked.pop((asked.request.recipient, asked.request.message_id), None) is not None

    def _is_read(self, asked: Asked) -> bool:
        return any(other is asked and not reader.done() for reader, other in self._readers.items())
