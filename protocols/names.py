"""Host names of the lab: where they lead, whom to trust there, and who counts the bytes.

A protocol whose identities are host names (ANP's did:wba) meets SDKs that open connections of their own. Inside
:func:`naming` our event loop sends these to the right endpoint, without /etc/hosts, ports in names or patches.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from protocols.tally import ByteCounter

Locate = Callable[[str], tuple[str, int] | None]
"""Host name → (host, port) to connect to; None for a name outside of the lab; LookupError for an unknown one in it."""


@dataclass(frozen=True)
class LabNames:
    """What the event loop asks about connections that are opened for one node."""

    locate: Locate
    trust: ssl.SSLContext
    """For TLS connections to names of the lab, in place of what a library would trust by default."""
    counter: ByteCounter
    """Counts these connections."""


_names: ContextVar[LabNames | None] = ContextVar("names", default=None)


@contextmanager
def naming(names: LabNames) -> Iterator[None]:
    """Connections opened inside the block, by whichever library, find the lab's hosts."""
    token = _names.set(names)
    try:
        yield
    finally:
        _names.reset(token)


def current() -> LabNames | None:
    """The names that hold in this context."""
    return _names.get()


def _located(host: str | None) -> tuple[str, int] | None:
    names = current()
    if names is None or host is None:
        return None
    try:
        return names.locate(host)
    except LookupError as error:
        raise socket.gaierror(socket.EAI_NONAME, f"no node of the lab is called {host}") from error


class NamingLoop(asyncio.SelectorEventLoop):
    """An event loop to which the names of the context mean something."""

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        """As ``loop.getaddrinfo``; a name of the lab leads where the context says, port included."""
        found = _located(host)
        if found is not None:
            host, port = found
            with suppress(socket.gaierror):  # a literal address needs no resolver, and so no thread
                return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        return await super().getaddrinfo(host, port, **options)

    async def create_connection(self, protocol_factory: Any, *where: Any, **options: Any) -> Any:
        """As ``loop.create_connection``; TLS to a name of the lab trusts what the context says."""
        names = current()
        if names is not None and options.get("ssl") and _located(options.get("server_hostname")):
            options["ssl"] = names.trust
        return await super().create_connection(protocol_factory, *where, **options)
