"""Watched connections: where the mode asks for it their end is evidence, which a probe confirms."""

import asyncio
import dataclasses
import os
from collections.abc import Callable

import pytest

from protocols.adapter import Broken, Endpoint
from protocols.errors import PeerUnreachableError
from protocols.tally import current
from protocols.wire import End
from tests.agent.lab import Lab

MakeLab = Callable[..., Lab]
B = "agent_2"


@pytest.mark.parametrize(("killed", "mechanism"), [(True, "watch"), (False, None)])
async def test_the_protocols_own_evidence_is_confirmed_by_a_probe(
    make_lab: MakeLab, mechanism: str | None, *, killed: bool
) -> None:
    """Mode ``native``: a broken stream calls for one probe, which tells a death from a hiccup."""
    async with make_lab(detector={"mode": "native"}) as lab:
        a = lab.observer()
        a.adapter.evidence[B] = stream = asyncio.get_running_loop().create_future()
        await a.mesh.link(B, "start")
        await asyncio.sleep(5)
        assert lab.network.of("probe") == []
        if killed:
            lab.network.kill(B)
        stream.set_exception(PeerUnreachableError(B, "the stream broke"))
        await asyncio.sleep(0.5)
        assert [change[3] for change in a.changes()] == ([mechanism] if mechanism else [])
        assert len(lab.network.of("probe")) == 1
        (broke,) = a.events("watch_broke")
        assert (broke["mechanism"], broke["probes"], "port" in broke) == ("watch", True, False)


async def test_evidence_names_the_connection_that_broke_and_when(make_lab: MakeLab) -> None:
    """Its end was read at the socket before the protocol told; who is held for dead is not probed again."""
    async with make_lab(detector={"mode": "native"}) as lab:
        a = lab.observer()
        a.adapter.evidence[B] = stream = asyncio.get_running_loop().create_future()
        await a.mesh.link(B, "start")
        lab.network.kill(B)
        a.node._heartbeat.doubt(B, "request")
        await asyncio.sleep(0.5)
        stream.set_result(Broken("the stream broke", End(lab.clock.now() - 0.004, 40001, 9002)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        (broke,) = a.events("watch_broke")
        assert (broke["eof_ms"], broke["port"], broke["peer_port"], broke["probes"]) == (4.0, 40001, 9002, False)


async def test_who_has_seen_a_death_gives_up_its_core_once_before_the_repairs(
    make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other survivors on the same core see the death before the probe and what follows from it take their turn."""
    async with make_lab(detector={"mode": "native"}) as lab:
        a = lab.observer()
        a.adapter.evidence[B] = stream = asyncio.get_running_loop().create_future()
        await a.mesh.link(B, "start")
        lab.network.kill(B)
        given_up = []
        monkeypatch.setattr(
            os, "sched_yield", lambda: given_up.append((len(a.events("watch_broke")), len(lab.network.of("probe"))))
        )
        stream.set_result(Broken("the stream broke"))
        await asyncio.sleep(0.5)
        assert given_up == [(1, 0)]
        assert len(lab.network.of("probe")) == 1


async def test_what_follows_from_a_break_is_no_business_of_the_stream(make_lab: MakeLab) -> None:
    """The adapter tells from within its stream; probe and repairs must not count as that stream's."""
    async with make_lab(detector={"mode": "native"}) as lab:
        a = lab.observer()
        a.adapter.evidence[B] = stream = asyncio.get_running_loop().create_future()
        seen = []
        a.node._heartbeat.watch_broke = lambda *_evidence: seen.append(current())  # type: ignore[method-assign]
        await a.mesh.link(B, "start")
        stream.set_result(Broken("the stream broke"))
        await asyncio.sleep(0.1)
        assert [peer for _, peer in seen] == [None]


async def test_an_error_of_the_agents_own_ends_it_and_is_not_the_peers(make_lab: MakeLab) -> None:
    """It does not come up through the stream, where it would pass for an answer that makes no sense."""

    def fail(*_evidence: object) -> None:
        raise LookupError("a part of the agent is broken")

    async def scenario() -> None:
        async with make_lab(detector={"mode": "native"}) as lab:
            a = lab.observer()
            a.adapter.evidence[B] = stream = asyncio.get_running_loop().create_future()
            a.node._heartbeat.watch_broke = fail  # type: ignore[method-assign, assignment]
            await a.mesh.link(B, "start")
            stream.set_result(Broken("the stream broke"))
            await asyncio.sleep(5)

    with pytest.raises(ExceptionGroup) as raised:
        await scenario()
    assert raised.group_contains(LookupError)


async def test_a_protocol_without_streams_is_watched_by_probes_alone(make_lab: MakeLab) -> None:
    """Mode ``native`` for a protocol that keeps nothing open: no evidence, no busy loop, no error."""
    async with make_lab(detector={"mode": "native"}) as lab:
        a = lab.observer()
        await a.mesh.link(B, "start")
        await asyncio.sleep(5)
        assert lab.network.of("probe") == []


async def test_the_labs_own_idle_connection_shows_a_death(make_lab: MakeLab) -> None:
    """Mode ``tcp``: the end of the connection calls for a probe; as long as it stands, nothing is sent on it."""
    received: list[bytes] = []
    connections: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        received.append(await reader.read())

    async with make_lab(detector={"mode": "tcp"}, recovery={"reconnect": False}) as lab:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        a = lab.observer()
        a.adapter.context = dataclasses.replace(a.adapter.context, resolver=lambda _name: Endpoint("127.0.0.1", port))
        await a.mesh.link(B, "start")
        await asyncio.sleep(5)
        assert len(connections) == 1
        assert lab.network.of("probe") == []
        lab.network.kill(B)
        connections[0].close()
        await connections[0].wait_closed()
        await asyncio.sleep(0.1)
        assert a.changes() == [("suspect", B, 0, "tcp")]
        (broke,) = a.events("watch_broke")
        assert (broke["peer"], broke["mechanism"], broke["probes"]) == (B, "tcp", True)
        assert (broke["port"], broke["peer_port"]) == (connections[0].get_extra_info("peername")[1], port)
        assert broke["eof_ms"] < 1
        server.close()
        await server.wait_closed()
        assert received == [b""]
