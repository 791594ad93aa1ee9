"""Dials: to strangers and frozen peers they fail for all who wait, hold up nobody else, and leave nothing behind."""

import asyncio
from collections.abc import Callable

import pytest

from agent.decisions import News
from agent.membership import RESTART_STEP
from protocols.errors import IdentityError, PeerRejectedError, PeerTimeoutError
from protocols.message import Traffic
from tests.agent.dialling import B, ops, request
from tests.agent.lab import Lab

MakeLab = Callable[..., Lab]


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
