"""Watched connections: where the mode asks for it their end is evidence, which a probe confirms."""

import asyncio
import dataclasses
from collections.abc import Callable

import pytest

from protocols.adapter import Endpoint
from protocols.errors import PeerUnreachableError
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
        server.close()
        await server.wait_closed()
        assert received == [b""]
