"""Ports for servers of a test."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

_HOST = "127.0.0.1"


@contextmanager
def reserved_port() -> Iterator[int]:
    """A port that only who sets SO_REUSEADDR, as our listener does, can have meanwhile."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((_HOST, 0))
        port: int = held.getsockname()[1]
        yield port
