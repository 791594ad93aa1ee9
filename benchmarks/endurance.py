"""Thousands of messages in a row between two adapters, each in a process of its own: neither slower nor larger.

Messages with a receipt and requests with a result take turns, one after the other. Memory: the resident set of each
process after a fifth of all messages, when what remembers a limited number of them has filled up, is compared with the
one at the end. Latency: minutes lie between the first messages and the last, and other work on the machine changes
more in them than any leak; so the aged pair's next messages take turns with the first ones of a new pair, and the p50
of these is compared, for either kind apart. Twenty of each kind warm a pair up.
"""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
Curve = list[tuple[int, float]]


def measure(subject: str, folder: Path, clock: Clock, *, messages: int, progress: Callable[[float], None]) -> Endurance:
    """``messages`` in a row; ``progress`` is told the share that is done."""
    window = min(WINDOW, messages // 4)
    with (
        asyncio.Runner(loop_factory=lambda: counting_loop(ByteCounter())) as runner,
        _line(runner, subject, folder / "aged", clock) as (aged, pid),
    ):
        processes = {"caller": psutil.Process(), "peer": psutil.Process(pid)}
        taken_ms, resident_mb = runner.run(_age(aged, messages, processes, progress))
        with _line(runner, subject, folder / "new", clock) as (new, _):
            latency = runner.run(beside(aged, new, window // len(_SORTS)))
    settled = messages // _SETTLED_SHARE
    return Endurance(
        subject=subject,
        judged=subjects.find(subject).judged,
        messages=messages,
        window=window,
        settled=settled,
        latency=latency,
        memory=[
            Growth(name=name, first=next(mb for number, mb in points if number >= settled), last=points[-1][1])
            for name, points in resident_mb.items()
        ],
        latency_curve={sort: _smooth(taken) for sort, taken in taken_ms.items()},
        memory_curve=resident_mb,
    )


class Line:
    """The calling end of one pair."""

    def __init__(self, adapter: BaseProtocolAdapter, clock: Clock) -> None:
        self.adapter = adapter
        self._clock = clock
        self._numbers = itertools.count(1)

    async def open(self) -> None:
        """Start and warm up."""
        await self.adapter.start()
        for number in range(WARM_UP):
            await self.exchange(_SORTS[number % 2])

    async def exchange(self, sort: Sort) -> float:
        """A message and its receipt, or a request and its result: how long it took, ms."""
        message = Message(
            message_id=f"m{next(self._numbers)}",
            kind="echo" if sort == "message" else "request",
            sender=CALLER,
            recipient=PEER,
            traffic=Traffic.TASK,
            body={"text": "a small message"},
        )
        begin = self._clock.now()
        with classify(message.traffic, PEER):
            await self.adapter.send_message(PEER, message)
        if sort == "request":
            while (await self.adapter.receive_message()).in_reply_to != message.message_id:
                pass
        return 1000 * (self._clock.now() - begin)


@contextmanager
def _line(runner: asyncio.Runner, subject: str, folder: Path, clock: Clock) -> Iterator[tuple[Line, int]]:
    """A new pair, warmed up, and the process id of its peer."""
    with ends(subject, folder) as pair, pair.peer("adapter") as pid:
        line = Line(pair.adapter(CALLER, ByteCounter()), clock)
        try:
            runner.run(line.open())
            yield line, pid
        finally:
            runner.run(line.adapter.close())


async def _age(
    line: Line, messages: int, processes: dict[str, psutil.Process], progress: Callable[[float], None]
) -> tuple[dict[Sort, Curve], dict[str, Curve]]:
    """Send them all: ms of each message by kind, and MB of each process along the way."""
    taken_ms: dict[Sort, Curve] = {sort: [] for sort in _SORTS}
    resident_mb: dict[str, Curve] = {name: [] for name in processes}
    step = max(1, messages // _POINTS)
    for number in range(messages):
        sort = _SORTS[number % 2]
        taken_ms[sort].append((number, await line.exchange(sort)))
        if (number + 1) % step == 0:
            for name, process in processes.items():
                resident_mb[name].append((number + 1, process.memory_info().rss / 1e6))
            progress((number + 1) / messages)
    return taken_ms, resident_mb


async def beside(aged: Line, new: Line, turns: int) -> list[Growth]:
    """So many of each kind over either line, in turns; who begins alternates."""
    taken_ms: dict[tuple[Line, Sort], list[float]] = {(line, sort): [] for line in (aged, new) for sort in _SORTS}
    for number in range(turns):
        for line in (aged, new) if number % 2 else (new, aged):
            for sort in _SORTS:
                taken_ms[line, sort].append(await line.exchange(sort))
    return [
        Growth(name=sort, first=round(median(taken_ms[new, sort]), 4), last=round(median(taken_ms[aged, sort]), 4))
        for sort in _SORTS
    ]


def _smooth(taken: Curve) -> Curve:
    size = max(1, len(taken) // _POINTS)
    pieces = [taken[start : start + size] for start in range(0, len(taken), size)]
    return [(piece[0][0], round(median(ms for _, ms in piece), 4)) for piece in pieces]
