"""What tests of the protocols share: a counting event loop, and a lab of three ANP nodes."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from protocols.wire import ByteCounter, counting_loop

from .anp_lab import AnpLab, lab_in

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


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[AnpLab]:
    """Three prepared ANP nodes."""
    with lab_in(tmp_path) as made:
        yield made
