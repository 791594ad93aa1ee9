"""What is measured: each protocol's adapter, and the bare halves to set beside it."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import cast

from protocols import registry
from protocols.adapter import BaseProtocolAdapter
from protocols.errors import ConfigError

Send = Callable[[bytes], Awaitable[None]]
"""Sends one payload and returns on its receipt."""


@dataclass(frozen=True)
class Subject:
    """One protocol; ``bare`` is a module of this package with ``open_client`` and the named server."""

    name: str
    bare: str
    serve: str = "serve"
    adapter: str | None = None
    """``module:class`` of an adapter that cannot be chosen by name."""
    judged: bool = True
    """Whether the bounds hold for it; the others are shown beside."""

    def adapter_class(self) -> type[BaseProtocolAdapter]:
        """The adapter under measurement."""
        if self.adapter is None:
            return registry.load(self.name)
        module, _, name = self.adapter.partition(":")
        return cast("type[BaseProtocolAdapter]", getattr(import_module(module), name))

    def bare_server(self, port: int) -> AbstractAsyncContextManager[None]:
        """The bare SDK's server on ``port``."""
        serve: Callable[[int], AbstractAsyncContextManager[None]] = getattr(self._halves(), self.serve)
        return serve(port)

    def bare_client(self, port: int) -> AbstractAsyncContextManager[Send]:
        """The bare SDK's client of that server."""
        open_client: Callable[[int], AbstractAsyncContextManager[Send]] = self._halves().open_client
        return open_client(port)

    def _halves(self) -> ModuleType:
        return import_module(f"benchmarks.{self.bare}")


_SUBJECTS = (
    Subject("json", "bare_json"),
    Subject("a2a", "bare_a2a"),
    Subject("acp", "bare_acp"),
    # The SDK's own store gets slower with each run, on both sides alike.
    Subject("acp-stock", "bare_acp", "serve_stock", "protocols.acp.adapter:AcpStockAdapter", judged=False),
    Subject("anp", "bare_anp"),
    Subject("agora", "bare_agora"),
)


def available() -> tuple[Subject, ...]:
    """What can be measured on this Python."""
    return tuple(subject for subject in _SUBJECTS if registry.obstacle(subject.name) is None)


def find(name: str) -> Subject:
    """The subject called ``name``; raises ConfigError for none."""
    known = {subject.name: subject for subject in available()}
    if name not in known:
        raise ConfigError(f"expected a protocol out of {', '.join(known)}, got {name!r}")
    return known[name]
