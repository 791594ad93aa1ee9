"""A counting event loop for tests of the protocols."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from protocols.wire import ByteCounter, counting_loop

_BOUND_S = 30.0


@pytest.fixture
def counter() -> ByteCounter:
    """What the loop of the test counts."""
    return ByteCounter()


@pytest.fixture
def run(counter: ByteCounter) -> Iterator[Callable[[Coroutine[Any, Any, None]], None]]:
    """Runs a coroutine in a counting loop; bounded."""

    async def bounded(scenario: Coroutine[Any, Any, None]) -> None:
        async with asyncio.timeout(_BOUND_S):
            await scenario

    with asyncio.Runner(loop_factory=lambda: counting_loop(counter)) as runner:
        yield lambda scenario: runner.run(bounded(scenario))
