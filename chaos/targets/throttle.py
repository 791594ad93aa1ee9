"""A CPU limit without a control group: a process is stopped whenever it has used up its share of a period."""

import asyncio
import signal
import time
from collections.abc import Callable

from protocols.clock import Clock
from protocols.errors import FaultError

PERIOD_S = 0.1
"""As the engine's quota for containers has it."""
_LOOK_S = 0.005
_SLACK_S = PERIOD_S
"""By so much CPU time a process may be over its share when the limit is lifted: what it did between two looks."""
_WHOLE_PROCESS = 2
"""CPUCLOCK_SCHED of linux/posix-timers.h: all threads of the process, in nanoseconds."""

Send = Callable[[signal.Signals], None]


class Throttle:
    """Holds one process to ``cpus`` by SIGSTOP and SIGCONT, from :meth:`start` to :meth:`end`.

    Time that it used beyond its share is owed by the next periods; time that it left is not kept for them.
    """

    def __init__(self, pid: int, send: Send, cpus: float, clock: Clock) -> None:
        """``pid`` of a child that nobody has waited for; ``send`` raises FaultError when it has ended."""
        self._pid = pid
        self._send = send
        self._cpus = cpus
        self._clock = clock
        self._began_s = clock.now()
        self._used_before_s = 0.0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Limit it from now on; raises FaultError when it has ended."""
        self._used_before_s = self._used_s()
        self._began_s = self._clock.now()
        self._task = asyncio.create_task(self._keep(), name=f"throttle {self._pid}")

    def abandon(self) -> None:
        """Limit it no more, whatever came of it; it may be left stopped."""
        if self._task is not None:
            self._task.cancel()

    async def end(self) -> None:
        """Limit it no more; raises FaultError unless it lives and has had no more than its share until now."""
        self.abandon()
        if self._task is not None:
            # Its own end would be an error of the process, which the next line tells of as well.
            await asyncio.gather(self._task, return_exceptions=True)
        used_s, passed_s = self._used_s() - self._used_before_s, self._clock.now() - self._began_s
        self._send(signal.SIGCONT)
        if used_s > self._cpus * passed_s + _SLACK_S:
            raise FaultError(
                f"expected {self._cpus:g} CPUs at most over {passed_s:.2f} s, it used {used_s:.2f} s of CPU time"
            )

    async def _keep(self) -> None:
        left_s = 0.0
        while True:
            begin_s, used_before_s = self._clock.now(), self._used_s()
            left_s = min(left_s, 0.0) + self._cpus * PERIOD_S
            if left_s > 0:
                self._send(signal.SIGCONT)
            while (passed_s := self._clock.now() - begin_s) < PERIOD_S:
                if self._used_s() - used_before_s < left_s:
                    await self._clock.sleep(min(_LOOK_S, PERIOD_S - passed_s))
                else:
                    self._send(signal.SIGSTOP)
                    await self._clock.sleep(PERIOD_S - passed_s)
            left_s -= self._used_s() - used_before_s

    def _used_s(self) -> float:
        """CPU time of the process so far, by its own clock in the kernel (clock_getcpuclockid(3))."""
        try:
            return time.clock_gettime((~self._pid << 3) | _WHOLE_PROCESS)
        except OSError as error:
            raise FaultError(f"expected a process to limit, but it has ended: {error.strerror}") from error
