"""Messages in and out: what fails is reported, what is repeated or foreign is dropped, and probes are not cut."""

import asyncio
from collections.abc import Callable

import pytest

from protocols.errors import PeerRejectedError, PeerTimeoutError, PeerUnreachableError, ProtocolError
from protocols.message import Message, Traffic
from tests.agent.lab import Lab
from tests.agent.specimen import Agent

MakeLab = Callable[..., Lab]
B = "agent_2"


def request(agent: Agent) -> Message:
    """An ordinary message to ``agent_2``."""
    return agent.mesh.message(B, "commit", Traffic.TASK, {"task": "q"})


def ops(lab: Lab, peer: str = B) -> list[str]:
    """What ``agent_1`` asked of its adapter about ``peer``, in order."""
    return [call.op for call in lab.network.calls if call.source == "agent_1" and call.peer == peer]


@pytest.mark.parametrize(
    ("condition", "error", "after_s"),
    [("dead", PeerUnreachableError, 0.0), ("frozen", PeerTimeoutError, 1.0), ("refusing", PeerRejectedError, 0.003)],
)
async def test_a_failed_message_speaks_against_the_peer(
    make_lab: MakeLab, condition: str, error: type[ProtocolError], after_s: float
) -> None:
    """Each way to fail reaches the caller as its own error, the detector as one notice, and leaves nothing open."""
    async with make_lab() as lab:
        a = lab.agent("agent_1")
        lab.adapter(B)
        if condition == "dead":
            lab.network.kill(B)
        elif condition == "frozen":
            lab.network.freeze(B)
        else:
            lab.network.rejects[B, "commit"] = None
        doubted: list[str] = []
        a.mesh.broke = doubted.append
        began = lab.clock.now()
        with pytest.raises(error):
            await a.mesh.send(request(a))
        assert lab.clock.now() - began == pytest.approx(after_s)
        assert doubted == [B]
        assert a.adapter.lines == {}
        assert a.mesh._dials == {}


async def test_a_repeated_message_is_handled_once_but_a_repeated_request_is_passed_on(make_lab: MakeLab) -> None:
    """Duplicates are dropped by their message id; whether a request is a duplicate is for the worker to say."""
    async with make_lab() as lab:
        a = lab.agent("agent_1")
        handled: list[str] = []

        async def note(message: Message) -> None:
            handled.append(message.kind)

        for kind in ("commit", "request"):
            a.mesh.on(kind, note)
            for message_id in ("m-1", "m-1", "m-2"):
                message = lab.message(B, "agent_1", kind, {}, message_id=f"{kind}-{message_id}")
                a.adapter.inbox.put_nowait(message)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert handled == ["commit"] * 2 + ["request"] * 3


async def test_messages_from_strangers_or_for_others_are_journaled_and_dropped(make_lab: MakeLab) -> None:
    """Garbage does not bring an agent down: who is not in the roster could not be answered."""
    async with make_lab() as lab:
        a = lab.agent("agent_1")
        lab.adapter(B)
        garbage = [
            lab.message("stranger", "agent_1", "hello", {"news": []}),
            lab.message("stranger", "agent_1", "request", {}),
            lab.message("stranger", "agent_1", "echo", {"answer": True}),
            lab.message(B, "agent_4", "commit", {"task": "q"}),
        ]
        for message in garbage:
            a.adapter.inbox.put_nowait(message)
        await asyncio.sleep(0.1)
        assert [(event["peer"], event["kind"]) for event in a.events("nonsense")] == [
            ("stranger", "hello"),
            ("stranger", "request"),
            ("stranger", "echo"),
            (B, "commit"),
        ]
        assert lab.network.calls == []


async def test_an_echo_is_answered_if_it_asks_for_it(make_lab: MakeLab) -> None:
    """The answer names the echo; an echo that asks for none, as a probe is, gets the receipt only."""
    async with make_lab() as lab:
        a = lab.agent("agent_1")
        b = lab.adapter(B)
        a.adapter.inbox.put_nowait(lab.message(B, "agent_1", "echo", {"answer": True}, message_id="e-1"))
        a.adapter.inbox.put_nowait(lab.message(B, "agent_1", "echo", {}, message_id="e-2"))
        answer = await b.receive_message()
        assert (answer.kind, answer.in_reply_to, answer.body) == ("echo", "e-1", {})
        await asyncio.sleep(0.1)
        assert b.inbox.empty()


async def test_the_link_check_names_each_peer_that_did_not_answer_and_why(make_lab: MakeLab) -> None:
    """A live agent passes; one that is dead, one that never answers the echo, and one at a wrong address do not."""
    async with make_lab(agent_count=5) as lab:
        a = lab.agent("agent_1")
        lab.agent(B)
        for name in ("agent_3", "agent_4", "agent_5"):
            lab.adapter(name)
        lab.network.kill("agent_3")
        lab.network.answers_as["agent_5"] = B
        failed = await a.mesh.check([B, "agent_3", "agent_4", "agent_5"])
        assert failed == [
            ("agent_3", "agent_3: refused"),
            ("agent_4", "agent_4: took the echo but did not answer it"),
            ("agent_5", "agent_5: expected agent_5 at this address, agent_2 answers"),
        ]
        assert a.mesh._echoes._waiting == {}


@pytest.mark.parametrize("has_probe", [True, False])
async def test_a_probe_ends_in_time_whether_the_protocol_has_one_or_not(make_lab: MakeLab, *, has_probe: bool) -> None:
    """A protocol without a probe is asked by an echo; either way a frozen peer is given up after the stated time."""
    async with make_lab() as lab:
        lab.network.has_probe = has_probe
        a = lab.agent("agent_1")
        lab.adapter(B)
        await a.mesh.probe(B, 0.5)
        assert [message.traffic for message in lab.network.sent("echo")] == ([] if has_probe else [Traffic.HEARTBEAT])
        lab.network.freeze(B)
        began = lab.clock.now()
        with pytest.raises(PeerTimeoutError, match=r"no answer to a probe within 0\.5 s"):
            await a.mesh.probe(B, 0.5)
        assert lab.clock.now() - began == pytest.approx(0.5)
        assert a.adapter.lines == {}  # a probe of a peer without a link leaves none behind


async def test_a_probe_on_a_warm_link_uses_it_and_leaves_it_open(make_lab: MakeLab) -> None:
    """Routine probes cost no connect."""
    async with make_lab() as lab:
        a = lab.agent("agent_1")
        lab.adapter(B)
        await a.mesh.link(B, "start")
        await a.mesh.probe(B, 0.5)
        assert ops(lab) == ["connect", "send", "probe"]


async def test_a_message_that_fails_beside_a_probe_does_not_cut_the_probe(make_lab: MakeLab) -> None:
    """The last user hangs up, and a probe is a user: a slow peer that answers in time is heard."""
    async with make_lab() as lab:
        a = lab.agent("agent_1")
        lab.adapter(B)
        a.mesh.broke = lambda _peer: None
        lab.network.rejects[B, "commit"] = None
        message = asyncio.ensure_future(a.mesh.send(request(a)))
        await asyncio.sleep(0.0025)  # connected; the refusal is on its way
        lab.network.delays_s[B, "agent_1"] = 0.2
        probe = asyncio.ensure_future(a.mesh.probe(B, 0.5))
        with pytest.raises(PeerRejectedError):
            await message
        await probe
        assert ops(lab) == ["connect", "send", "probe", "disconnect"]


async def test_a_message_waits_for_a_probe_of_its_peer_rather_than_cut_it(make_lab: MakeLab) -> None:
    """A connect in the middle of a confirming probe would turn a living peer into a suspect."""
    async with make_lab() as lab:
        a = lab.agent("agent_1")
        lab.adapter(B)
        lab.network.delays_s[B, "agent_1"] = 0.2
        probe = asyncio.ensure_future(a.mesh.probe(B, 0.5))
        await asyncio.sleep(0.1)
        assert await a.mesh.send(request(a)) == "new"
        await probe
        assert ops(lab) == ["probe", "connect", "send", "disconnect"]
