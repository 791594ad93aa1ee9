"""Host names of the lab reach its nodes, over TLS and whichever library dials, and nobody else's names change."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from protocols.anp.authority import certify
from protocols.anp.identity import serving_tls
from protocols.message import Traffic
from protocols.names import LabNames, naming
from protocols.serving import AsgiServer
from protocols.wire import ByteCounter, classify, count_served, listen

Run = Callable[[Coroutine[Any, Any, None]], None]

_HOST = "127.0.0.1"
_NAME = "agent-1.failstorm.test"
_URL = f"https://{_NAME}/"


async def _hello(scope: Any, _receive: Any, send: Any) -> None:
    host = dict(scope["headers"])[b"host"]
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(host))]})
    await send({"type": "http.response.body", "body": host})


class Site:
    """One node of the lab, and names that lead to it."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.served, self.dialled = ByteCounter(), ByteCounter()
        self._workspace = folder / "workspace"
        certify(folder, {"agent_1": self._workspace})
        held = stack.enter_context(socket.socket())
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((_HOST, 0))
        self.port: int = held.getsockname()[1]
        trust = ssl.create_default_context(cafile=folder / "ca.pem")
        self.names = LabNames(self._locate, trust, self.dialled)
        self.strangers = LabNames(lambda _host: None, trust, self.dialled)

    def _locate(self, host: str) -> tuple[str, int] | None:
        if host == "agent-9.failstorm.test":
            raise LookupError(host)
        return (_HOST, self.port) if host == _NAME else None

    async def start(self) -> AsgiServer:
        """Say hello to everybody, over TLS."""
        app = count_served(_hello, self.served, {"/": Traffic.HANDSHAKE})
        listener = listen(_HOST, self.port, self.served)
        server = AsgiServer(app, listener, tls=serving_tls(self._workspace))
        await server.start()
        return server


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A node whose port is given back."""
    with ExitStack() as stack:
        yield Site(tmp_path, stack)


async def _by_aiohttp() -> str:
    async with aiohttp.ClientSession() as session, session.get(_URL) as response:
        return await response.text()


async def _by_streams() -> str:
    reader, writer = await asyncio.open_connection(_NAME, 443, ssl=ssl.create_default_context())
    writer.write(b"GET / HTTP/1.1\r\nhost: %b\r\nconnection: close\r\n\r\n" % _NAME.encode())
    answer = await reader.read()
    writer.close()
    return answer.rpartition(b"\r\n\r\n")[2].decode()


@pytest.mark.parametrize("dial", [_by_aiohttp, _by_streams])
def test_name_leads_to_the_node_and_is_trusted(run: Run, site: Site, dial: Callable[[], Any]) -> None:
    """No port in the URL, no option on the library: the context says where the name leads and whom to trust."""

    async def scenario() -> None:
        server = await site.start()
        with naming(site.names), classify(Traffic.HANDSHAKE, "agent_1"):
            assert await dial() == _NAME
        await server.close()

    run(scenario())
    ((_, peer, traffic, sent, received),) = site.dialled.drain()
    assert (peer, traffic) == ("agent_1", "handshake")
    served = site.served.drain()
    assert [(row[0], row[2]) for row in served] == [("server", "handshake")]
    # A goodbye of TLS may come too late for a server that has hung up.
    assert served[0][3] == received
    assert 0 <= sent - served[0][4] < 50


def test_certificate_is_not_trusted_for_other_names(run: Run, site: Site) -> None:
    """Where the context knows a host as none of the lab's, a library's own trust decides."""

    async def scenario() -> None:
        server = await site.start()
        own = ssl.create_default_context()
        with naming(site.strangers), pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection(_HOST, site.port, ssl=own, server_hostname=_NAME)
        with naming(site.names):
            _, writer = await asyncio.open_connection(_HOST, site.port, ssl=own, server_hostname=_NAME)
            writer.close()
        await server.close()

    run(scenario())


def test_names_hold_in_their_context_only(run: Run, site: Site) -> None:
    """Outside of the block, and in the lab for a node that does not exist, the name leads nowhere."""

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        with naming(site.names):
            found = await loop.getaddrinfo(_NAME, 443)
            assert [entry[4] for entry in found] == [(_HOST, site.port)]
            with pytest.raises(socket.gaierror, match="agent-9"):
                await loop.getaddrinfo("agent-9.failstorm.test", 443)
            assert (await loop.getaddrinfo(_HOST, 80))[0][4] == (_HOST, 80)
        with pytest.raises(socket.gaierror):
            await loop.getaddrinfo(_NAME, 443)

    run(scenario())


def test_handshake_that_breaks_off_has_a_class_at_both_ends(run: Run, site: Site) -> None:
    """No request ever explains these bytes: they belong to what the caller wanted, and are stray at the server."""

    async def scenario() -> None:
        server = await site.start()
        distrustful = ssl.create_default_context()
        with naming(site.strangers), classify(Traffic.TASK, "agent_1"), pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection(_HOST, site.port, ssl=distrustful, server_hostname=_NAME)
        await server.close()

    run(scenario())
    assert [(row[0], row[1], row[2]) for row in site.dialled.drain()] == [("client", "agent_1", "task")]
    assert [(row[0], row[1], row[2]) for row in site.served.drain()] == [("server", None, "stray")]


def test_plain_http_at_a_tls_port_is_hung_up_on(run: Run, site: Site) -> None:
    """No answer, no crash, and the next caller is served."""

    async def scenario() -> None:
        server = await site.start()
        reader, writer = await asyncio.open_connection(_HOST, site.port)
        writer.write(b"GET / HTTP/1.1\r\nhost: b\r\n\r\n")
        assert not (await reader.read()).startswith(b"HTTP")
        writer.close()
        with naming(site.names):
            assert await _by_aiohttp() == _NAME
        await server.close()

    run(scenario())


def test_closed_server_lets_go_of_handshakes_that_hang(run: Run, site: Site) -> None:
    """A caller that connects and says nothing holds neither a task nor a socket of a closed server."""

    async def scenario() -> None:
        before = asyncio.all_tasks()
        server = await site.start()
        reader, writer = await asyncio.open_connection(_HOST, site.port)
        with naming(site.names):
            assert await _by_aiohttp() == _NAME
        await server.close()
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
        while asyncio.all_tasks() != before:  # noqa: ASYNC110 - bounded by the fixture
            await asyncio.sleep(0)

    run(scenario())
