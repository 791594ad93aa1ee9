"""Links: cold ones are dialled in full and given up, and nobody cuts what another has under way."""

import asyncio
from collections.abc import Callable

import pytest

from agent.decisions import News
from agent.membership import RESTART_STEP
from protocols.errors import IdentityError, PeerRejectedError, PeerTimeoutError, PeerUnreachableError
from protocols.message import Cause, Message, Traffic
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


async def test_a_cold_message_dials_in_full_and_hangs_up(make_lab: MakeLab) -> None:
    """No warm link: the protocol's whole connect, the message, and the connection is given up."""
    async with make_lab() as lab:
        a = lab.agent("agent_1")
        b = lab.adapter(B)
        assert await a.mesh.send(request(a)) == "new"
        assert ops(lab) == ["connect", "send", "disconnect"]
        assert b.inbox.qsize() == 1
        assert a.mesh.links == ()
        assert await a.mesh.send(request(a)) == "new"
        assert ops(lab) == ["connect", "send", "disconnect"] * 2


async def test_a_warm_link_is_made_once_and_kept(make_lab: MakeLab) -> None:
    """A link is one connect and one hello that says who lives; later messages find it open."""
    async with make_lab() as lab:
        a = lab.agent("agent_1")
        b = lab.adapter(B)
        await a.mesh.link(B, "repair", Cause(victim="agent_3", request="edge"))
        assert await a.mesh.send(request(a)) == "warm"
        assert await a.mesh.send(request(a)) == "warm"
        assert ops(lab) == ["connect", "send", "send", "send"]
        hello = b.inbox.get_nowait()
        assert (hello.kind, hello.traffic, hello.cause) == (
            "hello",
            Traffic.HANDSHAKE,
            Cause(victim="agent_3", request="edge"),
        )
        assert hello.body == {"news": [{"peer": "agent_1", "incarnation": 0, "alive": True}]}
        up, repair = a.events("link_up", "repair")
        assert (up["peer"], up["reason"], up["cause"]) == (B, "repair", ["agent_3", "edge"])
        assert up["ms"] == pytest.approx(4.0)  # a connect and a hello, there and back
        assert (repair["cause"], repair["kind"], repair["link"]) == (["agent_3", "edge"], "edge", "new")


async def test_concurrent_cold_messages_share_one_dial(make_lab: MakeLab) -> None:
    """Five at once: one connect, and the last to finish hangs up."""
    async with make_lab() as lab:
        a = lab.agent("agent_1")
        b = lab.adapter(B)
        assert await asyncio.gather(*(a.mesh.send(request(a)) for _ in range(5))) == ["new"] * 5
        assert ops(lab) == ["connect", *["send"] * 5, "disconnect"]
        assert b.inbox.qsize() == 5


async def test_a_message_that_comes_while_another_hangs_up_is_not_cut(make_lab: MakeLab) -> None:
    """However long an adapter takes to say goodbye, a new dial waits for it."""
    async with make_lab() as lab:
        lab.network.goodbye_s = 0.003
        a = lab.agent("agent_1")
        lab.adapter(B)
        first = asyncio.ensure_future(a.mesh.send(request(a)))
        await asyncio.sleep(0.005)  # the first message is delivered, its goodbye is being said
        assert ops(lab) == ["connect", "send", "disconnect"]
        assert await a.mesh.send(request(a)) == "new"
        assert await first == "new"
        assert ops(lab) == ["connect", "send", "disconnect"] * 2
        assert a.mesh._dials == {}


@pytest.mark.parametrize("link_after_s", [0.0, 0.001, 0.003])
async def test_a_link_made_during_a_cold_message_cuts_nothing_and_stays(make_lab: MakeLab, link_after_s: float) -> None:
    """They share one connect, whoever comes first, and the warm link outlives the message."""
    async with make_lab() as lab:
        a = lab.agent("agent_1")
        lab.adapter(B)
        message = asyncio.ensure_future(a.mesh.send(request(a)))
        await asyncio.sleep(link_after_s)
        await a.mesh.link(B, "repair")
        assert await message == "new"
        assert ops(lab).count("connect") == 1
        assert "disconnect" not in ops(lab)
        assert a.mesh.links == (B,)


@pytest.mark.parametrize("send_after_s", [0.0, 0.001, 0.003])
async def test_a_cold_message_during_a_link_goes_over_it(make_lab: MakeLab, send_after_s: float) -> None:
    """A message that finds a link being made waits for it instead of dialling."""
    async with make_lab() as lab:
        a = lab.agent("agent_1")
        lab.adapter(B)
        link = lab.spawn(a.mesh.link(B, "repair"))
        await asyncio.sleep(send_after_s)
        assert await a.mesh.send(request(a)) == "warm"
        await link
        assert ops(lab) == ["connect", "send", "send"]


async def test_two_links_to_the_same_peer_become_one(make_lab: MakeLab) -> None:
    """The second comes to find the first one's work done: one connect, one hello, one journal line."""
    async with make_lab() as lab:
        a = lab.agent("agent_1")
        lab.adapter(B)
        await asyncio.gather(a.mesh.link(B, "repair"), a.mesh.link(B, "rejoin"))
        await a.mesh.link(B, "start")
        assert ops(lab) == ["connect", "send"]
        assert len(a.events("link_up")) == 1


async def test_giving_a_link_up_does_not_cut_what_is_under_way(make_lab: MakeLab) -> None:
    """The link is down at once, its connection when the last message on it has been acknowledged."""
    async with make_lab() as lab:
        a = lab.agent("agent_1")
        lab.adapter(B)
        await a.mesh.link(B, "start")
        message = asyncio.ensure_future(a.mesh.send(request(a)))
        await asyncio.sleep(0.001)
        a.mesh.unlink(B)
        assert a.mesh.links == ()
        assert await message == "warm"
        await asyncio.sleep(0)
        assert ops(lab) == ["connect", "send", "send", "disconnect"]
        assert [event["peer"] for event in a.events("link_down")] == [B]
        a.mesh.unlink(B)
        assert len(a.events("link_down")) == 1


async def test_an_idle_link_that_is_given_up_is_closed(make_lab: MakeLab) -> None:
    """Nobody else uses its connection: it goes too."""
    async with make_lab() as lab:
        a = lab.agent("agent_1")
        lab.adapter(B)
        await a.mesh.link(B, "start")
        a.mesh.unlink(B)
        await asyncio.sleep(0.1)
        assert ops(lab) == ["connect", "send", "disconnect"]
        assert a.adapter.lines == {}
        assert a.mesh._dials == {}


async def test_a_link_after_one_that_was_given_up_is_a_connect_of_its_own(make_lab: MakeLab) -> None:
    """Also while a message to the old life of the peer still hangs in its connection."""
    async with make_lab() as lab:
        a = lab.agent("agent_1")
        lab.adapter(B)
        lab.network.without_receipt[B, "commit"] = None
        message = asyncio.ensure_future(a.mesh.send(request(a)))
        await asyncio.sleep(0.01)
        await a.mesh.link(B, "repair")
        a.mesh.unlink(B)
        await a.mesh.link(B, "rejoin")
        with pytest.raises(PeerUnreachableError):
            await message
        assert ops(lab).count("connect") == 2
        assert a.mesh.links == (B,)


async def test_a_link_can_be_made_again_at_once_after_it_was_given_up(make_lab: MakeLab) -> None:
    """A restarted peer is linked in the same instant in which its old link went down, by a connect of its own."""
    async with make_lab() as lab:
        a = lab.agent("agent_1")
        lab.adapter(B)
        await a.mesh.link(B, "start")
        a.mesh.unlink(B)
        await a.mesh.link(B, "rejoin")
        await asyncio.sleep(0.1)
        assert a.mesh.links == (B,)
        assert ops(lab).count("connect") == 2
        assert a.adapter.lines[B].is_set() is False


async def test_somebody_else_at_the_address_is_refused(make_lab: MakeLab) -> None:
    """Neither a link is made nor a message handed over, and it speaks against the peer."""
    async with make_lab() as lab:
        a = lab.agent("agent_1")
        b, c = lab.adapter(B), lab.adapter("agent_3")
        lab.network.answers_as[B] = "agent_3"
        doubted: list[str] = []
        a.mesh.broke = doubted.append
        with pytest.raises(IdentityError, match="expected agent_2 at this address, agent_3 answers"):
            await a.mesh.link(B, "start")
        with pytest.raises(IdentityError):
            await a.mesh.send(request(a))
        assert a.mesh.links == ()
        assert b.inbox.empty()
        assert c.inbox.empty()
        assert doubted == [B]
        assert a.adapter.lines == {}


async def test_messages_to_a_frozen_peer_share_one_dial_and_its_failure(make_lab: MakeLab) -> None:
    """They all fail when the one connect does, after a second; one that comes later dials anew."""
    async with make_lab() as lab:
        a = lab.agent("agent_1")
        lab.adapter(B)
        lab.network.freeze(B)
        began = lab.clock.now()
        early = asyncio.gather(*(a.mesh.send(request(a)) for _ in range(4)), return_exceptions=True)
        await asyncio.sleep(0.5)
        late = asyncio.gather(a.mesh.send(request(a)), a.mesh.link(B, "repair"), return_exceptions=True)
        outcomes = [*await early, *await late]
        assert {type(outcome) for outcome in outcomes} == {PeerTimeoutError}
        assert lab.clock.now() - began == pytest.approx(1.0)
        assert ops(lab).count("connect") == 1
        lab.network.thaw(B)
        assert await a.mesh.send(request(a)) == "new"
        assert a.mesh._dials == {}


async def test_dials_to_different_peers_run_side_by_side(make_lab: MakeLab) -> None:
    """A frozen peer holds up nobody who talks to another."""
    async with make_lab() as lab:
        a = lab.agent("agent_1")
        lab.adapter(B)
        lab.adapter("agent_3")
        lab.network.freeze(B)
        stuck = asyncio.ensure_future(a.mesh.send(request(a)))
        await asyncio.sleep(0.01)
        began = lab.clock.now()
        assert await a.mesh.send(a.mesh.message("agent_3", "commit", Traffic.TASK, {"task": "q"})) == "new"
        assert lab.clock.now() - began < 0.01
        with pytest.raises(PeerTimeoutError):
            await stuck


async def test_a_dialler_that_gives_up_leaves_the_dial_to_the_next(make_lab: MakeLab) -> None:
    """A cancelled attempt is no failure: who waited for it connects by itself."""
    async with make_lab() as lab:
        a = lab.agent("agent_1")
        lab.adapter(B)
        first = asyncio.ensure_future(a.mesh.send(request(a)))
        await asyncio.sleep(0.001)
        second = asyncio.ensure_future(a.mesh.send(request(a)))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == "new"
        assert ops(lab).count("connect") == 2


async def test_a_link_whose_hello_fails_is_none_and_leaves_nothing_open(make_lab: MakeLab) -> None:
    """Connected but not introduced: the connection is given up again."""
    async with make_lab() as lab:
        a = lab.agent("agent_1")
        lab.adapter(B)
        lab.network.rejects[B, "hello"] = None
        with pytest.raises(PeerRejectedError):
            await a.mesh.link(B, "start")
        assert a.mesh.links == ()
        assert a.adapter.lines == {}
        assert a.events("link_up") == []


async def test_a_cancelled_message_leaves_no_dial_behind(make_lab: MakeLab) -> None:
    """Whoever gives up waiting hangs up too."""
    async with make_lab() as lab:
        a = lab.agent("agent_1")
        lab.adapter(B)
        lab.network.freeze(B)
        for wait_s in (0.0, 0.0005, 0.5):
            message = asyncio.ensure_future(a.mesh.send(request(a)))
            await asyncio.sleep(wait_s)
            message.cancel()
            with pytest.raises(asyncio.CancelledError):
                await message
            assert a.mesh._dials == {}
            assert a.adapter.lines == {}


async def test_who_answers_is_asked_where_the_protocol_does_not_tell(make_lab: MakeLab) -> None:
    """A connect that identifies nobody is followed by an echo, whose answer names the peer and its life."""
    async with make_lab() as lab:
        lab.network.identifies = False
        a = lab.agent("agent_1")
        lab.agent(B, RESTART_STEP)
        await a.mesh.link(B, "start")
        assert a.mesh.links == (B,)
        assert News(B, RESTART_STEP, alive=True) in a.membership.view()
        answer = lab.network.sent("echo", B)[0]
        assert answer.traffic is Traffic.HANDSHAKE
        assert next(call.op for call in lab.network.calls if call.source == B) == "send"  # it did not ask back first


async def test_a_stranger_at_the_address_gets_no_link_where_the_protocol_does_not_tell(make_lab: MakeLab) -> None:
    """Another node there does not answer to the peer's name, so the link fails instead of leading astray."""
    async with make_lab() as lab:
        lab.network.identifies = False
        lab.network.answers_as[B] = "agent_3"
        a = lab.agent("agent_1")
        lab.adapter(B)
        stranger = lab.agent("agent_3")
        with pytest.raises(PeerTimeoutError, match="did not answer"):
            await a.mesh.link(B, "start")
        assert a.mesh.links == ()
        assert len(stranger.events("nonsense")) == 1
