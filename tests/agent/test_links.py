"""Links: cold ones are dialled in full and given up, and nobody cuts what another has under way."""

import asyncio
from collections.abc import Callable

import pytest

from protocols.errors import PeerUnreachableError
from protocols.message import Cause, Traffic
from tests.agent.dialling import B, ops, request
from tests.agent.lab import Lab

MakeLab = Callable[..., Lab]


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
