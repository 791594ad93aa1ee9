"""Serves an ASGI application on a counted socket inside the running event loop."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from protocols.errors import LabError
from protocols.wire import CountingListener

_START_TIMEOUT_S = 10.0
_CLOSE_TIMEOUT_S = 1
_KEEP_ALIVE_S = 3600

AsgiApp = Callable[[Any, Any, Any], Awaitable[None]]


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
