"""Journals at intervals what no single event shows: bytes at the sockets, refused requests, a late event loop."""

import math
from collections import Counter, deque
from collections.abc import Callable

from agent.journal import Journal
from protocols.clock import Clock
from protocols.wire import ByteCounter

_BYTES_INTERVAL_S = 0.025
_REJECTIONS_INTERVAL_S = 0.1
LAG_SAMPLE_S = 0.05
_LAG_SAMPLES = 20


async def journal_bytes(counter: ByteCounter, clock: Clock, journal: Journal) -> None:
    """One ``bytes`` line per 25 ms in which bytes moved; for ever."""
    while True:
        await clock.sleep(_BYTES_INTERVAL_S)
        flush_bytes(counter, journal)


def flush_bytes(counter: ByteCounter, journal: Journal) -> None:
    """Journal what has moved since the last line."""
    rows = counter.drain()
    if rows:
        journal.append("bytes", rows=[list(row) for row in rows])


async def journal_rejections(rejections: Counter[str], clock: Clock, journal: Journal) -> None:
    """One ``rejected`` line per 0.1 s in which the adapter refused requests of others; for ever."""
    while True:
        await clock.sleep(_REJECTIONS_INTERVAL_S)
        flush_rejections(rejections, journal)


def flush_rejections(rejections: Counter[str], journal: Journal) -> None:
    """Journal what was refused since the last line."""
    if rejections:
        journal.append("rejected", reasons={str(reason): rejections[reason] for reason in sorted(rejections)})
        rejections.clear()


class LoopLag:
    """How much later than asked the event loop wakes a sleeping task: what starvation of this process looks like."""

    def __init__(self, clock: Clock, stall_s: Callable[[], float] | None = None) -> None:
        """``stall_s``, where the loop can tell: its longest stall since the last call, seconds."""
        self._clock = clock
        self._stall_s = stall_s
        self._recent: deque[tuple[float, float]] = deque(maxlen=4 * _LAG_SAMPLES)
        self._due = math.inf

    def worst_s(self, since: float) -> float:
        """The largest lateness in seconds seen since then, counting a wake-up that is overdue right now."""
        overdue_s = max(0.0, self._clock.now() - self._due)
        return max(overdue_s, *(lag_s for at, lag_s in self._recent if at >= since), 0.0)

    async def journal_forever(self, journal: Journal) -> None:
        """Measure all the time, and write one ``loop_lag`` line a second."""
        while True:
            late_ms = []
            for _ in range(_LAG_SAMPLES):
                self._due = self._clock.now() + LAG_SAMPLE_S
                await self._clock.sleep(LAG_SAMPLE_S)
                lag_s = max(0.0, self._clock.now() - self._due)
                self._recent.append((self._clock.now(), lag_s))
                late_ms.append(lag_s * 1000)
            late_ms.sort()
            p99_ms = late_ms[math.ceil(0.99 * len(late_ms)) - 1]
            stall = {"stall_ms": round(self._stall_s() * 1000, 3)} if self._stall_s else {}
            journal.append("loop_lag", max_ms=round(late_ms[-1], 3), p99_ms=round(p99_ms, 3), n=len(late_ms), **stall)
