"""The requests of peers that this node works on, each an open A2A task whose stream carries the result back."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from a2a.server.context import ServerCallContext
from a2a.server.tasks import InMemoryTaskStore
from a2a.types import Task, TaskState, TaskStatusUpdateEvent

from protocols.adapter import Broken
from protocols.message import Message
from protocols.wire import Tally, served

_KEPT_TASKS = 500
_UNDER_WAY = (TaskState.TASK_STATE_SUBMITTED, TaskState.TASK_STATE_WORKING)


@dataclass(eq=False)
class OpenTask:
    """One request, from its arrival until its result is on its way."""

    request: Message
    task_id: str = ""
    """Empty until the task is stored."""
    stored: asyncio.Event = field(default_factory=asyncio.Event)
    """Set too when it turned out that the task could not be made."""
    result: asyncio.Future[Message] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    told: asyncio.Future[bool] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    """Whether some reader took the result from its stream; False once the last one hung up before."""
    readers: int = 0


class OpenTasks:
    """All open tasks; a request sent again while its task is open joins that task."""

    def __init__(self, hung_up: Callable[[str, Broken], None]) -> None:
        self._hung_up = hung_up
        self._tasks: dict[tuple[str, str], OpenTask] = {}

    def admit(self, request: Message) -> tuple[OpenTask, bool]:
        """The task for ``request``, and whether it is a new one."""
        key = (request.sender, request.message_id)
        known = self._tasks.get(key)
        if known is not None:
            return known, False
        task = self._tasks[key] = OpenTask(request)
        return task, True

    def find(self, requester: str, request_id: str | None) -> OpenTask | None:
        """The open task of a request, None when there is none."""
        return self._tasks.get((requester, request_id or ""))

    def with_id(self, task_id: str) -> OpenTask | None:
        """The open task that A2A knows as ``task_id``."""
        return next((task for task in self._tasks.values() if task.task_id == task_id), None)

    def close(self, task: OpenTask) -> None:
        """Forget a task that is over, or never came to be."""
        self._tasks.pop((task.request.sender, task.request.message_id), None)
        task.stored.set()

    async def read_out(self, task: OpenTask, events: AsyncGenerator[Any, None]) -> AsyncIterator[Any]:
        """Pass the events of ``task`` on to one reader, and see whether it stays until the result."""
        task.readers += 1
        connection = served()
        # The SDK ends a stream whose reader hangs up like one that has come to its end.
        ended = False
        try:
            async with aclosing(events):
                async for event in events:
                    if isinstance(event, Task):
                        task.task_id = event.id
                        task.stored.set()
                    yield event
                    ended = isinstance(event, Task | TaskStatusUpdateEvent) and event.status.state not in _UNDER_WAY
        finally:
            task.readers -= 1
            self._left(task, connection, ended=ended)

    def _left(self, task: OpenTask, connection: Tally | None, *, ended: bool) -> None:
        if not task.task_id:
            self.close(task)
        elif not task.result.done():
            if not ended:
                end = connection.end if connection is not None else None
                self._hung_up(task.request.sender, Broken("it hung up on the stream of its own request", end))
        elif not task.told.done() and (ended or not task.readers):
            task.told.set_result(ended)


class BoundedTaskStore(InMemoryTaskStore):
    """The SDK's store in memory, which forgets the oldest tasks that are over: by itself it would keep them all."""

    def __init__(self) -> None:
        super().__init__()
        self._over: OrderedDict[str, ServerCallContext] = OrderedDict()

    async def save(self, task: Task, context: ServerCallContext) -> None:
        """As the SDK's, within bounds."""
        await super().save(task, context)
        if task.status.state in _UNDER_WAY:
            return
        self._over[task.id] = context
        if len(self._over) > _KEPT_TASKS:
            oldest, its_context = self._over.popitem(last=False)
            await super().delete(oldest, its_context)
