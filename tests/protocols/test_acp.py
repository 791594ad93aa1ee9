"""ACP: manifests, refusals, presence and bytes, beyond what every protocol must do."""

import asyncio
import logging

import httpx
import pytest
from acp_sdk.client import Client

from protocols import inbox
from protocols.acp.parts import packed
from protocols.errors import IdentityError, PeerRejectedError, PeerUnreachableError
from protocols.message import Traffic
from protocols.wire import ByteCounter, classify

from .acp_pair import Pair, RunScenario, abort_served, cut, message, pair, result, tasks, until
from .watching import Watch

_MIB = 1 << 20


def test_manifest_names_the_node_and_its_life(run: RunScenario, counter: ByteCounter) -> None:
    """An agent's name is a DNS label; which node it is, in which life, and what it can do, stands in its metadata."""

    async def scenario() -> None:
        async with pair(counter) as lab, Client(base_url=lab.url, timeout=20) as client:
            assert [agent.name async for agent in client.agents()] == ["agent-2", "presence"]
            manifest = await client.agent(name="agent-2")
            assert manifest.metadata.model_extra == {"node_id": "agent_2", "incarnation": 7}
            assert [skill.name for skill in manifest.metadata.capabilities or ()] == ["search"]
            assert manifest.input_content_types == ["application/json"]

    run(scenario())


def test_likeness_of_names_is_no_identity(run: RunScenario, counter: ByteCounter) -> None:
    """Two node ids can make the same DNS label; the manifest's metadata tells which one answers."""

    async def scenario() -> None:
        async with pair(counter) as lab:
            lab.ports["agent-2"] = lab.ports["agent_2"]
            with pytest.raises(IdentityError, match="agent_2 answers"):
                await lab.requester.connect("agent-2")
            with pytest.raises(PeerRejectedError, match="this is agent_2"):
                await lab.requester.send_message("agent-2", message(recipient="agent-2"))

    run(scenario())


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 422, "invalid_input"),
        (b"[" * 100_000, 400, "invalid_input"),
        (b"[]", 422, "invalid_input"),
        (b'{"agent_name":"agent-2","input":[{"parts":[{"content":"hello"}]}]}', 422, "invalid_input"),
        (b'{"agent_name":"agent-2","input":[' + b"0," * 100_000 + b"0]}", 422, "invalid_input"),
        (b'{"agent_name":"presence","mode":"sync","input":[]}', 422, "invalid_input"),
        (b"q" * (8 * _MIB + 1), 413, "invalid_input"),
    ],
    ids=["half", "nested", "a list", "no message", "a crowd", "presence in vain", "too large"],
)
def test_refusals_are_errors_of_acp(
    run: RunScenario, counter: ByteCounter, body: bytes, status: int, code: str
) -> None:
    """What is no message is refused before a run exists, by a short ACP error."""

    async def scenario() -> None:
        async with pair(counter) as lab, httpx.AsyncClient(base_url=lab.url, trust_env=False, timeout=20) as bare:
            refused = await bare.post("/runs", content=body, headers={"content-type": "application/json"})
            assert refused.status_code == status
            assert refused.json()["code"] == code
            assert len(refused.content) < 500

    run(scenario())


def test_history_without_end_is_refused_unread(run: RunScenario, counter: ByteCounter) -> None:
    """The SDK's models would list every one of a million faults before they refuse."""

    async def scenario() -> None:
        async with pair(counter) as lab, httpx.AsyncClient(base_url=lab.url, trust_env=False, timeout=20) as bare:
            body = {
                "agent_name": "agent-2",
                "session": {"history": [0] * 5_000},
                "input": [{"parts": [packed(message()).model_dump()]}],
            }
            refused = await bare.post("/runs", json=body)
            assert refused.status_code == 422
            assert refused.json()["message"] == "expected 1000 messages of history, got 5000"

    run(scenario())


def test_full_inbox_refuses_until_there_is_room(
    run: RunScenario, counter: ByteCounter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that takes nothing out of its inbox says so instead of growing."""
    monkeypatch.setattr(inbox, "MAX_MESSAGES", 1)

    async def scenario() -> None:
        async with pair(counter) as lab:
            await lab.requester.send_message("agent_2", message())
            with pytest.raises(PeerRejectedError, match="try again later"):
                await lab.requester.send_message("agent_2", message(message_id="m2"))
            assert (await lab.worker.receive_message()).message_id == "m1"
            await lab.requester.send_message("agent_2", message(message_id="m3"))

    run(scenario())


def test_watch_ends_with_its_link_and_leaves_no_run(run: RunScenario, counter: ByteCounter) -> None:
    """A stream of presence goes on until one side gives it up; then the run is over at the other side too."""

    async def scenario() -> None:
        async with pair(counter) as lab:
            watch = Watch(lab.requester, "agent_2")
            await until(lambda: tasks("_run_coro") == 1)
            await lab.requester.disconnect("agent_2")
            await watch.task
            assert watch.told == []
            await until(lambda: tasks("_run_coro") == 0)

    run(scenario())


def test_watch_tells_of_a_break_before_its_client_has_tidied_up(run: RunScenario, counter: ByteCounter) -> None:
    """The evidence does not wait until the SDK has hung up and passed its error on."""

    async def scenario() -> None:
        async with pair(counter) as lab:
            watch = Watch(lab.requester, "agent_2")
            await until(lambda: any(received for *_, received in counter.drain()))
            abort_served(lab.worker)
            await until(lambda: bool(watch.told))
            assert not watch.task.done()
            broken = await watch.evidence()
            assert "failed: peer closed connection" in broken.what
            assert broken.end is not None

    run(scenario())


def test_watch_tells_of_a_break_before_its_first_event(run: RunScenario, counter: ByteCounter) -> None:
    """The connection was there, and has ended: that is evidence too, and comes with no answer to break off."""
    served = ByteCounter()

    async def scenario() -> None:
        async with pair(counter, served) as lab:
            watch = Watch(lab.requester, "agent_2")
            await until(lambda: any(tally._waiting[1] for tally in served._served.values()))
            abort_served(lab.worker)
            broken = await watch.evidence()
            assert "without sending a response" in broken.what
            assert broken.end is not None

    run(scenario())


def test_watch_ends_with_its_node(run: RunScenario, counter: ByteCounter) -> None:
    """Who closes, though runs are under way, watches nobody any more; what never opened is an error of the peer."""

    async def scenario() -> None:
        async with pair(counter) as lab:
            watch = Watch(lab.requester, "agent_2")
            await lab.request()
            await until(lambda: tasks("_run_coro") >= 1)
            await lab.requester.close()
            await watch.task
            await lab.worker.close()
            with pytest.raises(PeerUnreachableError):
                await lab.requester.watch("agent_2", watch.told.append)
            assert watch.told == []

    run(scenario())


def test_runs_leave_no_task_behind(run: RunScenario, counter: ByteCounter) -> None:
    """The SDK's own store would leave one that waits for a cancellation, after every run."""

    async def scenario() -> None:
        async with pair(counter) as lab:
            await _exchange(lab, 0)
            await until(lambda: not tasks("_execute"))
            before = len(asyncio.all_tasks())
            for number in range(1, 20):
                await _exchange(lab, number)
            await until(lambda: len(asyncio.all_tasks()) == before)
            assert lab.worker._acp._open == {}

    run(scenario())


async def _exchange(lab: Pair, number: int) -> None:
    await lab.requester.send_message("agent_2", message(message_id=f"m{number}"))
    await lab.worker.receive_message()
    request = await lab.request(message_id=f"q{number}")
    await lab.worker.send_message("agent_1", result(request, f"r{number}"))
    await lab.requester.receive_message()


def test_bytes_of_each_call_find_their_class_on_both_sides(run: RunScenario, counter: ByteCounter) -> None:
    """Ping, manifest, sync and streamed runs with their results, presence, status, refusals: both ends agree."""
    served = ByteCounter()

    async def scenario() -> None:
        async with pair(counter, served, requester_serves=False) as lab:
            with classify(Traffic.HANDSHAKE, "agent_2"):
                await lab.requester.connect("agent_2")
            watch = Watch(lab.requester, "agent_2")
            await until(lambda: tasks("_run_coro") == 1)
            with classify(Traffic.TASK, "agent_2"):
                request = await lab.request()
            await lab.worker.send_message("agent_1", result(request, answer="4" * 5000))
            with classify(Traffic.RETRY, "agent_2"), pytest.raises(PeerRejectedError):
                await lab.requester.send_message("agent_2", message(recipient="agent_3", traffic="retry"))
            with classify(Traffic.TASK, "agent_2"):
                await lab.request(message_id="m2")
            for link in lab.requester._streams.values():
                await link.cut()
            await watch.task
            await until(lambda: bool(lab.requester._cut))
            with classify(Traffic.RESUME, "agent_2"):
                await lab.requester.resume("agent_2")

    run(scenario())
    asked = {row[2]: row[3:] for row in counter.drain()}
    answered: dict[str, tuple[int, int]] = {}
    for _, _, traffic, sent, received in served.drain():
        before = answered.get(traffic, (0, 0))
        answered[traffic] = before[0] + received, before[1] + sent
    assert list(asked) == ["handshake", "heartbeat", "resume", "retry", "task"]
    assert asked == answered
    assert asked["task"][1] > 5000


def test_refusals_and_cut_streams_make_no_noise(
    run: RunScenario, counter: ByteCounter, caplog: pytest.LogCaptureFixture
) -> None:
    """Peers die and talk nonsense here all the time: no stack trace in the survivors' logs."""

    async def scenario() -> None:
        async with pair(counter) as lab:
            await lab.request()
            await cut(lab)
            with pytest.raises(PeerRejectedError):
                await lab.requester.send_message("agent_2", message(recipient="agent_3"))

    with caplog.at_level(logging.WARNING):
        run(scenario())
    assert caplog.messages == []
