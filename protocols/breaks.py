"""Tells of a broken answer when an SDK's HTTP client knows of it, not when its error has come up through all layers.

httpcore hangs up before it raises, and httpx and the SDK unwind above it: turns of the event loop in which a survivor
of a kill has much else to do. httpcore's ``trace`` extension (https://www.encode.io/httpcore/extensions/#trace)
reports the same error before all that. See docs/adr/0011-a-break-is-told-before-it-is-tidied-up.md.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import httpcore
import httpx

_BODY_BROKE = "http11.receive_response_body.failed"
_tell: ContextVar[Callable[[str], None] | None] = ContextVar("tell", default=None)


@contextmanager
def breaks_told(tell: Callable[[str], None]) -> Iterator[None]:
    """Call ``tell`` with the reason as soon as the answer to what the block asks breaks off, if its client traces."""
    token = _tell.set(tell)
    try:
        yield
    finally:
        _tell.reset(token)


async def trace_breaks(request: httpx.Request) -> None:
    """The ``request`` event hook of an ``httpx.AsyncClient`` whose calls :func:`breaks_told` is to hear of."""
    tell = _tell.get()
    if tell is None:
        return

    async def trace(event: str, info: dict[str, Any]) -> None:
        # Anything else that ends an answer early, such as a cancellation, is the caller's own doing.
        if event == _BODY_BROKE and isinstance(info["exception"], httpcore.NetworkError | httpcore.RemoteProtocolError):
            tell(str(info["exception"]) or type(info["exception"]).__name__)

    request.extensions["trace"] = trace
