"""Virtual time: the loop's clock jumps to the next timer as soon as nothing else can happen (trio's autojump clock)."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

_START_S = 1000.0
T = TypeVar("T")


class StalledError(Exception):
    """Every task waits for something that can never come."""


class _JumpingSelector(selectors.DefaultSelector):
    """Never blocks: where ``select`` would wait for a timer, the waiting is counted instead."""

    def __init__(self) -> None:
        super().__init__()
        self.skipped_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            raise StalledError("expected a timer or a ready task, there is none; the test waits for ever")
        self.skipped_s += max(0.0, timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in which ``asyncio.sleep``, ``asyncio.timeout`` and all timers take no real time."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Virtual seconds; they start at a large number, as CLOCK_MONOTONIC does."""
        return _START_S + self._jumping.skipped_s


class LoopClock:
    """``protocols.clock.Clock`` on the running loop's own time."""

    def now(self) -> float:
        """Seconds of the running loop."""
        return asyncio.get_running_loop().time()

    async def sleep(self, duration_s: float) -> None:
        """Wait that long in virtual time."""
        await asyncio.sleep(max(0.0, duration_s))


def run_virtually(story: Coroutine[Any, Any, T]) -> T:
    """Run ``story`` in virtual time; fails if it leaves a task behind."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        outcome = runner.run(story)
        left = [task.get_name() for task in asyncio.all_tasks(runner.get_loop())]
        assert not left, f"tasks left behind: {left}"
    return outcome
