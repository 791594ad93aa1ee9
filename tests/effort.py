"""How much work Python code does, in calls: what a timed test would like to know, and the same on every machine."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass
class Effort:
    """What has been counted so far."""

    calls: int = 0
    """Of functions, those written in C included."""


@contextmanager
def counted() -> Iterator[Effort]:
    """Count the calls of this thread from here to the end of the block."""
    effort = Effort()

    def count(_: FrameType, event: str, __: object) -> None:
        effort.calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        yield effort
    finally:
        sys.setprofile(before)
