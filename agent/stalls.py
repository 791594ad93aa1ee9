"""How long the event loop did not look at its sockets, turn by turn: nothing between two samples is missed."""

import os
import selectors
import time
from collections.abc import Callable

# The first three numbers are: time on a core, time waiting for one (ns), time slices (Linux, Documentation/scheduler).
_SCHEDSTAT = "/proc/thread-self/schedstat"


class StallSelector(selectors.DefaultSelector):
    """A selector for an event loop that knows the longest time in which what arrived at a socket had to wait.

    A stall is one turn of the loop: how long the thread waited for a core after something woke it, which only Linux
    tells, and all that its callbacks took, waiting for a core included. Made in the thread that runs the loop.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now = now
        self._schedstat = _opened(_SCHEDSTAT)
        self._returned_at: float | None = None
        self._woken_late_s = 0.0
        self._worst_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """As of the selector; ends one turn and begins the next."""
        if self._returned_at is not None:
            self._worst_s = max(self._worst_s, self._woken_late_s + self._now() - self._returned_at)
        if timeout is not None and timeout <= 0:  # it only looks, and cannot be woken late
            ready, self._woken_late_s = super().select(timeout), 0.0
        else:
            waited_s = self._waited_for_a_core_s()
            ready = super().select(timeout)
            self._woken_late_s = self._waited_for_a_core_s() - waited_s
        self._returned_at = self._now()
        return ready

    def drain_s(self) -> float:
        """The longest stall in seconds since the last call."""
        worst_s, self._worst_s = self._worst_s, 0.0
        return worst_s

    def close(self) -> None:
        """As of the selector."""
        super().close()
        if self._schedstat is not None:
            os.close(self._schedstat)
            self._schedstat = None

    def _waited_for_a_core_s(self) -> float:
        if self._schedstat is None:
            return 0.0
        return int(os.pread(self._schedstat, 80, 0).split(maxsplit=2)[1]) / 1e9


def _opened(path: str) -> int | None:
    try:
        return os.open(path, os.O_RDONLY)
    except OSError:  # not Linux, or a kernel without these counts
        return None
