"""Kills through a target on an engine that only pretends."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from pydantic import JsonValue

from chaos.faults.kill import FAULT
from chaos.targets.docker import DockerTarget
from protocols.clock import MonotonicClock

from .fake_engine import RUN, FakeEngine

Event = tuple[str, dict[str, JsonValue]]


async def nobody_answers(_node: str) -> int | None:
    """Stand in for admin ports that are not served."""
    return None


def answer_with(*incarnations: int | None) -> Callable[[str], Awaitable[int | None]]:
    """Admin ports that tell these incarnations, one per question, and then the last."""
    left = list(incarnations)

    async def incarnation(_node: str) -> int | None:
        return left.pop(0) if len(left) > 1 else left[0]

    return incarnation


@asynccontextmanager
async def target_on(
    engine: FakeEngine, incarnation: Callable[[str], Awaitable[int | None]] = nobody_answers
) -> AsyncIterator[DockerTarget]:
    """A target of the run."""
    async with DockerTarget(engine, RUN, incarnation, MonotonicClock()) as target:
        yield target
    assert not [thread for thread in threading.enumerate() if thread.name == "docker-events"]


def inject(engine: FakeEngine, *victims: str) -> list[Event]:
    """Kill through the fault, as an order does; returns what was recorded."""
    events: list[Event] = []

    def record(ev: str, *, at: float | None = None, **fields: JsonValue) -> None:
        assert at is None
        assert ev != "kill_call" or not engine.touched(), "expected every kill_call before the first kill"
        events.append((ev, fields))

    async def order() -> None:
        async with target_on(engine) as target:
            await FAULT.inject(target, victims, record)

    asyncio.run(order())
    return events


def failure(events: list[Event]) -> str:
    """The reason of the only failed fault."""
    [reason] = [str(fields["reason"]) for ev, fields in events if ev == "fault_failed"]
    return reason
