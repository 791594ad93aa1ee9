"""Lifelines: where a dead peer's name is gone, the end of an idle connection tells a death from a cut."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest

from agent.deaths import Deaths
from agent.lifelines import Lifelines
from agent.mesh import MeshNetwork
from protocols.adapter import BaseProtocolAdapter, Endpoint
from protocols.clock import Clock
from protocols.errors import PeerTimeoutError, PeerUnreachableError

pytestmark = pytest.mark.sockets

PEER = "agent_2"


async def eventually(condition: Callable[[], bool]) -> None:
    """Let the loop turn until ``condition`` holds, for five seconds at most."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0.001)


class Peer:
    """A process that accepts connections and says nothing; it can die and come back."""

    def __init__(self) -> None:
        self.connections: list[socket.socket] = []
        self.accepted = 0
        self.start(0)

    def start(self, port: int) -> None:
        """Listen on ``port``; 0 for any."""
        self.listener = socket.create_server(("127.0.0.1", port))
        self.listener.settimeout(0)
        self.port = self.listener.getsockname()[1]
        asyncio.get_running_loop().add_reader(self.listener, self._accept)

    def die(self) -> None:
        """End all connections, as the kernel does for it."""
        asyncio.get_running_loop().remove_reader(self.listener)
        self.listener.close()
        while self.connections:
            self.connections.pop().close()

    def _accept(self) -> None:
        self.connections.append(self.listener.accept()[0])
        self.accepted += 1


class QuickClock(Clock):
    """Pauses are over at once."""

    def now(self) -> float:
        """The loop's time."""
        return asyncio.get_running_loop().time()

    async def sleep(self, duration_s: float) -> None:  # noqa: ARG002 - the clock's interface
        """Let others have their turn."""
        await asyncio.sleep(0)


@asynccontextmanager
async def lifelines(peer: Peer, host: str) -> AsyncIterator[Lifelines]:
    """Lifelines of an agent that reaches ``peer`` as ``host``."""
    context = SimpleNamespace(resolve=lambda _name: Endpoint(host, peer.port), timeouts=SimpleNamespace(connect_s=1.0))
    tasks: list[asyncio.Task[Any]] = []
    made = Lifelines(
        cast("BaseProtocolAdapter", SimpleNamespace(context=context)),
        QuickClock(),
        lambda work: tasks.append(asyncio.ensure_future(work)),
    )
    made.hold([PEER])
    yield made
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    peer.die()


async def test_a_line_breaks_when_its_peer_dies_and_holds_again_when_it_is_back() -> None:
    """No line is broken while the peer lives; after its death one is, until it was heard of and dialled again."""
    peer = Peer()
    async with lifelines(peer, "localhost") as lines:
        await eventually(lambda: peer.accepted == 1)
        assert not lines.broke(PEER)
        peer.die()
        await eventually(lambda: lines.broke(PEER))
        peer.start(peer.port)
        lines.returned(PEER)
        await eventually(lambda: peer.accepted >= 2)
        await eventually(lambda: not lines.broke(PEER))


async def test_a_peer_that_is_back_is_dialled_anew_though_the_old_line_seems_to_hold() -> None:
    """After a cut it may have another address: the old connection would hang for ever, and prove nothing any more."""
    peer = Peer()
    async with lifelines(peer, "localhost") as lines:
        await eventually(lambda: peer.accepted == 1)
        lines.returned(PEER)
        await eventually(lambda: peer.accepted >= 2)
        assert not lines.broke(PEER)


async def test_a_peer_with_an_address_gets_no_line() -> None:
    """Where an address stays, a connection to the dead is refused, and that is proof enough."""
    peer = Peer()
    async with lifelines(peer, "127.0.0.1"):
        await asyncio.sleep(0.05)
        assert peer.accepted == 0


@pytest.mark.parametrize(
    ("error", "broke", "found"),
    [
        (socket.gaierror(-2, "unknown"), True, "dead"),
        (socket.gaierror(-2, "unknown"), False, "silent"),
        (ConnectionRefusedError(), False, "dead"),
        (TimeoutError(), True, "dead"),
        (TimeoutError(), False, "silent"),
    ],
)
async def test_silence_and_a_lost_name_prove_a_death_only_with_a_broken_line(
    error: OSError, found: str, *, broke: bool
) -> None:
    """A container that is cut off loses its name too, but ends no connection; a refusal is proof without one."""

    async def probe(peer: str, _timeout_s: float) -> None:
        kind = PeerTimeoutError if isinstance(error, TimeoutError) else PeerUnreachableError
        raise kind(peer, "gone") from error

    lines = SimpleNamespace(broke=lambda _peer: broke, returned=lambda _peer: None)
    deaths = Deaths(cast("MeshNetwork", SimpleNamespace(probe=probe)), cast("Lifelines", lines), 0.4)
    assert await deaths.look(PEER) == found
    assert deaths.is_proven(PEER) == (found == "dead")
