"""Serves an ASGI application on a counted socket inside the running event loop, and bounds what callers send."""

import asyncio
import contextlib
import http
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import uvicorn
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from uvicorn.protocols.http.h11_impl import H11Protocol

from protocols.errors import LabError
from protocols.wire import CountingListener

MAX_BODY_BYTES = 8 * 1024 * 1024
"""Of one request, alike for every protocol."""

# Parsing costs up to 1 us a container and 0.1 us a value (cyclic garbage collection included); an agent's loop stands
# still meanwhile. 8 MiB of empty lists would hold it for 2.6 s, 8 MiB of nested ones for as long.
_MAX_CONTAINERS, _MAX_VALUES = 100_000, 300_000
_MAX_HELD_BYTES = 64 * 1024 * 1024
"""Of all requests under way at one server."""
_LINGER_S = 1.0
_START_TIMEOUT_S = 10.0
_CLOSE_TIMEOUT_S = 1
_KEEP_ALIVE_S = 3600

AsgiApp = Callable[[Any, Any, Any], Awaitable[None]]


class BodyRefusedError(Exception):
    """A body that will not be taken; ``status`` is HTTP's word for the reason."""

    def __init__(self, status: http.HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.kind = "busy" if status is http.HTTPStatus.SERVICE_UNAVAILABLE else "too_large"
        """Under which it is counted in an adapter's ``rejections``."""


Refusal = Callable[[Any, BodyRefusedError], Response]
"""(ASGI scope, why) → the protocol's own answer to it."""


class Bodies:
    """The request bodies under way at one server, bounded one by one and together."""

    def __init__(self) -> None:
        self._held = 0

    @contextlib.asynccontextmanager
    async def reading(self, scope: Any, receive: Any) -> AsyncIterator[bytes]:
        """The whole body, accounted for until the end of the block.

        Raises BodyRefusedError as soon as it is known to be too much, ClientDisconnect when the caller goes away.
        """
        announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if int(announced) > MAX_BODY_BYTES:
            raise _too_large()
        chunks, size, more = [], 0, True
        try:
            while more:
                event = await receive()
                if event["type"] == "http.disconnect":
                    raise ClientDisconnect
                chunks.append(event.get("body", b""))
                size += len(chunks[-1])
                self._held += len(chunks[-1])
                if size > MAX_BODY_BYTES:
                    raise _too_large()
                if self._held > _MAX_HELD_BYTES:
                    raise BodyRefusedError(http.HTTPStatus.SERVICE_UNAVAILABLE, "too much at a time, try again later")
                more = event.get("more_body", False)
            body = b"".join(chunks)
            _check_density(body)
            yield body
        finally:
            self._held -= size


def bounded(app: AsgiApp, refusal: Refusal) -> AsgiApp:
    """``app``, which gets each body whole and within bounds; what is not is answered by ``refusal`` and hung up on."""
    bodies = Bodies()

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        try:
            async with bodies.reading(scope, receive) as body:
                await app(scope, replay(body, receive), send)
        except ClientDisconnect:  # the caller died in mid-message: an everyday event here, and nobody to answer
            return
        except BodyRefusedError as refused:
            await hang_up(refusal(scope, refused), receive, send)

    return serve


async def hang_up(response: Response, receive: Any, send: Any) -> None:
    """Send ``response`` as the connection's last, whether or not its request has been read."""
    response.headers["connection"] = "close"
    await send({"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers})
    await send({"type": "http.response.body", "body": response.body, "more_body": True})
    # Who still sends gets a moment to see the answer: closed at once, unread bytes would reset the connection under it.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LINGER_S):
            while (await receive()).get("more_body"):
                pass
    await send({"type": "http.response.body", "body": b""})


def replay(body: bytes, receive: Any) -> Any:
    """An ASGI ``receive`` that brings ``body`` at once, and then what the real one brings."""
    rest = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def next_event() -> Any:
        return next(rest, None) or await receive()

    return next_event


def _too_large() -> BodyRefusedError:
    return BodyRefusedError(http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"expected at most {MAX_BODY_BYTES} bytes")


def _check_density(body: bytes) -> None:
    """Raise BodyRefusedError for JSON that would take long to parse; counts the marks in strings, too."""
    if body.count(b"[") + body.count(b"{") > _MAX_CONTAINERS or body.count(b",") > _MAX_VALUES:
        raise BodyRefusedError(
            http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"expected at most {_MAX_CONTAINERS} lists and objects and {_MAX_VALUES} values",
        )


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: signals belong to the process's own wiring."""

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        """Leave the signals alone."""
        yield


class AsgiServer:
    """uvicorn (HTTP/1.1 by h11, alike for every protocol) on one listening socket; with ``tls`` it speaks HTTPS."""

    def __init__(self, app: AsgiApp, listener: socket.socket, tls: ssl.SSLContext | None = None) -> None:
        self._listener = listener
        config = uvicorn.Config(
            app,
            http=H11Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            # A caller is who its connection says, not who its headers say: the byte count goes by address.
            proxy_headers=False,
            # Links stay warm for the whole run; when to close one is the mesh's decision.
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=_CLOSE_TIMEOUT_S,
        )
        if tls is not None:
            config.load()
            config.ssl = tls
        self._server = _Server(config)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Serve; returns when connections are accepted, raises LabError when that takes too long."""
        self._task = asyncio.create_task(self._server.serve(sockets=[self._listener]), name="serve")
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                while not self._server.started:
                    if self._task.done():
                        await self._task
                        raise LabError("expected the server to start, it ended at once; see the agent's log")
                    await asyncio.sleep(0.005)
        except TimeoutError as error:
            raise LabError(f"expected the server to start within {_START_TIMEOUT_S} s, it did not") from error

    async def close(self) -> None:
        """Stop serving and cut every connection; requests under way end before this returns."""
        if self._task is None:
            self._listener.close()
            return
        for server in self._server.servers:
            server.close()
        # uvicorn closes idle connections only; one with half a request would outlive it, and so would its task.
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()
        if isinstance(self._listener, CountingListener):
            self._listener.hang_up()
        self._server.should_exit = True
        await self._task
        self._task = None
