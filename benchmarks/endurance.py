"""Thousands of messages in a row between two adapters, each in a process of its own: neither slower nor larger.

Messages with a receipt and requests with a result take turns, one after the other. Latency: the p50 of the last
``WINDOW`` messages is compared with that of the first, for either kind apart. Memory: the resident set of each
process after a fifth of all messages, when what remembers a limited number of them has filled up, is compared with the
one at the end. Twenty of each kind before the first are not counted.
"""

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Literal

import psutil

from benchmarks import subjects
from benchmarks.ends import CALLER, PEER, ends
from benchmarks.results import Endurance, Growth
from protocols.adapter import BaseProtocolAdapter
from protocols.clock import Clock
from protocols.message import Message, Traffic
from protocols.wire import ByteCounter, classify, counting_loop

WINDOW = 500
WARM_UP = 40
_SETTLED_SHARE = 5
_POINTS = 50

Sort = Literal["message", "request"]
_SORTS: tuple[Sort, ...] = ("message", "request")


def measure(subject: str, folder: Path, clock: Clock, *, messages: int, progress: Callable[[float], None]) -> Endurance:
    """``messages`` in a row; ``progress`` is told the share that is done."""
    counter = ByteCounter()
    with ends(subject, folder) as pair, pair.peer("adapter") as pid:
        processes = {"caller": psutil.Process(), "peer": psutil.Process(pid)}
        with asyncio.Runner(loop_factory=lambda: counting_loop(counter)) as runner:
            run = _Run(pair.adapter(CALLER, counter), clock, processes)
            runner.run(run.go(messages, progress))
    return run.summary(subject, messages)


class _Run:
    def __init__(self, adapter: BaseProtocolAdapter, clock: Clock, processes: dict[str, psutil.Process]) -> None:
        self._adapter = adapter
        self._clock = clock
        self._processes = processes
        self._numbers = itertools.count(1)
        self._taken_ms: dict[Sort, list[tuple[int, float]]] = {sort: [] for sort in _SORTS}
        self._resident_mb: dict[str, list[tuple[int, float]]] = {name: [] for name in processes}

    async def go(self, messages: int, progress: Callable[[float], None]) -> None:
        """Warm up and send them all."""
        await self._adapter.start()
        try:
            for number in range(WARM_UP):
                await self._exchange(_SORTS[number % 2])
            step = max(1, messages // _POINTS)
            for number in range(messages):
                begin, sort = self._clock.now(), _SORTS[number % 2]
                await self._exchange(sort)
                self._taken_ms[sort].append((number, 1000 * (self._clock.now() - begin)))
                if (number + 1) % step == 0:
                    for name, process in self._processes.items():
                        self._resident_mb[name].append((number + 1, process.memory_info().rss / 1e6))
                    progress((number + 1) / messages)
        finally:
            await self._adapter.close()

    async def _exchange(self, sort: Sort) -> None:
        """A message and its receipt, or a request and its result."""
        message = Message(
            message_id=f"m{next(self._numbers)}",
            kind="echo" if sort == "message" else "request",
            sender=CALLER,
            recipient=PEER,
            traffic=Traffic.TASK,
            body={"text": "a small message"},
        )
        with classify(message.traffic, PEER):
            await self._adapter.send_message(PEER, message)
        if sort == "request":
            while (await self._adapter.receive_message()).in_reply_to != message.message_id:
                pass

    def summary(self, subject: str, messages: int) -> Endurance:
        """What came out."""
        window = min(WINDOW, messages // 4)
        settled = messages // _SETTLED_SHARE
        return Endurance(
            subject=subject,
            judged=subjects.find(subject).judged,
            messages=messages,
            window=window,
            settled=settled,
            latency=[self._slowdown(sort, window, messages) for sort in _SORTS],
            memory=[
                Growth(name=name, first=next(mb for number, mb in points if number >= settled), last=points[-1][1])
                for name, points in self._resident_mb.items()
            ],
            latency_curve={sort: _curve(self._taken_ms[sort]) for sort in _SORTS},
            memory_curve=dict(self._resident_mb),
        )

    def _slowdown(self, sort: Sort, window: int, messages: int) -> Growth:
        taken = self._taken_ms[sort]
        return Growth(
            name=sort,
            first=round(median(ms for number, ms in taken if number < window), 4),
            last=round(median(ms for number, ms in taken if number >= messages - window), 4),
        )


def _curve(taken: list[tuple[int, float]]) -> list[tuple[int, float]]:
    size = max(1, len(taken) // _POINTS)
    pieces = [taken[start : start + size] for start in range(0, len(taken), size)]
    return [(piece[0][0], round(median(ms for _, ms in piece), 4)) for piece in pieces]
