"""The stores of the ACP server: what they wake, what they keep, and what the SDK's own do instead."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import timedelta
from typing import Any

import pytest
from acp_sdk.models import AwaitResume, Run, RunStatus, Session
from acp_sdk.server import MemoryStore, Store
from acp_sdk.server.executor import CancelData, RunData
from obstore.exceptions import NotFoundError
from pydantic import BaseModel

from protocols.acp import store
from protocols.acp.store import KeyedStore, RecentResources

RunScenario = Callable[[Coroutine[Any, Any, None]], None]


class _Note(BaseModel):
    text: str


def _run(status: RunStatus = RunStatus.IN_PROGRESS) -> RunData:
    return RunData(run=Run(agent_name="agent-1", status=status))


class _OverError(Exception):
    """The watch has ended."""


async def _next(watch: AsyncIterator[Any]) -> Any:
    async for value in watch:
        return value
    raise _OverError


async def _turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_a_change_wakes_who_watches_its_key_and_nobody_else(run: RunScenario) -> None:
    """With the SDK's memory store every change wakes every watcher; here only those of its key."""

    async def woken_by_another_key(made: Store[BaseModel]) -> int:
        seen: list[BaseModel | None] = []

        async def watch() -> None:
            async for value in made.watch("a"):
                seen.append(value)  # noqa: PERF401 - the watch has no end

        watching = asyncio.create_task(watch())
        await _turn()
        await made.set("b", _Note(text="another"))
        await _turn()
        woken = len(seen)
        await made.set("a", _Note(text="mine"))
        await _turn()
        assert seen[-1] == await made.get("a")
        watching.cancel()
        return woken

    async def scenario() -> None:
        stock: MemoryStore[BaseModel] = MemoryStore(limit=10, ttl=timedelta(hours=1))  # type: ignore[arg-type]
        assert await woken_by_another_key(KeyedStore()) == 0
        assert await woken_by_another_key(stock) == 1

    run(scenario())


def test_no_change_is_missed_between_two_looks(run: RunScenario) -> None:
    """Changes while the watcher is busy are seen at its next look, several as one."""

    async def scenario() -> None:
        made = KeyedStore()
        ready = asyncio.Event()
        watch = made.watch("a", ready=ready)
        first = asyncio.create_task(_next(watch))
        await ready.wait()
        await made.set("a", _Note(text="1"))
        assert await first == await made.get("a")
        for text in "23":
            await made.set("a", _Note(text=text))
        last = await anext(watch)
        assert last is not None
        assert last.model_dump() == {"text": "3"}
        await made.set("a", None)
        assert await anext(watch) is None

    run(scenario())


def test_the_end_of_a_run_ends_the_watch_for_its_cancellation(run: RunScenario) -> None:
    """A run that has ended cannot be cancelled any more; while it goes on it can."""

    async def scenario() -> None:
        made = KeyedStore()
        runs, cancels = made.as_store(RunData, "run_"), made.as_store(CancelData, "run_cancel_")
        data = _run()
        await runs.set(data.key, data)
        watch = cancels.watch(data.key)
        cancelled = asyncio.create_task(_next(watch))
        await _turn()
        await cancels.set(data.key, CancelData())
        assert await cancelled == CancelData()
        over = asyncio.create_task(_next(watch))
        await _turn()
        data.run.status = RunStatus.COMPLETED
        await runs.set(data.key, data)
        with pytest.raises(_OverError):
            await over
        assert made._waiting == {}

    run(scenario())


def test_a_cancelled_watch_leaves_nothing(run: RunScenario) -> None:
    """Who stops watching is forgotten."""

    async def scenario() -> None:
        made = KeyedStore()
        watching = asyncio.create_task(_next(made.watch("a")))
        await _turn()
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        assert made._waiting == {}

    run(scenario())


@pytest.mark.parametrize(("entries", "size"), [(5, 1 << 20), (1000, 2000)], ids=["entries", "bytes"])
def test_the_oldest_give_way_but_no_run_that_goes_on(
    run: RunScenario, monkeypatch: pytest.MonkeyPatch, entries: int, size: int
) -> None:
    """Memory is bounded by number and by bytes; an open run stays, however old it is."""
    monkeypatch.setattr(store, "_MAX_ENTRIES", entries)
    monkeypatch.setattr(store, "_MAX_STORE_BYTES", size)

    async def scenario() -> None:
        made = KeyedStore()
        runs = made.as_store(RunData, "run_")
        opened, ended = _run(), _run(RunStatus.COMPLETED)
        await runs.set(opened.key, opened)
        await runs.set(ended.key, ended)
        for number in range(50):
            await made.set(f"session_{number}", Session(id=uuid.uuid4()))
        assert await runs.get(opened.key) == opened
        assert await runs.get(ended.key) is None
        assert await made.get("session_49") is not None
        assert len(made._kept) <= entries
        assert made._bytes == sum(len(text) for _, text in made._kept.values()) <= size

    run(scenario())


def test_resume_store_works_through_views(run: RunScenario) -> None:
    """What the SDK sets through its typed views comes back as that type; None removes it."""

    async def scenario() -> None:
        resumes = KeyedStore().as_store(AwaitResume, "run_resume_")
        sent = AwaitResume.model_validate({"type": "message", "message": {"parts": [{"content": "go on"}]}})
        await resumes.set("r", sent)
        assert await resumes.get("r") == sent
        await resumes.set("r", None)
        assert await resumes.get("r") is None
        await resumes.set("r", None)

    run(scenario())


def test_recent_resources_can_be_read_and_old_ones_cannot(run: RunScenario, monkeypatch: pytest.MonkeyPatch) -> None:
    """History is kept as far as the bound goes, and read the two ways the SDK reads it."""
    monkeypatch.setattr(store, "_MAX_RESOURCE_BYTES", 10)

    async def scenario() -> None:
        resources = RecentResources()
        old, new = uuid.uuid4(), uuid.uuid4()
        await resources.store(old, b"123456")
        await resources.store(new, b"abcdef")
        with pytest.raises(NotFoundError):
            await resources.load(old)
        found = await resources.load(new)
        assert (await found.bytes_async()).to_bytes() == b"abcdef"
        assert [chunk async for chunk in found] == [b"abcdef"]

    run(scenario())
