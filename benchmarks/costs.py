"""What the acts of recovery cost in time and bytes: handshake, probe, and a request given to a survivor.

- ``first handshake``: ``connect`` as the first thing that two new processes do with each other;
- ``handshake``: ``connect`` again, over a new connection each time;
- ``probe``: over the link that a handshake left;
- ``re-publish``: a request, for the sake of a dead peer, to another one over a warm link, until its receipt.

Bytes are those of this process's sockets until that moment, sent and received, whoever opened the connection: what
the peer asks back during a handshake belongs to it.
"""

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.ends import CALLER, PEER, ends
from benchmarks.results import Act, Sample, Samples
from protocols.adapter import BaseProtocolAdapter
from protocols.clock import Clock
from protocols.message import Cause, Kind, Message, Traffic
from protocols.wire import ByteCounter, classify, counting_loop


def measure(subject: str, folder: Path, clock: Clock, *, repeats: int) -> Samples:
    """One first handshake and ``repeats`` of everything else, in this process and with a new peer."""
    counter = ByteCounter()
    with (
        ends(subject, folder) as pair,
        pair.peer("adapter"),
        asyncio.Runner(loop_factory=lambda: counting_loop(counter)) as runner,
    ):
        return Samples(acts=runner.run(_act(pair.adapter(CALLER, counter), _Meter(counter, clock), repeats)))


@dataclass
class _Meter:
    counter: ByteCounter
    clock: Clock
    samples: dict[Act, list[Sample]] = field(default_factory=lambda: defaultdict(list))

    async def measure(self, act: Act, traffic: Traffic, do: Callable[[], Awaitable[object]]) -> None:
        self.counter.drain()
        begin = self.clock.now()
        with classify(traffic, PEER):
            await do()
        taken_ms = 1000 * (self.clock.now() - begin)
        moved: dict[str, int] = defaultdict(int)
        for _, _, name, sent, received in self.counter.drain():
            moved[name] += sent + received
        self.samples[act].append(Sample(taken_ms=taken_ms, moved_bytes=dict(moved)))


async def _act(adapter: BaseProtocolAdapter, meter: _Meter, repeats: int) -> dict[Act, list[Sample]]:
    numbers = itertools.count(1)
    await adapter.start()
    try:
        await meter.measure("first handshake", Traffic.HANDSHAKE, lambda: adapter.connect(PEER))
        for _ in range(repeats):
            await adapter.disconnect(PEER)
            await meter.measure("handshake", Traffic.HANDSHAKE, lambda: adapter.connect(PEER))
        for _ in range(repeats):
            await meter.measure("probe", Traffic.HEARTBEAT, lambda: adapter.probe(PEER))
        await _republish(adapter, meter, numbers)
        meter.samples["re-publish"].clear()  # the first message also makes the peer's link to this end
        for _ in range(repeats):
            await _republish(adapter, meter, numbers)
        return dict(meter.samples)
    finally:
        await adapter.close()


async def _republish(adapter: BaseProtocolAdapter, meter: _Meter, numbers: Iterator[int]) -> None:
    request = _message("request", numbers, Traffic.RETRY, Cause(victim="c", request="r"))
    await meter.measure("re-publish", Traffic.RETRY, lambda: adapter.send_message(PEER, request))
    # The peer has held the result back until now.
    await adapter.send_message(PEER, _message("echo", numbers, Traffic.TASK, None))
    while (await adapter.receive_message()).in_reply_to != request.message_id:
        pass


def _message(kind: Kind, numbers: Iterator[int], traffic: Traffic, cause: Cause | None) -> Message:
    return Message(
        message_id=f"m{next(numbers)}",
        kind=kind,
        sender=CALLER,
        recipient=PEER,
        traffic=traffic,
        cause=cause,
        body={"task": "q1", "step": "reason", "hold": kind == "request"},
    )
