"""A2A: what happens to requests and results when their streams are cut, slow or given up."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import httpx
import pytest
from a2a.types import StreamResponse, Task, TaskState, TaskStatus

from protocols import breaks
from protocols.errors import PeerTimeoutError, PeerUnreachableError, ProtocolError
from protocols.message import Traffic
from protocols.wire import ByteCounter, classify

from .a2a_pair import RunScenario, cut, message, pair, request, result, send, tasks_of, until
from .watching import Watch


def test_result_arrives_after_disconnect(run: RunScenario) -> None:
    """A link given up while its stream is open closes when the result has come, and not before."""

    async def scenario() -> None:
        async with pair() as (a, b, _):
            await send(a, request())
            link = a._link("b")
            await a.disconnect("b")
            assert not link.http.is_closed
            await send(b, result())
            assert await a.receive_message() == result()
            await until(lambda: link.http.is_closed)

    run(scenario())


def test_result_of_any_text_survives_the_stream(run: RunScenario) -> None:
    """Characters at which the SDK's client would end a line of the stream arrive like all others."""

    async def scenario() -> None:
        async with pair() as (a, b, _):
            await send(a, request())
            text = "one\u2028two\u2029three\x85four\x1cfive\r\nsix"
            await send(b, result(text=text))
            assert (await a.receive_message()).body == {"text": text}

    run(scenario())


def test_result_for_a_requester_that_hung_up(run: RunScenario) -> None:
    """Nobody reads the stream: the sender is told, the task keeps the result, and sent again it goes as a message."""

    async def scenario() -> None:
        async with pair() as (a, b, _):
            await send(a, request())
            cut(b)
            await until(lambda: b._open_tasks.find("a", "r1").readers == 0)  # type: ignore[union-attr]
            with pytest.raises(PeerUnreachableError):
                await send(b, result())
            await until(lambda: not b._open_tasks._tasks)
            ((_, state),) = await tasks_of(a)
            assert state == "TASK_STATE_COMPLETED"
            await send(b, result())
            assert await a.receive_message() == result()

    run(scenario())


def test_resume_subscribes_again(run: RunScenario, counter: ByteCounter) -> None:
    """A stream that was cut is not a finished one: a subscription brings the result, under the class of resuming."""

    async def scenario() -> None:
        async with pair() as (a, b, _):
            await send(a, request())
            watch = Watch(a, "b")
            await asyncio.sleep(0)
            cut(b)
            await watch.task
            assert "failed" in watch.told[0].what
            await a.connect("b")
            counter.drain()
            b.context.counter.drain()
            with classify(Traffic.RESUME, "b"):
                await a.resume("b")
            await send(b, result())
            assert await a.receive_message() == result()
            assert {row[2] for row in counter.drain()} == {"resume"}
            await a.close()
            assert {row[2] for row in b.context.counter.drain()} == {"resume"}

    run(scenario())


def test_resume_fetches_what_is_over(run: RunScenario) -> None:
    """A task that ended meanwhile cannot be subscribed to; its result is fetched."""

    async def scenario() -> None:
        async with pair() as (a, b, _):
            await send(a, request())
            cut(b)
            await until(lambda: b._open_tasks.find("a", "r1").readers == 0)  # type: ignore[union-attr]
            with pytest.raises(PeerUnreachableError):
                await send(b, result())
            await until(lambda: not b._open_tasks._tasks and not a._requests._readers)
            await a.resume("b")
            assert await a.receive_message() == result()
            assert not a._requests._asked

    run(scenario())


def test_resume_after_a_restart_forgets(run: RunScenario) -> None:
    """A new life knows none of the old one's tasks: that is no error, and they are not asked for again."""

    async def scenario() -> None:
        async with pair() as (a, b, lab):
            await send(a, request())
            await b.close()
            await lab.node("b", incarnation=1000)
            await until(lambda: not a._requests._readers)
            await a.connect("b")
            await a.resume("b")
            assert not a._requests._asked

    run(scenario())


def test_resume_leaves_what_is_read_alone(run: RunScenario, counter: ByteCounter) -> None:
    """Nothing was missed, so nothing is asked."""

    async def scenario() -> None:
        async with pair() as (a, b, _):
            await send(a, request())
            counter.drain()
            await a.resume("b")
            assert counter.drain() == []
            await send(b, result())
            await a.receive_message()
            await a.resume("b")

    run(scenario())


def test_worker_sees_its_requester_go(run: RunScenario) -> None:
    """The stream of a request tells at both ends: who hangs up on it has died, or has been cut off."""

    async def scenario() -> None:
        async with pair() as (a, b, _):
            await send(a, request())
            watch = Watch(b, "a")
            await asyncio.sleep(0)
            await a.close()
            broken = await watch.evidence()
            assert "hung up" in broken.what
            assert broken.end is not None
            assert broken.end.own_port == b.context.resolve("b").port

    run(scenario())


def test_watch_tells_of_a_break_before_its_client_has_tidied_up(run: RunScenario) -> None:
    """The evidence does not wait until the SDK has hung up and passed its error on."""

    async def scenario() -> None:
        async with pair() as (a, b, _):
            await send(a, request())
            watch = Watch(a, "b")
            await asyncio.sleep(0)
            (stream,) = a._requests._readers
            cut(b)
            await until(lambda: bool(watch.told))
            assert not stream.done()
            broken = await watch.evidence()
            assert "a request failed: peer closed connection" in broken.what
            assert broken.end is not None

    run(scenario())


def test_watch_does_not_mind_streams_that_end_well(run: RunScenario) -> None:
    """A task that comes to its end closes its stream; that is no sign of death."""

    async def scenario() -> None:
        async with pair() as (a, b, _):
            watches = Watch(a, "b"), Watch(b, "a")
            for number in range(3):
                await send(a, request(f"r{number}"))
                await send(b, result(f"r{number}", f"x{number}"))
                await a.receive_message()
            await until(lambda: not a._requests._readers and not b._open_tasks._tasks)
            await send(a, message())
            assert [watch.told for watch in watches] == [[], []]
            for watch in watches:
                watch.task.cancel()

    run(scenario())


@pytest.mark.parametrize(("events_before", "evidence"), [(0, 0), (1, 1), (2, 0)])
def test_only_a_break_in_mid_task_is_evidence(run: RunScenario, events_before: int, evidence: int) -> None:
    """Before the receipt it is a failed request; after the result all that was promised has come."""
    working, completed = (
        StreamResponse(task=Task(id="t1", status=TaskStatus(state=state)))
        for state in (TaskState.TASK_STATE_WORKING, TaskState.TASK_STATE_COMPLETED)
    )

    async def events() -> AsyncIterator[StreamResponse]:
        for event in (working, completed)[:events_before]:
            yield event
        tell = breaks._tell.get()
        assert tell is not None
        tell("cut")
        raise httpx.ReadError("cut")

    async def scenario() -> None:
        async with pair() as (a, _, __):
            watch = Watch(a, "b")
            await asyncio.sleep(0)
            with suppress(PeerUnreachableError):
                await a._requests.ask(a._link("b"), request(), events())
            await until(lambda: not a._requests._readers)
            assert len(watch.told) == evidence
            watch.task.cancel()

    run(scenario())


def test_quiet_stream_breaks_in_time(run: RunScenario, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream on which not even a comment comes is a broken one; the receipt's timeout has no say in it."""
    monkeypatch.setattr("protocols.a2a.client._QUIET_S", 0.2)

    async def scenario() -> None:
        async with pair() as (a, _, __):
            await a.connect("b")
            watch = Watch(a, "b")
            await send(a, request())
            broken = await watch.evidence()
            assert "in time" in broken.what
            assert broken.end is None

    run(scenario())


def test_request_given_up_leaves_nothing(run: RunScenario) -> None:
    """A caller that is cancelled before the receipt takes its stream with it."""

    async def scenario() -> None:
        async with pair() as (a, b, _):
            for turns in range(12):
                asking = asyncio.create_task(send(a, request(f"r{turns}")))
                for _ in range(turns):
                    await asyncio.sleep(0)
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
            await until(lambda: not a._requests._readers)
            assert not a._requests._asked
            await send(a, message())
            assert not b._inbox.empty()

    run(scenario())


def test_requests_while_the_link_is_given_up(run: RunScenario) -> None:
    """They are taken, or end with a ProtocolError; either way the link is closed in the end."""

    async def scenario() -> None:
        async with pair() as (a, b, _):
            links = []
            outcomes: list[BaseException | None] = []
            for turns in range(16):
                asking = asyncio.create_task(send(a, request(f"r{turns}")))
                for _ in range(turns):
                    await asyncio.sleep(0)
                links += list(a._links.values())
                await a.disconnect("b")
                outcomes += await asyncio.gather(asking, return_exceptions=True)
            assert [one for one in outcomes if not isinstance(one, ProtocolError | None)] == []
            for task in list(b._open_tasks._tasks.values()):
                await send(b, result(task.request.message_id, f"x{task.request.message_id}"))
            await a.disconnect("b")
            await until(lambda: all(link.http.is_closed for link in links))

    run(scenario())


def test_frozen_receiver_of_a_result_is_a_timeout(run: RunScenario, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that takes no more bytes holds the worker up no longer than any other peer."""

    async def scenario() -> None:
        async with pair() as (a, b, _):
            monkeypatch.setattr(b, "_bound_s", 0.3)
            stuck = asyncio.Event()

            async def never(*_: object) -> None:
                await stuck.wait()

            await send(a, request())
            await b.receive_message()
            (reader,) = a._requests._readers
            assert b._server is not None
            connections: list[Any] = list(b._server._server.server_state.connections)
            (connection,) = [one for one in connections if one.cycle and not one.cycle.response_complete]
            monkeypatch.setattr(connection.flow, "drain", never)
            connection.flow.write_paused = True
            with pytest.raises(PeerTimeoutError):
                await send(b, result(text="q" * 100_000))
            stuck.set()
            await reader

    run(scenario())
