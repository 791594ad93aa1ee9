"""The A2A server of one node: the SDK's request handler and routes around the lab's inbox."""

from collections import Counter
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from typing import Any

from a2a.helpers.proto_helpers import new_task, new_text_message
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.context import ServerCallContext
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandlerV2
from a2a.server.request_handlers.response_helpers import build_error_response
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes, create_rest_routes
from a2a.server.tasks import TaskUpdater
from a2a.types import (
    AgentCard,
    GetTaskRequest,
    SendMessageRequest,
    SubscribeToTaskRequest,
    Task,
    TaskState,
)
from a2a.types import Message as A2AMessage
from a2a.utils.constants import AGENT_CARD_WELL_KNOWN_PATH, TransportProtocol
from a2a.utils.error_handlers import build_rest_error_payload
from a2a.utils.errors import InternalError, InvalidParamsError, InvalidRequestError
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute

from protocols.a2a.codec import from_a2a, to_artifact
from protocols.a2a.guests import serve_guest
from protocols.a2a.tasks import BoundedTaskStore, OpenTask, OpenTasks
from protocols.adapter import accept
from protocols.inbox import Inbox
from protocols.message import Message, Traffic
from protocols.wire import attribute

# The SDK walks protobuf's own fields in Python: up to 30 us a mark, of which a message of ours has some dozens.
_MAX_MARKS, _MAX_STRINGS = 10_000, 10_000
_PARKED_S = 60.0
_LAB_MESSAGE = "lab message"
"""Where a call's context carries the message that the handler found in it."""


class Executor(AgentExecutor):
    """Puts what peers send into the inbox; a request stays an open task until :class:`OpenTasks` has its result."""

    def __init__(self, inbox: Inbox, open_tasks: OpenTasks, node_id: str, rejections: Counter[str]) -> None:
        self._inbox = inbox
        self.rejections = rejections
        self._open_tasks = open_tasks
        self._node_id = node_id

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        """Answer a message with a receipt, a request with a task."""
        message: Message | None = context.call_context.state.get(_LAB_MESSAGE)
        if message is None:
            await serve_guest(context, event_queue, self._node_id)
        elif message.kind == "request":
            await self._work_on(message, context, event_queue)
        else:
            self.take(message)
            await event_queue.enqueue_event(new_text_message("taken", context_id=context.context_id))

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        """Let go of the task; whatever the worker still finds out goes its own way."""
        await TaskUpdater(event_queue, context.task_id or "", context.context_id or "").cancel()

    def take(self, message: Message) -> None:
        """Into the inbox; raises the SDK's InternalError when that is full."""
        if not self._inbox.put(message):
            self.rejections["busy"] += 1
            raise InternalError("the inbox is full, try again later")

    async def _work_on(self, message: Message, context: RequestContext, event_queue: EventQueue) -> None:
        task, _ = self._open_tasks.admit(message)
        task_id, context_id = context.task_id or "", context.context_id or ""
        try:
            self.take(message)
            # The receipt: submitted, and not yet begun. The request itself is not sent back as history.
            await event_queue.enqueue_event(new_task(task_id, context_id, TaskState.TASK_STATE_SUBMITTED))
            result = to_artifact(await task.result)
            updater = TaskUpdater(event_queue, task_id, context_id)
            await updater.add_artifact(list(result.parts), result.artifact_id, metadata=result.metadata)
            await updater.complete()
        finally:
            self._open_tasks.close(task)


class RequestHandler(DefaultRequestHandlerV2):
    """The SDK's handler, which knows the lab's messages: whose they are, to whom, and whether they came before."""

    def __init__(self, executor: Executor, open_tasks: OpenTasks, node_id: str, card: AgentCard) -> None:
        super().__init__(
            executor,
            BoundedTaskStore(),
            card,
            validate_input_modes=True,
            interrupted_task_timeout=_PARKED_S,
        )
        self._executor = executor
        self._open_tasks = open_tasks
        self._node_id = node_id

    async def on_message_send(self, params: SendMessageRequest, context: ServerCallContext) -> A2AMessage | Task:
        """As the SDK's; a request that came before gets its task as it stands."""
        task, is_new = self._admit(self._read(params, context))
        answer: A2AMessage | Task
        if task is None:
            answer = await super().on_message_send(params, context)
        elif is_new:
            single = _only(super().on_message_send(params, context))
            (answer,) = [event async for event in self._open_tasks.read_out(task, single)]
        else:
            self._executor.take(context.state[_LAB_MESSAGE])
            await task.stored.wait()
            answer = await super().on_get_task(GetTaskRequest(id=task.task_id), context)
        return answer

    async def on_message_send_stream(
        self, params: SendMessageRequest, context: ServerCallContext
    ) -> AsyncGenerator[Any, None]:
        """As the SDK's; a request that came before joins the stream of its task."""
        task, is_new = self._admit(self._read(params, context))
        events = super().on_message_send_stream(params, context)
        if task is not None and not is_new:
            self._executor.take(context.state[_LAB_MESSAGE])
            await task.stored.wait()
            events = super().on_subscribe_to_task(SubscribeToTaskRequest(id=task.task_id), context)
        if task is not None:
            events = self._open_tasks.read_out(task, events)
        async with aclosing(events):
            async for event in events:
                yield event

    async def on_subscribe_to_task(
        self, params: SubscribeToTaskRequest, context: ServerCallContext
    ) -> AsyncGenerator[Any, None]:
        """As the SDK's."""
        attribute(Traffic.RESUME, None)
        events = super().on_subscribe_to_task(params, context)
        task = self._open_tasks.with_id(params.id)
        if task is not None:
            events = self._open_tasks.read_out(task, events)
        async with aclosing(events):
            async for event in events:
                yield event

    async def on_get_task(self, params: GetTaskRequest, context: ServerCallContext) -> Task | None:
        """As the SDK's."""
        attribute(Traffic.RESUME, None)
        task: Task | None = await super().on_get_task(params, context)
        return task

    def _admit(self, message: Message | None) -> tuple[OpenTask | None, bool]:
        """The task of a request, and whether it is new; no task for anything else."""
        if message is None or message.kind != "request":
            return None, True
        return self._open_tasks.admit(message)

    def _read(self, params: SendMessageRequest, context: ServerCallContext) -> Message | None:
        """The lab's message in ``params``, also left in ``context`` for the executor; None from a guest."""
        try:
            message = from_a2a(params.message)
        except ValueError as error:
            self._executor.rejections["malformed"] += 1
            raise InvalidParamsError(f"expected a message of the lab, got {str(error)[:200]}") from error
        if message is None:
            attribute(Traffic.TASK, None)
            return None
        accept(message)
        if message.recipient != self._node_id:
            self._executor.rejections["misaddressed"] += 1
            raise InvalidParamsError(f"expected a message for {self._node_id}, got one for {message.recipient}")
        context.state[_LAB_MESSAGE] = message
        return message


def application(handler: RequestHandler, card: AgentCard) -> Callable[[Any, Any, Any], Any]:
    """The ASGI application: the agent card and the bindings it names, each by the SDK's own routes."""
    routes: list[BaseRoute] = [*create_agent_card_routes(card)]
    for interface in card.supported_interfaces:
        if interface.protocol_binding == TransportProtocol.HTTP_JSON:
            routes += create_rest_routes(handler)
        else:
            routes += create_jsonrpc_routes(handler, rpc_url="/")
    app = Starlette(routes=routes)

    async def classified(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == AGENT_CARD_WELL_KNOWN_PATH:
            # A probe is a conditional GET of the card; to connect, all of it is fetched.
            conditional = any(name == b"if-none-match" for name, _ in scope["headers"])
            attribute(Traffic.HEARTBEAT if conditional else Traffic.HANDSHAKE, None)
        await app(scope, _readable(receive), send)

    return classified


def refusal(binding: str, reason: str) -> JSONResponse:
    """The error of A2A, in the form that ``binding`` gives it, for a body that will not be taken."""
    error = InvalidRequestError(reason)
    if binding == TransportProtocol.HTTP_JSON:
        payload = build_rest_error_payload(error)
        return JSONResponse(payload, status_code=payload["error"]["code"])
    return JSONResponse(build_error_response(None, error))


def _readable(receive: Callable[[], Any]) -> Callable[[], Any]:
    """``receive`` for a body of UTF-8 that is soon parsed; on anything else the SDK answers by an error of A2A."""

    async def readable() -> Any:
        event = await receive()
        body = event.get("body", b"")
        try:
            body.decode()
        except UnicodeDecodeError as error:
            raise InvalidRequestError(f"expected UTF-8, got {error.reason} at byte {error.start}") from error
        if _is_dense(body):
            raise InvalidRequestError(f"expected at most {_MAX_MARKS} values outside of texts")
        return event

    return readable


def _is_dense(body: bytes) -> bool:
    """Whether JSON has too many values for the SDK; what stands in strings, as our messages do, does not count."""
    plain = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    if plain.count(b'"') > 2 * _MAX_STRINGS:
        return True
    outside = b"".join(plain.split(b'"')[::2])
    return outside.count(b"[") + outside.count(b"{") + outside.count(b",") > _MAX_MARKS


async def _only(answer: Coroutine[Any, Any, A2AMessage | Task]) -> AsyncGenerator[A2AMessage | Task, None]:
    yield await answer
