"""Three ANP nodes in one counting loop, and a way to say to them what no adapter would say."""

import asyncio
import json
import socket
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from protocols.adapter import AdapterContext, Endpoint, Identity, Timeouts
from protocols.anp.adapter import AnpAdapter
from protocols.anp.direct import SEND, send_params
from protocols.anp.hosts import RPC_PATH, url
from protocols.clock import MonotonicClock, civil_now
from protocols.message import Message
from protocols.names import naming
from protocols.wire import ByteCounter, counting_loop

HOST = "127.0.0.1"
NODES = ("agent_1", "agent_2", "agent_3")
_PATIENT = Timeouts(connect_s=10.0, ack_s=20.0)
_BOUND_S = 60.0


@dataclass(frozen=True)
class Reply:
    """What came back over HTTPS."""

    status: int
    headers: Mapping[str, str]
    json: dict[str, Any]

    @property
    def anp_code(self) -> str:
        """The protocol's own word for what was wrong."""
        return str(self.json["error"]["data"]["anp_code"])


class AnpLab:
    """Nodes that were prepared for, each with a port and a workspace of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.counter = ByteCounter()
        self._held = {name: socket.socket() for name in NODES}
        for held in self._held.values():
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            held.bind((HOST, 0))
        self._nodes: list[AnpAdapter] = []
        AnpAdapter.prepare(folder, {name: self.workspace(name) for name in NODES})

    def workspace(self, name: str) -> Path:
        """A node's own folder."""
        return self.folder / "workspaces" / name

    def port(self, name: str) -> int:
        """A node's own port; raises LookupError for a node that is not of the lab."""
        return int(self._held[name].getsockname()[1])

    def context(self, name: str, incarnation: int = 0, *, workspace: str | None = None) -> AdapterContext:
        """What an adapter called ``name`` gets."""
        return AdapterContext(
            Identity(name, incarnation),
            lambda peer: Endpoint(HOST, self.port(peer)),
            MonotonicClock(),
            ByteCounter(),
            self.workspace(workspace or name),
            _PATIENT,
        )

    async def node(self, name: str, incarnation: int = 0) -> AnpAdapter:
        """A started adapter."""
        adapter = AnpAdapter(self.context(name, incarnation))
        await self.start(adapter)
        return adapter

    async def start(self, adapter: AnpAdapter) -> None:
        """Start ``adapter``; it is closed at the end."""
        self._nodes.append(adapter)
        await adapter.start()

    async def pair(self) -> tuple[AnpAdapter, AnpAdapter]:
        """The first two nodes; the first holds a bearer token of the second."""
        first, second = [await self.node(name) for name in NODES[:2]]
        await first.connect(NODES[1])
        return first, second

    def run(self, scenario: Coroutine[Any, Any, None]) -> None:
        """Run in a counting loop, bounded; all nodes are closed at the end."""

        async def bounded() -> None:
            try:
                async with asyncio.timeout(_BOUND_S):
                    await scenario
            finally:
                for node in self._nodes:
                    await node.close()

        with asyncio.Runner(loop_factory=lambda: counting_loop(self.counter)) as runner:
            runner.run(bounded())

    def close(self) -> None:
        """Give the ports back."""
        for held in self._held.values():
            held.close()


def message(**changes: Any) -> Message:
    """A message from the first node to the second."""
    fields = {"message_id": "m1", "kind": "echo", "sender": NODES[0], "recipient": NODES[1], "traffic": "task"}
    return Message.model_validate(fields | changes)


def signed(sender: AnpAdapter, content: Message | None = None, dest: str = NODES[1]) -> dict[str, Any]:
    """A JSON-RPC request as ``sender`` would send it."""
    params = send_params(sender._identity, dest, content or message(), civil_now())
    return {"jsonrpc": "2.0", "id": "1", "method": SEND, "params": params}


def encoded(request: Any) -> bytes:
    """The request as JSON."""
    return json.dumps(request).encode()


def bearer(sender: AnpAdapter) -> dict[str, str]:
    """Headers with the token that the second node gave to ``sender``."""
    headers: dict[str, str] = sender._identity.authenticator.get_auth_header(url(NODES[1], RPC_PATH))
    assert "Authorization" in headers, "expected a token; connect first"
    return headers


def http_signature(sender: AnpAdapter, body: bytes) -> dict[str, str]:
    """Headers that sign a request to the second node (RFC 9421)."""
    headers: dict[str, str] = sender._identity.authenticator.get_auth_header(
        url(NODES[1], RPC_PATH), force_new=True, method="POST", headers={}, body=body
    )
    return headers


async def post(sender: AnpAdapter, body: bytes, headers: Mapping[str, str], path: str = RPC_PATH) -> Reply:
    """Send whatever to the second node, seen from ``sender``."""
    connector = aiohttp.TCPConnector(ssl=sender._identity.trust)
    with naming(sender._names):
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.post(url(NODES[1], path), data=_chunked(body), headers=headers) as response,
        ):
            return Reply(response.status, dict(response.headers), json.loads(await response.read()))


async def _chunked(body: bytes) -> Any:
    for begin in range(0, len(body), 1 << 20):
        yield body[begin : begin + (1 << 20)]


def nothing_delivered(adapter: AnpAdapter) -> bool:
    """Whether the node has taken in no message."""
    return adapter._inbox.empty()


def refusals(adapter: AnpAdapter) -> dict[str, int]:
    """What the node has refused, by reason."""
    return {str(reason): count for reason, count in adapter.rejections.items() if count}


@contextmanager
def lab_in(folder: Path) -> Iterator[AnpLab]:
    """A lab whose ports are given back."""
    lab = AnpLab(folder)
    try:
        yield lab
    finally:
        lab.close()
