"""An agent as a process of its own."""

import asyncio
import gc
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest

from agent import __main__ as process
from agent.stalls import StallSelector
from protocols.errors import LabError
from protocols.wire import ByteCounter

SETTINGS = SimpleNamespace(node_id="agent_1")


@pytest.fixture
def become(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Callable[[], None]], dict[str, None]]]:
    """Be the agent, whose whole life is one call; returns what it could not go on for."""

    def live(life: Callable[[], None]) -> dict[str, None]:
        class Brief:
            def __init__(self, *_: object) -> None:
                self.stop = life  # is never called

            async def run(self) -> None:
                life()

        monkeypatch.setattr(process, "Node", Brief)
        monkeypatch.setattr("logging.disable", lambda: None)
        return asyncio.run(process._serve(SETTINGS, ByteCounter(), None, StallSelector()))  # type: ignore[arg-type]

    yield live
    gc.unfreeze()


def test_a_collection_does_not_go_through_what_was_loaded(become: Callable[..., dict[str, None]]) -> None:
    """All that is there when the agent begins is frozen; a full collection visits only what came afterwards."""
    left: list[int] = []
    frozen: list[int] = []

    def life() -> None:
        frozen.append(gc.get_freeze_count())
        left.append(len(gc.get_objects()))

    assert become(life) == {}
    assert frozen[0] > 10_000
    assert left[0] < frozen[0] / 10


def test_what_several_parts_ran_into_is_said_once(become: Callable[..., dict[str, None]]) -> None:
    """A group of errors becomes the distinct causes, each on one line."""

    def life() -> None:
        raise ExceptionGroup(
            "parts", [LabError("no\nroom"), ExceptionGroup("more", [OSError("no room"), LabError("b")])]
        )

    assert list(become(life)) == ["no room", "b"]
