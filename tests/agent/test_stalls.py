"""The longest time in which nobody looked at the sockets of an event loop."""

import asyncio
import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import stalls
from agent.stalls import StallSelector


@pytest.fixture
def schedstat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the kernel would say of this thread, in our hands."""
    path = tmp_path / "schedstat"
    path.write_text("5000000 1000000 3\n")
    monkeypatch.setattr(stalls, "_SCHEDSTAT", str(path))
    return path


@pytest.fixture
def ticks() -> Iterator[float]:
    """A clock that says 0, 1, 2, ... one after the other."""
    return map(float, itertools.count())


@pytest.fixture
def selector(schedstat: Path, ticks: Iterator[float]) -> Iterator[StallSelector]:
    """One whose time passes only when it looks at its clock."""
    assert schedstat.exists()
    with StallSelector(lambda: next(ticks)) as made:
        yield made


def test_a_turn_counts_from_one_look_at_the_sockets_to_the_next(
    selector: StallSelector, ticks: Iterator[float]
) -> None:
    """Here three ticks at most; asked again, only what came since counts."""
    selector.select(0)
    assert selector.drain_s() == 0.0, "the first turn has not ended"
    next(ticks), next(ticks)
    selector.select(0)
    selector.select(0)
    assert selector.drain_s() == 3.0
    assert selector.drain_s() == 0.0
    selector.select(0)
    assert selector.drain_s() == 1.0


def test_waiting_for_a_core_after_something_woke_the_loop_counts_too(
    selector: StallSelector, schedstat: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sleeping does not; a wait for a core within a turn is in its length already."""

    def sleeps(_selector: object, _timeout: float | None = None) -> list[object]:
        schedstat.write_text("5000000 251000000 4\n")
        return []

    with monkeypatch.context() as patched:
        patched.setattr(StallSelector.__base__, "select", sleeps)
        selector.select(60)
    schedstat.write_text("5000000 951000000 4\n")
    selector.select(0)
    assert selector.drain_s() == pytest.approx(1.25)


def test_where_the_kernel_does_not_tell_the_turns_still_count(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ticks: Iterator[float]
) -> None:
    """Other systems have no such file."""
    monkeypatch.setattr(stalls, "_SCHEDSTAT", str(tmp_path / "none"))
    with StallSelector(lambda: next(ticks)) as selector:
        selector.select(0)
        selector.select(0)
        assert selector.drain_s() == 1.0


def test_a_callback_that_blocks_a_real_loop_is_seen_though_no_timer_was_due() -> None:
    """The 30 ms fall between two samples of any timer."""
    selector = StallSelector()
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        runner.run(asyncio.sleep(0.01))
        selector.drain_s()
        runner.get_loop().call_soon(time.sleep, 0.03)
        runner.run(asyncio.sleep(0.001))
        assert selector.drain_s() >= 0.03
