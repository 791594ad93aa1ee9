"""Holds the process of the proxy: tells it what to bend, and puts a new one in the place of a dead one."""

import asyncio
import contextlib
import json
import os
import resource
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from chaos.links.shape import Bend, Flow, Shape, combined
from protocols.errors import FaultError, LabError

Key = tuple[str, str]
"""(name of the fault, victim)."""
_CHECKOUT = Path(__file__).resolve().parents[2]
_HOST = "127.0.0.1"
_BACKLOG = 128
_ANSWER_TIMEOUT_S = 5.0
_SPARE_DESCRIPTORS = 256


class Links:
    """The links between the agents of one run, each through a port of the proxy.

    The listening sockets belong to this process and are inherited: when the proxy is killed, whoever connects meanwhile
    waits in the kernel for the next one, which bends nothing. Used as an async context manager from the main thread.
    """

    def __init__(self, endpoints: Mapping[str, tuple[str, int]], seed: int) -> None:
        """``endpoints``: where each node really serves. Raises LabError when there are too many for this machine."""
        self.lost: Callable[[Sequence[Key]], None] = lambda _: None
        """Called with what had been bent when the proxy died, once a new one forwards again."""
        self._endpoints = dict(endpoints)
        self._seed = seed
        self._bends: dict[Key, tuple[Shape, tuple[Flow, ...]]] = {}
        self._process: asyncio.subprocess.Process | None = None
        self._guard: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        pairs = [(one, other) for one in endpoints for other in endpoints if one != other]
        _make_room_for(len(pairs))
        self._listeners: dict[Flow, socket.socket] = {}
        for pair in pairs:
            self._listeners[pair] = socket.create_server((_HOST, 0), backlog=_BACKLOG)

    def ports_of(self, node: str) -> dict[str, int]:
        """Where ``node`` finds each of the others."""
        return {other: listener.getsockname()[1] for (one, other), listener in self._listeners.items() if one == node}

    @property
    def pid(self) -> int | None:
        """The proxy's process id, while there is one."""
        return None if self._process is None else self._process.pid

    async def start(self) -> None:
        """Start the proxy; returns when it forwards. Raises LabError."""
        await self._spawn()
        self._guard = asyncio.create_task(self._keep_alive(), name="proxy")

    async def close(self) -> None:
        """End the proxy and free all ports."""
        if self._guard is not None:
            self._guard.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._guard
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            if self._process.stdin is not None:
                self._process.stdin.close()
            await self._process.wait()
        for listener in self._listeners.values():
            listener.close()

    async def bend(self, name: str, node: str, bend: Bend) -> None:
        """Bend the traffic of ``node`` under ``name``; returns when it holds. Raises FaultError."""
        async with self._turn:
            self._bends[name, node] = (bend.shape, bend.flows(node, tuple(self._endpoints)))
            await self._apply()

    async def unbend(self, name: str, node: str) -> None:
        """Undo it; raises FaultError when nothing is bent under that name, because the proxy had to be replaced."""
        async with self._turn:
            if self._bends.pop((name, node), None) is None:
                raise FaultError(f"expected {name} to hold on {node} until now, but the proxy ended, which healed it")
            await self._apply()

    async def _apply(self) -> None:
        shapes = [[*flow, asdict(shape)] for flow, shape in combined(self._bends.values()).items()]
        try:
            await self._tell(shapes)
        except LabError as error:
            raise FaultError(str(error)) from error

    async def _spawn(self) -> None:
        inherited = [listener.fileno() for listener in self._listeners.values()]
        path = os.pathsep.join(filter(None, (str(_CHECKOUT), os.environ.get("PYTHONPATH"))))
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "chaos.links"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            pass_fds=inherited,
            cwd=_CHECKOUT,
            env=os.environ | {"PYTHONPATH": path},
            start_new_session=True,
        )
        listeners = [
            [*pair, listener.fileno(), *self._endpoints[pair[1]]] for pair, listener in self._listeners.items()
        ]
        await self._tell({"seed": self._seed, "listeners": listeners})

    async def _tell(self, content: Any) -> None:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise LabError("expected a proxy to talk to, got none; start it first")
        try:
            async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                process.stdin.write(json.dumps(content).encode() + b"\n")
                await process.stdin.drain()
                answer = await process.stdout.readline()
        except (TimeoutError, OSError) as error:
            raise LabError(f"expected the proxy to obey within {_ANSWER_TIMEOUT_S:g} s, got {error!r}") from error
        if answer != b"done\n":
            raise LabError("expected the proxy to obey, but it has ended; its error stands above")

    async def _keep_alive(self) -> None:
        while self._process is not None:
            await self._process.wait()
            async with self._turn:
                healed = tuple(self._bends)
                self._bends.clear()
                await self._spawn()
            self.lost(healed)


def _make_room_for(count: int) -> None:
    """Raise the soft limit on open files as far as need be; raises LabError where the hard one is too low."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # The proxy has two ends for each connection beside its listeners.
    wanted = 4 * count + _SPARE_DESCRIPTORS
    if hard != resource.RLIM_INFINITY and wanted > hard:
        raise LabError(f"expected {wanted} open files to be allowed for {count} links, got {hard}; use fewer agents")
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
