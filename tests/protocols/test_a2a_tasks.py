"""A2A: requests as tasks, results on their streams, and tasks that are sent again, cancelled or forgotten."""

import asyncio

import pytest
from a2a.types import CancelTaskRequest, TaskState

from protocols.a2a import requests, tasks
from protocols.errors import PeerRejectedError
from protocols.message import Traffic
from protocols.wire import ByteCounter

from .a2a_pair import RunScenario, pair, request, result, send, tasks_of, until


def test_result_travels_on_the_stream_of_its_request(run: RunScenario, counter: ByteCounter) -> None:
    """The receipt comes before the work; the result completes the task, and the worker dials nobody for it."""

    async def scenario() -> None:
        async with pair() as (a, b, _):
            await send(a, request(task="q1"))
            ((_, state),) = await tasks_of(a)
            assert state == "TASK_STATE_SUBMITTED"
            assert await b.receive_message() == request(task="q1")
            counter.drain()
            assert b.carries_back(result(ok=True))
            await send(b, result(ok=True))
            assert await a.receive_message() == result(ok=True)
            assert {row[1] for row in counter.drain()} == {"b"}, "expected the requester's connection only"
            ((_, state),) = await tasks_of(a)
            assert state == "TASK_STATE_COMPLETED"
            assert not b.carries_back(result(ok=True))

    run(scenario())


def test_result_falls_under_the_class_of_its_request(run: RunScenario, counter: ByteCounter) -> None:
    """The bytes of a stream are the requester's exchange, at both ends, whatever the worker's own class is."""

    async def scenario() -> None:
        async with pair() as (a, b, _):
            counter.drain()
            b.context.counter.drain()
            await send(a, request().model_copy(update={"traffic": Traffic.RETRY}))
            await send(b, result(text="q" * 100_000))
            await a.receive_message()
            await a.close()
            ((role, peer, traffic, sent, received),) = counter.drain()
            assert (role, peer, traffic) == ("client", "b", "retry")
            assert received > 100_000
            await until(lambda: not b._open_tasks._tasks)
            assert b.context.counter.drain() == [("server", "a", "retry", received, sent)]

    run(scenario())


def test_result_without_its_task_goes_as_a_message(run: RunScenario) -> None:
    """A worker that has restarted knows no task; what it owes goes like any other message."""

    async def scenario() -> None:
        async with pair() as (a, b, _):
            assert not b.carries_back(result())
            await send(b, result())
            assert await a.receive_message() == result()

    run(scenario())


def test_same_request_joins_its_open_task(run: RunScenario) -> None:
    """Sent again while it is under way, a request makes no second task, and its result comes once."""

    async def scenario() -> None:
        async with pair() as (a, b, _):
            again = request().model_copy(update={"traffic": Traffic.RETRY})
            await asyncio.gather(send(a, request()), send(a, again))
            await send(a, again)
            assert len(await tasks_of(a)) == 1
            taken = [await b.receive_message() for _ in range(3)]
            assert sorted(one.traffic for one in taken) == ["retry", "retry", "task"]
            await send(b, result())
            assert await a.receive_message() == result()
            await until(lambda: not a._requests._readers)
            assert a._inbox.empty()
            assert len(await tasks_of(a)) == 1

    run(scenario())


def test_same_request_after_its_result_is_a_fresh_task(run: RunScenario) -> None:
    """Whether to do it again is the worker's policy, so it must hear of it."""

    async def scenario() -> None:
        async with pair() as (a, b, _):
            for reply in ("x1", "x2"):
                await send(a, request())
                assert await b.receive_message() == request()
                await send(b, result(message_id=reply))
                assert await a.receive_message() == result(message_id=reply)
            assert len(await tasks_of(a)) == 2

    run(scenario())


def test_cancelled_task_is_over(run: RunScenario) -> None:
    """A task that somebody cancels ends without a result, and says so; what the worker finds goes as a message."""

    async def scenario() -> None:
        async with pair() as (a, b, _):
            await send(a, request())
            ((task_id, _),) = await tasks_of(a)
            cancelled = await a._link("b").unary.cancel_task(CancelTaskRequest(id=task_id))
            assert cancelled.status.state == TaskState.TASK_STATE_CANCELED
            told = await a.receive_message()
            assert (told.in_reply_to, told.body) == ("r1", {"state": "TASK_STATE_CANCELED", "parts": []})
            await send(b, result())
            assert await a.receive_message() == result()

    run(scenario())


def test_request_refused_leaves_nothing(run: RunScenario) -> None:
    """A request that was not taken is not waited for."""

    async def scenario() -> None:
        async with pair() as (a, b, lab):
            lab.ports["c"] = lab.ports["b"]
            with pytest.raises(PeerRejectedError):
                await send(a, request().model_copy(update={"recipient": "c"}))
            assert not a._requests._asked
            assert not b._open_tasks._tasks

    run(scenario())


def test_finished_tasks_are_kept_within_bounds(run: RunScenario, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest tasks that are over can be fetched; the oldest are forgotten."""
    monkeypatch.setattr(tasks, "_KEPT_TASKS", 3)

    async def scenario() -> None:
        async with pair() as (a, b, _):
            for number in range(6):
                await send(a, request(f"r{number}"))
                await send(b, result(f"r{number}", f"x{number}"))
                await a.receive_message()
            await until(lambda: not b._open_tasks._tasks)
            assert len(await tasks_of(a)) == 3

    run(scenario())


def test_requests_never_answered_are_remembered_within_bounds(
    run: RunScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest is forgotten first."""
    monkeypatch.setattr(requests, "_MAX_REMEMBERED", 2)

    async def scenario() -> None:
        async with pair() as (a, b, _):
            for number in range(3):
                await send(a, request(f"r{number}"))
            assert [asked.request.message_id for asked in a._requests._asked.values()] == ["r1", "r2"]
            for number in range(3):
                await send(b, result(f"r{number}", f"x{number}"))
            assert [(await a.receive_message()).message_id for _ in range(2)] == ["x1", "x2"]

    run(scenario())
