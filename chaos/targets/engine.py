"""The Docker engine as its SDK shows it: connected within bounds, its answers validated, its errors one clear line."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Literal, Protocol

import docker
import requests
from docker.errors import APIError, DockerException
from pydantic import BaseModel, Field, ValidationError

from protocols.errors import FaultError, LabError

ENGINE_TIMEOUT_S = 10
"""For every call; a kill answers when the container is dead."""
_CONNECTIONS = 256
_JOIN_TIMEOUT_S = 2.0


class Events(Protocol):
    """The engine's events from now on, without an end of their own."""

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Block for each event."""

    def close(self) -> None:
        """End the iteration, from another thread."""


class Engine(Protocol):
    """The part of ``docker.APIClient`` that chaos uses; nothing of it removes, makes or executes a container."""

    def containers(self, *, all: bool, filters: dict[str, Any]) -> list[dict[str, Any]]:  # noqa: A002 - the SDK's name
        """List containers."""

    def inspect_container(self, container: str) -> dict[str, Any]:
        """Everything about one container."""

    def kill(self, container: str, signal: str) -> None:
        """Send a signal; returns when SIGKILL has ended the container."""

    def start(self, container: str) -> None:
        """Start a container that has ended."""

    def stop(self, container: str, timeout: int) -> None:
        """Send SIGTERM and, after ``timeout`` seconds, SIGKILL; returns when it has ended."""

    def pause(self, container: str) -> None:
        """Freeze a container."""

    def unpause(self, container: str) -> None:
        """Thaw it."""

    def update_container(
        self,
        container: str,
        *,
        cpu_period: int | None = None,
        cpu_quota: int | None = None,
        mem_limit: int | None = None,
        memswap_limit: int | None = None,
    ) -> object:
        """Limit the CPU time (microseconds of each period; -1 lifts the limit), or the memory, with swap (bytes)."""

    def stats(self, container: str, *, stream: Literal[False], one_shot: Literal[True]) -> dict[str, Any]:
        """What a container uses now."""

    def networks(self, *, filters: dict[str, Any]) -> list[dict[str, Any]]:
        """List networks."""

    def disconnect_container_from_network(self, container: str, net_id: str) -> None:
        """Take a container off a network."""

    def connect_container_to_network(self, container: str, net_id: str, *, aliases: list[str]) -> None:
        """Put it on, under these names beside its own."""

    def events(self, *, filters: dict[str, Any], decode: Literal[True]) -> Events:
        """Subscribe to events."""

    def close(self) -> None:
        """Close the connections."""


class Listed(BaseModel):
    """One container of a list."""

    id: str = Field(alias="Id")
    state: str = Field(alias="State")
    labels: dict[str, str] = Field(alias="Labels")


class _State(BaseModel):
    running: bool = Field(alias="Running")
    exit_code: int = Field(alias="ExitCode")
    out_of_memory: bool = Field(alias="OOMKilled")
    paused: bool = Field(alias="Paused", default=False)


class _Config(BaseModel):
    labels: dict[str, str] = Field(alias="Labels")


class _HostConfig(BaseModel):
    cpu_quota: int = Field(alias="CpuQuota", default=0)
    """Microseconds of each period; 0 or less for no limit."""
    memory_bytes: int = Field(alias="Memory", default=0)
    """0 for no limit."""


class _NetworkSettings(BaseModel):
    networks: dict[str, Any] = Field(alias="Networks", default_factory=dict)


class _Memory(BaseModel):
    usage: int = 0


class Usage(BaseModel):
    """What a container uses."""

    memory: _Memory = Field(alias="memory_stats")


class Network(BaseModel):
    """One network of a list."""

    id: str = Field(alias="Id")
    name: str = Field(alias="Name")


class Container(BaseModel):
    """One container in detail."""

    id: str = Field(alias="Id")
    state: _State = Field(alias="State")
    config: _Config = Field(alias="Config")
    host: _HostConfig = Field(alias="HostConfig", default_factory=_HostConfig)
    network_settings: _NetworkSettings = Field(alias="NetworkSettings", default_factory=_NetworkSettings)

    @property
    def networks(self) -> tuple[str, ...]:
        """Names of the networks that it is on."""
        return tuple(self.network_settings.networks)


def connect(url: str) -> Engine:
    """A client of the engine at ``url``, in the newest API version that both sides know; raises LabError."""
    with clear_errors(f"answer at {url}"):
        return docker.APIClient(url, version="auto", timeout=ENGINE_TIMEOUT_S, max_pool_size=_CONNECTIONS)


@contextmanager
def clear_errors(doing: str) -> Iterator[None]:
    """Raises FaultError when the engine refuses what is done inside, LabError when it cannot be asked at all."""
    try:
        yield
    except (DockerException, requests.RequestException, OSError, ValidationError) as error:
        if isinstance(error, APIError) and error.is_client_error():
            raise FaultError(f"expected the Docker engine to {doing}, it refused: {error.explanation}") from error
        raise LabError(f"expected the Docker engine to {doing}, but {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    """What the user can do something about, from however deep inside the SDK's error it comes."""
    if isinstance(error, APIError):
        return f"it failed: {error.explanation}"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, PermissionError):
            return "its socket is forbidden; run chaos with the socket's group"
        if isinstance(cause, FileNotFoundError):
            return "its socket does not exist; start the engine, and mount the socket where chaos runs"
        if isinstance(cause, requests.Timeout | TimeoutError):
            return f"it did not answer within {ENGINE_TIMEOUT_S} s; see the engine's log"
        if isinstance(cause, ConnectionError):
            return "the connection failed; the engine has stopped"
        cause = cause.__cause__ or cause.__context__
    return " ".join(str(error).split())


class Subscription:
    """Reads events in a thread of its own and hands each to the event loop, until either side ends it."""

    def __init__(
        self,
        engine: Engine,
        filters: dict[str, Any],
        on_event: Callable[[dict[str, Any]], None],
        on_end: Callable[[], None],
    ) -> None:
        self.alive = False
        self._engine = engine
        self._filters = filters
        self._on_event = on_event
        self._on_end = on_end
        self._closed = threading.Event()
        self._stream: Events | None = None
        self._thread = threading.Thread(target=self._read, name="docker-events", daemon=True)

    async def open(self) -> None:
        """Subscribe; events that happen from now on are told. Raises LabError."""
        self._loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._thread.start()
        try:
            # The SDK gives its subscription no time limit.
            async with asyncio.timeout(ENGINE_TIMEOUT_S):
                await self._opened
        except TimeoutError:
            self._closed.set()
            raise LabError(
                f"expected the Docker engine to tell its events, nothing came within {ENGINE_TIMEOUT_S} s"
            ) from None

    def close(self) -> None:
        """End the thread; blocks for it, but not for ever."""
        self._closed.set()
        if self._stream is not None:
            with suppress(OSError):  # it has ended already
                self._stream.close()
        self._thread.join(_JOIN_TIMEOUT_S)

    def _read(self) -> None:
        try:
            with clear_errors("tell its events"):
                self._stream = self._engine.events(filters=self._filters, decode=True)
                if self._closed.is_set():
                    self._stream.close()
                self._tell(self._begin, None)
                for event in self._stream:
                    self._tell(self._on_event, event)
        except (FaultError, LabError) as error:
            self._tell(self._begin, error)
        finally:
            self._tell(self._end)

    def _tell(self, callback: Callable[..., None], *arguments: Any) -> None:
        with suppress(RuntimeError):  # the event loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(callback, *arguments)

    def _begin(self, error: FaultError | LabError | None) -> None:
        if self._opened.done():
            return
        if error is None:
            self.alive = True
            self._opened.set_result(None)
        else:
            self._opened.set_exception(error)

    def _end(self) -> None:
        self.alive = False
        self._on_end()
