"""The arena of a test: adapters of one protocol, each with a port of its own, and an end that frees everything."""

import asyncio
import itertools
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from agent.tools import tool_named
from protocols import registry
from protocols.adapter import AdapterContext, BaseProtocolAdapter, Endpoint, Identity, Timeouts
from protocols.clock import MonotonicClock
from protocols.message import Message, Traffic
from protocols.wire import ByteCounter, classify, counting_loop

from .peer_process import PeerProcess
from .proxy import Proxy
from .recorder import Recorder

T = TypeVar("T")

HOST = "127.0.0.1"
PATIENT = Timeouts(connect_s=10.0, ack_s=20.0)
"""For tests about what happens, on a machine that may be busy; tests about time bring their own."""
_BOUND_S = 60.0
_NAMES = ("a", "b", "c", "d", "r")
"""What a test may call its nodes."""


class Arena:
    """Adapters of one protocol in one counting loop, each with a port of its own."""

    def __init__(self, protocol: str, folder: Path) -> None:
        self.protocol = protocol
        self.adapter_class = registry.load(protocol)
        self.counter = ByteCounter()
        """Counts whatever leaves this process, and what is accepted by nodes without a counter of their own."""
        self._folder = folder
        self._numbers = itertools.count(1)
        self._reserved: dict[str, socket.socket] = {}
        self._nodes: list[BaseProtocolAdapter] = []
        self._peers: list[PeerProcess] = []
        self.adapter_class.prepare(folder, {name: folder / name for name in _NAMES})
        self._runner = asyncio.Runner(loop_factory=lambda: counting_loop(self.counter))

    def run(self, scenario: Coroutine[Any, Any, T]) -> T:
        """Run ``scenario`` in the counting loop; bounded."""

        async def bounded() -> T:
            async with asyncio.timeout(_BOUND_S):
                return await scenario

        return self._runner.run(bounded())

    def overrides(self, capability: str) -> bool:
        """Whether the protocol has an optional capability."""
        return getattr(self.adapter_class, capability) is not getattr(BaseProtocolAdapter, capability)

    def serving_tls(self, name: str) -> ssl.SSLContext | None:
        """What it takes to pass for ``name`` where the protocol is spoken over TLS; None otherwise."""
        return self.adapter_class.serving_tls(self._folder / name)

    def asking_tls(self) -> dict[str, Any]:
        """How ``asyncio.open_connection`` is to ask a node: where the protocol is spoken over TLS, by the lab's CA."""
        if self.serving_tls("b") is None:
            return {}
        context = ssl.create_default_context(cafile=next(self._folder.glob("ca/*.pem")))
        context.check_hostname = False  # which node of the lab answers is known by its port
        return {"ssl": context}

    def port(self, name: str) -> int:
        """The port of ``name``: kept from everybody else by a bound socket that does not listen."""
        if name not in self._reserved:
            self._reserved[name] = held = socket.socket()
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            held.bind((HOST, 0))
        port: int = self._reserved[name].getsockname()[1]
        return port

    def _known_port(self, name: str) -> int:
        if name not in _NAMES:
            raise LookupError(name)
        return self.port(name)

    async def node(
        self,
        name: str,
        incarnation: int = 0,
        *,
        counter: ByteCounter | None = None,
        via: Mapping[str, int] | None = None,
        timeouts: Timeouts = PATIENT,
    ) -> BaseProtocolAdapter:
        """A started adapter; ``via`` says which peers it looks for at another port than their own."""
        detours = dict(via or {})
        workspace = self._folder / name
        workspace.mkdir(exist_ok=True)
        context = AdapterContext(
            Identity(name, incarnation),
            lambda peer: Endpoint(HOST, detours.get(peer) or self._known_port(peer)),
            MonotonicClock(),
            counter or self.counter,
            workspace,
            timeouts,
            skills=(tool_named("search").skill,),
        )
        adapter = self.adapter_class(context)
        self._nodes.append(adapter)
        await adapter.start()
        return adapter

    def peer_process(self, name: str, others: tuple[str, ...] = ("a",)) -> PeerProcess:
        """A started adapter in a process of its own, which answers messages whose body asks for an ``answer``."""
        workspace = self._folder / name
        workspace.mkdir(exist_ok=True)
        peer = PeerProcess(
            {
                "protocol": self.protocol,
                "name": name,
                "incarnation": 0,
                "ports": {known: self.port(known) for known in (name, *others)},
                "workspace": str(workspace),
            },
            self._folder / f"{name}.log",
        )
        self._peers.append(peer)
        return peer

    def message(
        self, traffic: Traffic = Traffic.TASK, /, sender: str = "a", recipient: str = "b", **body: Any
    ) -> Message:
        """A new message with an id of its own."""
        return Message(
            message_id=f"m{next(self._numbers)}",
            kind="echo",
            sender=sender,
            recipient=recipient,
            traffic=traffic,
            body=body,
        )

    async def link(self, adapter: BaseProtocolAdapter, peer: str) -> Identity | None:
        """The protocol's full connect, classified as the mesh does it."""
        with classify(Traffic.HANDSHAKE, peer):
            return await adapter.connect(peer)

    async def deliver(self, adapter: BaseProtocolAdapter, message: Message) -> None:
        """Send, classified as the mesh does it."""
        with classify(message.traffic, message.recipient):
            await adapter.send_message(message.recipient, message)

    async def exchange(self, adapter: BaseProtocolAdapter, peer: str) -> None:
        """A message to ``peer`` and its answer."""
        question = self.message(sender=adapter.context.identity.node_id, recipient=peer, answer=True)
        await self.deliver(adapter, question)
        while (await adapter.receive_message()).in_reply_to != question.message_id:
            pass

    @asynccontextmanager
    async def proxy(self, name: str, receive_buffer_bytes: int | None = None) -> AsyncIterator[Proxy]:
        """A proxy in front of ``name``."""
        async with Proxy(self.port(name), receive_buffer_bytes).running() as proxy:
            yield proxy

    @asynccontextmanager
    async def recorder(self, name: str) -> AsyncIterator[Recorder]:
        """A recorder in front of ``name``."""
        async with Recorder(self.port(name), {"ssl": self.serving_tls(name)}, self.asking_tls()).running() as recorder:
            yield recorder

    async def close(self) -> None:
        """End every node and peer process; whatever task then remains was leaked."""
        for peer in self._peers:
            peer.kill()
        await asyncio.gather(*(adapter.close() for adapter in self._nodes))
        await until(lambda: asyncio.all_tasks() == {asyncio.current_task()}, "every task ends with its adapter")

    def leave(self) -> None:
        """Close the loop and give the ports back."""
        try:
            self.run(self.close())
        finally:
            self._runner.close()
            for held in self._reserved.values():
                held.close()


async def until(condition: Callable[[], bool], what: str) -> None:
    """Let the loop turn until ``condition`` holds; fails within a bound."""
    try:
        async with asyncio.timeout(10.0):
            while not condition():  # noqa: ASYNC110 - no event tells of a freed socket
                await asyncio.sleep(0)
    except TimeoutError:
        pytest.fail(f"waited in vain: {what}; tasks: {asyncio.all_tasks()}")


def holdings() -> tuple[int, int]:
    """Open files and threads of this process."""
    return len(list(Path("/proc/self/fd").iterdir())), threading.active_count()
