"""One small message and its receipt: the adapter beside the bare SDK.

Both servers live in processes of their own, both clients in this one; the bare halves run in the loop that asyncio
gives to everybody, the adapter in the lab's, which counts bytes. They take turns in small blocks, which of them first
is drawn each time, so that whatever else the machine does meets both. Before each block the garbage of the other is
collected, and its first call is not counted: it wakes the peer.
"""

import asyncio
import gc
import itertools
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

from benchmarks import subjects
from benchmarks.ends import CALLER, PEER, Ends, ends
from benchmarks.results import Turns
from protocols.clock import Clock
from protocols.message import Message, Traffic
from protocols.wire import ByteCounter, classify, counting_loop

WARM_UP = 50
"""Calls of each side before the first block."""

T = TypeVar("T")
Block = Callable[[int], list[float]]
"""Makes so many calls and returns how long each took, ms."""


def measure(
    subject: str, folder: Path, clock: Clock, *, calls: int, block: int, seed: int, progress: Callable[[float], None]
) -> Turns:
    """``calls`` of each side in turns of ``block``; ``progress`` is told the share that is done."""
    order = random.Random(seed)  # noqa: S311 - an order, not a secret
    samples: dict[str, list[list[float]]] = {"adapter": [], "bare": []}
    with ExitStack() as stack:
        pair = stack.enter_context(ends(subject, folder))
        numbers = itertools.count(1)
        sides = {
            "adapter": stack.enter_context(_adapter(pair, clock, numbers)),
            "bare": stack.enter_context(_bare(pair, clock, numbers)),
        }
        for run in sides.values():
            run(WARM_UP)
        gc.collect()
        gc.freeze()  # what both have loaded is no garbage of either
        stack.callback(gc.unfreeze)
        blocks = max(1, calls // block)
        for number in range(blocks):
            for side in order.sample(sorted(sides), len(sides)):
                gc.collect()
                samples[side].append(sides[side](block + 1)[1:])
            progress((number + 1) / blocks)
    return Turns(adapter_ms=samples["adapter"], bare_ms=samples["bare"])


@contextmanager
def _adapter(pair: Ends, clock: Clock, numbers: Iterator[int]) -> Iterator[Block]:
    counter = ByteCounter()
    with pair.peer("adapter"), asyncio.Runner(loop_factory=lambda: counting_loop(counter)) as runner:
        adapter = pair.adapter(CALLER, counter)

        async def send(message: Message) -> None:
            with classify(message.traffic, message.recipient):
                await adapter.send_message(message.recipient, message)

        runner.run(adapter.start())
        try:
            yield lambda calls: runner.run(_time([_message(numbers) for _ in range(calls)], send, clock))
        finally:
            runner.run(adapter.close())


@contextmanager
def _bare(pair: Ends, clock: Clock, numbers: Iterator[int]) -> Iterator[Block]:
    client = subjects.find(pair.subject).bare_client(pair.bare_port)
    with pair.peer("bare"), asyncio.Runner() as runner:
        send = runner.run(client.__aenter__())
        try:
            yield lambda calls: runner.run(_time([_message(numbers).to_json() for _ in range(calls)], send, clock))
        finally:
            runner.run(client.__aexit__(None, None, None))


def _message(numbers: Iterator[int]) -> Message:
    return Message(
        message_id=f"m{next(numbers)}",
        kind="echo",
        sender=CALLER,
        recipient=PEER,
        traffic=Traffic.TASK,
        body={"text": "a small message"},
    )


async def _time(items: Sequence[T], send: Callable[[T], Awaitable[None]], clock: Clock) -> list[float]:
    """How long each call took, ms; one after the other."""
    taken_ms = []
    for item in items:
        begin = clock.now()
        await send(item)
        taken_ms.append(round(1000 * (clock.now() - begin), 4))
    return taken_ms
