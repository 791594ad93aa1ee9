"""The serving half: the SDK's own ASGI application with our two agents, and the way of a result into its run."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from acp_sdk.models import ACPError, Error, ErrorCode, MessagePart, Metadata
from acp_sdk.models import Message as AcpMessage
from acp_sdk.server import AgentManifest, Context, create_app
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException as StarletteHTTPException

from protocols.acp import parts
from protocols.adapter import Identity, accept
from protocols.inbox import Inbox
from protocols.message import Message, Traffic
from protocols.skills import Skill
from protocols.wire import attribute

_MAX_OPEN_RUNS = 1000
_MAX_HISTORY = 1000
_CODES = {400: ErrorCode.INVALID_INPUT, 404: ErrorCode.NOT_FOUND} | dict.fromkeys((413, 422), ErrorCode.INVALID_INPUT)
TOOLS = "tools"
"""The annotation of the manifest that lists a node's tools."""
_EXCHANGE = "fail-storm"
"""Where the exchange is kept in the ASGI scope."""
_CLASSES = (("/agents", Traffic.HANDSHAKE), ("/runs/", Traffic.RESUME))
"""The class of the protocol's own calls, by the beginning of their path; ``/ping`` is in the adapter's ROUTES."""


@dataclass(eq=False)
class _Exchange:
    """One HTTP exchange: the message it brought, and whether its answer went out to the end."""

    content: Message | None = None
    answered: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def cut(self) -> bool:
        """Whether it broke before its answer was out."""
        return self.ended.is_set() and not self.answered


@dataclass(frozen=True, eq=False)
class _OpenRun:
    """A request whose run goes on until its result is there."""

    exchange: _Exchange
    result: asyncio.Future[MessagePart]


class AcpServer:
    """Admits messages, runs them as ACP runs, and completes the runs of requests with their results."""

    def __init__(
        self, identity: Identity, skills: tuple[Skill, ...], stores: dict[str, Any], rejections: Counter[str]
    ) -> None:
        self.inbox = Inbox()
        self._rejections = rejections
        self._me = identity.node_id
        self._open: dict[tuple[str, str], list[_OpenRun]] = {}
        self._open_count = 0
        node = _NodeAgent(identity, skills, self._run)
        self._app: FastAPI = create_app(
            node, _PresenceAgent(), dependencies=[Depends(self._admit)], enable_playground_cors=False, **stores
        )
        self._app.exception_handler(StarletteHTTPException)(_refuse)
        self._app.exception_handler(RequestValidationError)(_refuse_briefly)
        self._name = node.name

    def lifespan(self) -> contextlib.AbstractAsyncContextManager[Any]:
        """What the application needs while it serves; to be entered by who serves it."""
        return self._app.router.lifespan_context(self._app)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one exchange (ASGI): find its class, note its end."""
        exchange = scope[_EXCHANGE] = _Exchange()
        for beginning, traffic in _CLASSES:
            if scope["path"].startswith(beginning):
                attribute(traffic, None)

        async def send_noting_the_end(event: Any) -> None:
            await send(event)
            if event["type"] == "http.response.body" and not event.get("more_body"):
                exchange.answered = True

        try:
            await self._app(scope, receive, send_noting_the_end)
        finally:
            exchange.ended.set()

    def waits_for(self, requester: str, request: str) -> bool:
        """Whether a run of this request is open whose exchange can still tell its result."""
        return any(not run.exchange.cut for run in self._open.get((requester, request), ()))

    async def complete(self, requester: str, result: Message, timeout_s: float) -> bool:
        """End the runs that wait for ``result``; True when one of their exchanges carried it to the end.

        Raises TimeoutError when the requester does not take it in time.
        """
        runs = self._open.get((requester, result.in_reply_to or ""), ())
        exchanges = [run.exchange for run in runs]
        for run in runs:
            if not run.result.done():
                run.result.set_result(parts.packed(result))
        async with asyncio.timeout(timeout_s):
            for exchange in exchanges:
                await exchange.ended.wait()
        return any(exchange.answered for exchange in exchanges)

    def close(self) -> None:
        """Fail every run that has not ended."""
        for runs in self._open.values():
            for run in runs:
                _give_up(run)

    async def _admit(self, request: Request) -> None:
        """Before a run is created: read the message it brings, and refuse what is not for this node.

        What passes is what the SDK's own models take without listing faults by the million.
        """
        if request.method != "POST" or request.scope["path"] != "/runs":
            return
        try:
            body = await request.json()  # parsed by FastAPI already
        except (ValueError, RecursionError) as error:
            raise self._no(422, "malformed", "expected JSON") from error
        match body:
            case {"session": {"history": [*urls]}} if len(urls) > _MAX_HISTORY:
                raise self._no(422, "malformed", f"expected {_MAX_HISTORY} messages of history, got {len(urls)}")
        watcher, envelope = parts.watcher_in(body), parts.envelope_in(body)
        if watcher is not None:
            attribute(Traffic.HEARTBEAT, watcher)
        elif envelope is not None:
            request.scope[_EXCHANGE].content = self._admitted(body.get("agent_name"), envelope)
        else:
            raise self._no(422, "malformed", "expected one part named fail-storm, or a stream of presence")

    def _admitted(self, agent: object, envelope: str) -> Message:
        try:
            content = Message.from_json(envelope)
        except ValidationError as error:
            raise self._no(422, "malformed", f"expected a message, got {error.error_count()} faults") from error
        accept(content)
        if agent != self._name:
            raise self._no(404, "misaddressed", f"expected a run of {self._name}, the node that is here")
        if content.recipient != self._me:
            raise self._no(422, "misaddressed", f"this is {self._me}")
        if self.inbox.is_full:
            raise self._no(503, "busy", "the inbox is full, try again later")
        if content.kind == "request" and self._open_count >= _MAX_OPEN_RUNS and not self._gave_one_up():
            raise self._no(503, "busy", "too many runs are open, try again later")
        return content

    async def _run(self, context: Context) -> MessagePart | None:
        """The run of an admitted message: at its end at once, or, of a request, when its result is there."""
        exchange: _Exchange = context.request.scope[_EXCHANGE]
        content = exchange.content
        if content is None:
            raise RuntimeError("expected an admitted message, got none")
        if content.kind != "request":
            self._take(content)
            return None
        key = content.sender, content.message_id
        run = _OpenRun(exchange, asyncio.get_running_loop().create_future())
        self._open.setdefault(key, []).append(run)
        self._open_count += 1
        try:
            self._take(content)
            return await run.result
        finally:
            self._open_count -= 1
            self._open[key].remove(run)
            if not self._open[key]:
                del self._open[key]

    def _take(self, content: Message) -> None:
        if not self.inbox.put(content):  # filled up since this message was admitted
            self._rejections["busy"] += 1
            raise ACPError(Error(code=ErrorCode.SERVER_ERROR, message="the inbox is full, try again later"))

    def _no(self, status: int, kind: str, reason: str) -> HTTPException:
        self._rejections[kind] += 1
        return HTTPException(status, reason)

    def _gave_one_up(self) -> bool:
        """Whether a run was found that nobody listens to any more; it is given up."""
        for runs in self._open.values():
            for run in runs:
                if run.exchange.cut and not run.result.done():
                    _give_up(run)
                    return True
        return False


class _NodeAgent(AgentManifest):
    """This node as an ACP agent; its manifest says which node, and which life of it, answers."""

    def __init__(
        self,
        identity: Identity,
        skills: tuple[Skill, ...],
        run: Callable[[Context], Awaitable[MessagePart | None]],
    ) -> None:
        self._identity = identity
        self._skills = skills
        self._run = run

    @property
    def name(self) -> str:
        """The node id as a DNS label."""
        return parts.agent_name(self._identity.node_id)

    @property
    def description(self) -> str:
        """One line for people."""
        return "A node of the Fail-Storm mesh."

    @property
    def input_content_types(self) -> list[str]:
        """JSON only."""
        return ["application/json"]

    @property
    def output_content_types(self) -> list[str]:
        """JSON only."""
        return ["application/json"]

    @property
    def metadata(self) -> Metadata:
        """Skills, node id and incarnation; ACP leaves the identity of agents to their metadata.

        A capability has no place for schemas; they are an annotation, an MCP list of the tools.
        """
        known: dict[str, Any] = {"node_id": self._identity.node_id, "incarnation": self._identity.incarnation}
        if self._skills:
            known["capabilities"] = [{"name": one.name, "description": one.description} for one in self._skills]
            known["annotations"] = {TOOLS: [skill.listed() for skill in self._skills]}
        return Metadata.model_validate(known)

    async def run(self, input: list[AcpMessage], context: Context) -> MessagePart | None:  # noqa: A002, ARG002
        """Take a message; the message itself was read when the run was admitted."""
        return await self._run(context)


class _PresenceAgent(AgentManifest):
    """An agent that does nothing but be there: a stream of its run breaks when the node dies."""

    @property
    def name(self) -> str:
        """The same at every node."""
        return parts.PRESENCE

    @property
    def description(self) -> str:
        """One line for people."""
        return "A stream of this agent goes on for as long as the node lives."

    async def run(self, input: list[AcpMessage], context: Context) -> None:  # noqa: A002, ARG002
        """Last as long as the stream."""
        await context.request.scope[_EXCHANGE].ended.wait()


def _give_up(run: _OpenRun) -> None:
    if not run.result.done():
        error = Error(code=ErrorCode.SERVER_ERROR, message="the node gives this run up")
        run.result.set_exception(ACPError(error))


async def _refuse(_: Request, error: StarletteHTTPException) -> JSONResponse:
    """As the SDK's handler, which warns about itself with current Starlette."""
    return refusal(error.status_code, error.detail, error.headers)


def refusal(status: int, reason: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """An error of ACP."""
    answer = Error(code=_CODES.get(status, ErrorCode.SERVER_ERROR), message=reason)
    return JSONResponse(answer.model_dump(mode="json"), status_code=status, headers=headers)


async def _refuse_briefly(request: Request, error: RequestValidationError) -> JSONResponse:
    """The SDK would repeat the whole input in its answer, and fail on text that is none."""
    first = error.errors()[0]
    where = ".".join(str(step) for step in first["loc"])
    reason = f"expected a run request, got {len(error.errors())} faults; {where}: {first['msg']}"
    return await _refuse(request, HTTPException(422, ascii(reason)[1:300]))
