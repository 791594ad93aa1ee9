"""The one clock of the lab: CLOCK_MONOTONIC, shared by every process of a host."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


def civil_now() -> datetime:
    """Civil time (UTC), for signatures and certificates, which carry it; never for measuring."""
    return datetime.now(UTC)


class Clock(Protocol):
    """What the lab asks of a clock, so that tests can bring their own."""

    def now(self) -> float:
        """Seconds on the shared monotonic clock."""

    async def sleep(self, duration_s: float) -> None:
        """Wait that long; at once for zero or less."""


def unix_offset_s() -> float:
    """What turns a time of the monotonic clock into Unix seconds, as of now; for showing, never for measuring."""
    return time.time() - time.clock_gettime(time.CLOCK_MONOTONIC)


class MonotonicClock:
    """The real clock (``clock_gettime(2)``, CLOCK_MONOTONIC)."""

    def now(self) -> float:
        """Seconds since an arbitrary instant that all processes of this host share."""
        return time.clock_gettime(time.CLOCK_MONOTONIC)

    async def sleep(self, duration_s: float) -> None:
        """Wait without blocking the event loop."""
        await asyncio.sleep(max(0.0, duration_s))
