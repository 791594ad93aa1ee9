"""ACP: a request is a run; its result comes on the run's stream, or what there is when that stream is cut."""

import asyncio

import pytest
from acp_sdk.models import Run, RunCompletedEvent, RunStatus

from protocols.acp import parts, server
from protocols.acp.adapter import AcpAdapter
from protocols.errors import PeerRejectedError, PeerUnreachableError
from protocols.wire import ByteCounter

from .acp_pair import RunScenario, cut, message, pair, result, until


def test_result_travels_on_the_stream_of_its_request(run: RunScenario, counter: ByteCounter) -> None:
    """The worker completes the run; it needs no connection to the requester, which does not even serve."""

    async def scenario() -> None:
        async with pair(counter, requester_serves=False) as lab:
            request = await lab.request()
            answer = result(request, answer="42")
            assert lab.worker.carries_back(answer)
            await lab.worker.send_message("agent_1", answer)
            assert await lab.requester.receive_message() == answer
            await until(lambda: not lab.requester._streams)

    run(scenario())


def test_result_arrives_although_the_link_was_given_up(run: RunScenario, counter: ByteCounter) -> None:
    """After a message over a link dialled on demand the link is given up at once; it closes when the run has ended."""

    async def scenario() -> None:
        async with pair(counter, requester_serves=False) as lab:
            request = await lab.request()
            link = lab.requester._links["agent_2"]
            await lab.requester.disconnect("agent_2")
            assert link._transport._pool.connections
            await lab.worker.send_message("agent_1", result(request))
            assert (await lab.requester.receive_message()).in_reply_to == "m1"
            await until(lambda: not link._transport._pool.connections)

    run(scenario())


def test_repeated_request_opens_a_run_of_its_own_and_all_are_completed(run: RunScenario, counter: ByteCounter) -> None:
    """A request sent again is delivered again; one result ends every run that waits for it."""

    async def scenario() -> None:
        async with pair(counter, requester_serves=False) as lab:
            request = await lab.request()
            await lab.request()
            await lab.worker.send_message("agent_1", result(request))
            assert [(await lab.requester.receive_message()).message_id for _ in range(2)] == ["r1", "r1"]
            await until(lambda: not lab.worker._acp._open)

    run(scenario())


def test_requests_of_one_task_share_a_session(run: RunScenario, counter: ByteCounter) -> None:
    """The lab's task is ACP's session, the same at every node."""

    async def scenario() -> None:
        async with pair(counter) as lab:
            seen = []
            for name in ("m1", "m2"):
                request = await lab.request(message_id=name)
                (link,) = lab.requester._streams.values()
                await link.cut()
                await until(lambda: bool(lab.requester._cut))
                run_id = lab.requester._cut["agent_2"][name]
                seen.append((await lab.runs_of(run_id)).session_id)
                await lab.worker.send_message("agent_1", result(request))
                await lab.requester.receive_message()
            assert seen == [parts.session_id(message(body={"task": "t1"}))] * 2

    run(scenario())


def test_result_without_a_stream_comes_as_a_message(run: RunScenario, counter: ByteCounter) -> None:
    """When the requester's stream is cut, the worker completes the run and sends the result as a run of its own."""

    async def scenario() -> None:
        async with pair(counter) as lab:
            request = await lab.request()
            await cut(lab)
            run_id = lab.requester._cut["agent_2"]["m1"]
            assert not lab.worker.carries_back(result(request))
            await lab.worker.send_message("agent_1", result(request))
            assert await lab.requester.receive_message() == result(request)
            assert (await lab.runs_of(run_id)).status is RunStatus.COMPLETED
            assert lab.requester._cut == {}, "expected no question about a result that is there"

    run(scenario())


@pytest.mark.parametrize("turns", range(0, 24, 2))
def test_stream_that_breaks_over_its_result_loses_nothing_silently(
    run: RunScenario, counter: ByteCounter, turns: int
) -> None:
    """Whenever the stream breaks: the result got through, its sender learns that it did not, or a resume fetches it."""

    async def scenario() -> None:
        async with pair(counter) as lab:
            request = await lab.request()
            (link,) = lab.requester._streams.values()
            sending = asyncio.create_task(lab.worker.send_message("agent_1", result(request)))
            for _ in range(turns):
                await asyncio.sleep(0)
            await link.cut()
            try:
                await sending
            except PeerUnreachableError:
                await lab.worker.send_message("agent_1", result(request))
            await until(lambda: not lab.requester._streams)
            await lab.requester.resume("agent_2")
            assert await lab.requester.receive_message() == result(request)

    run(scenario())


def test_stream_that_breaks_over_its_result_is_an_error(
    run: RunScenario, counter: ByteCounter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller counted on the stream and made no link: it has to hear of it, not to be served otherwise."""

    async def breaks(*_: object) -> bool:
        return False

    async def scenario() -> None:
        async with pair(counter) as lab:
            request = await lab.request()
            monkeypatch.setattr(lab.worker._acp, "complete", breaks)
            with pytest.raises(PeerUnreachableError, match="its run broke"):
                await lab.worker.send_message("agent_1", result(request))

    run(scenario())


def test_resume_fetches_what_a_cut_stream_missed(run: RunScenario, counter: ByteCounter) -> None:
    """A run that ended after its stream broke: its status says so, its events carry the result."""

    async def scenario() -> None:
        async with pair(counter, requester_serves=False) as lab:
            request = await lab.request()
            await cut(lab)
            await lab.requester.resume("agent_2")
            assert lab.requester._cut, "expected a run that goes on to be remembered"
            with pytest.raises(PeerUnreachableError):
                await lab.worker.send_message("agent_1", result(request, answer="42"))
            await lab.requester.resume("agent_2")
            assert await lab.requester.receive_message() == result(request, answer="42")
            assert lab.requester._cut == {}

    run(scenario())


def test_resume_forgets_what_a_restarted_peer_does_not_know(run: RunScenario, counter: ByteCounter) -> None:
    """Runs live in memory: a peer in another life has none of them."""

    async def scenario() -> None:
        async with pair(counter) as lab:
            await lab.request()
            await cut(lab)
            await lab.worker.close()
            reborn = AcpAdapter(lab.worker.context)
            await reborn.start()
            await lab.requester.resume("agent_2")
            assert lab.requester._cut == {}
            await reborn.close()

    run(scenario())


def test_runs_that_nobody_listens_to_give_way(
    run: RunScenario, counter: ByteCounter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the bound a new request takes the place of one whose requester has gone, and of no other."""
    monkeypatch.setattr(server, "_MAX_OPEN_RUNS", 1)

    async def scenario() -> None:
        async with pair(counter) as lab:
            await lab.request()
            with pytest.raises(PeerRejectedError, match="too many runs"):
                await lab.request(message_id="m2")
            for stream, link in list(lab.requester._streams.items()):
                stream.cancel()
                await link.cut()
            await until(lambda: all(run.exchange.ended.is_set() for run in lab.worker._acp._open["agent_1", "m1"]))
            await lab.request(message_id="m3")

    run(scenario())


def test_a_run_of_somebody_else_is_no_result(run: RunScenario, counter: ByteCounter) -> None:
    """Only what the asked peer says about the request that opened the run gets into the inbox."""

    async def scenario() -> None:
        async with pair(counter) as lab:
            request = message(kind="request")
            for stranger in (
                result(request).model_copy(update={"sender": "agent_3"}),
                result(request).model_copy(update={"in_reply_to": "m2"}),
            ):
                output = [{"parts": [parts.packed(stranger)]}]
                event = RunCompletedEvent(run=Run.model_validate({"agent_name": "agent-2", "output": output}))
                assert lab.requester._take("agent_2", "m1", event)
            assert lab.requester._acp.inbox.empty()

    run(scenario())
