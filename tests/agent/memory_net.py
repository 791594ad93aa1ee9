"""A network inside one process: adapters whose peers can be killed, frozen, slowed down, or answer as somebody else."""

import asyncio
import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random
from typing import ClassVar

from protocols.adapter import AdapterContext, BaseProtocolAdapter, Broken, Identity, Tell
from protocols.errors import PeerRejectedError, PeerTimeoutError, PeerUnreachableError
from protocols.message import Message, Traffic
from protocols.wire import classify

_LOOK_AGAIN_S = 0.02


@dataclass(frozen=True)
class Call:
    """One thing an adapter was asked to do: ``send``, ``connect``, ``disconnect``, ``probe``."""

    at_s: float
    source: str
    op: str
    peer: str
    message: Message | None = None


@dataclass
class MemoryNetwork:
    """Who is reachable, how fast and how; and everything that was asked of any adapter, in order."""

    one_way_s: float = 0.001
    goodbye_s: float = 0.0
    """How long an adapter takes to say goodbye before it gives a connection up."""
    identifies: bool = True
    """Whether the protocol's connect tells who answers."""
    has_probe: bool = True
    probe_loss: float = 0.0
    """Share of the probes that get lost, drawn by ``order``."""
    order: Random = field(default_factory=lambda: Random(1))
    adapters: dict[str, "MemoryAdapter"] = field(default_factory=dict)
    dead: dict[str, None] = field(default_factory=dict)
    frozen: dict[str, list[Message]] = field(default_factory=dict)
    """Frozen nodes, with what the kernel has taken for them."""
    halted: dict[str, asyncio.Event] = field(default_factory=dict)
    """Frozen nodes that stand still themselves, too, and what tells them to go on."""
    cuts: dict[tuple[str, str], None] = field(default_factory=dict)
    """(source, destination) → what travels waits until the cut is healed, or until its sender gives it up."""
    delays_s: dict[tuple[str, str], float] = field(default_factory=dict)
    """(source, destination) → one-way time, where it is not the usual one."""
    without_receipt: dict[tuple[str, str], None] = field(default_factory=dict)
    """(destination, kind of message) that arrives, but whose receipt gets lost."""
    rejects: dict[tuple[str, str], None] = field(default_factory=dict)
    """(destination, kind of message) that is refused."""
    answers_as: dict[str, str] = field(default_factory=dict)
    """Who really answers at a node's address."""
    calls: list[Call] = field(default_factory=list)

    def kill(self, node: str) -> None:
        """SIGKILL: its connections break, new ones are refused."""
        self.dead[node] = None
        for adapter in self.adapters.values():
            for peer in list(adapter.lines):
                if node in (peer, adapter.name_here):
                    adapter.cut(peer)

    def freeze(self, node: str) -> None:
        """SIGSTOP, as its peers see it: the kernel takes what they send, nothing answers."""
        self.frozen[node] = []

    def thaw(self, node: str) -> None:
        """SIGCONT: what the kernel has taken arrives."""
        for message in self.frozen.pop(node):
            self.adapters[node].inbox.put_nowait(message)

    def halt(self, node: str) -> None:
        """SIGSTOP, as the node itself lives it: whatever it waits for takes until :meth:`go_on`."""
        self.halted[node] = asyncio.Event()
        self.freeze(node)

    def go_on(self, node: str) -> None:
        """SIGCONT."""
        self.halted.pop(node).set()
        self.thaw(node)

    async def awake(self, node: str) -> None:
        """Return as soon as this node does not stand still."""
        if node in self.halted:
            await self.halted[node].wait()

    def cut(self, ones: Iterable[str], others: Iterable[str]) -> None:
        """Let nothing through from any of these to any of the others."""
        others = tuple(others)
        self.cuts |= {(one, other): None for one in ones for other in others if one != other}

    def of(self, op: str, source: str | None = None, peer: str | None = None) -> list[Call]:
        """All calls of this kind, in order."""
        return [
            call for call in self.calls if call.op == op and source in (None, call.source) and peer in (None, call.peer)
        ]

    def sent(self, kind: str, source: str | None = None, peer: str | None = None) -> list[Message]:
        """All messages of this kind that were handed to an adapter, in order."""
        found = (call.message for call in self.of("send", source, peer))
        return [message for message in found if message is not None and message.kind == kind]


class MemoryAdapter(BaseProtocolAdapter):
    """Behaves like an adapter with one kept connection per peer; whoever gives that up cuts what is under way on it."""

    name: ClassVar[str] = "memory"
    distribution: ClassVar[str] = "pytest"

    def __init__(self, context: AdapterContext, network: MemoryNetwork) -> None:
        super().__init__(context)
        self.inbox: asyncio.Queue[Message] = asyncio.Queue()
        self.lines: dict[str, asyncio.Event] = {}
        """Open connections; the event is set when one is cut."""
        self.evidence: dict[str, asyncio.Future[Broken]] = {}
        """What ``watch`` waits for, by peer."""
        self.name_here = context.identity.node_id
        self._network = network
        network.adapters[self.name_here] = self

    async def send_message(self, dest: str, content: Message) -> None:
        """Put the message into the peer's inbox; returns when its receipt is back."""
        self._note("send", dest, content)
        await self._exchange(dest, content)

    async def receive_message(self) -> Message:
        """The next delivered message."""
        return await self.inbox.get()

    async def connect(self, peer: str) -> Identity | None:
        """A new connection in place of the old one, and the question who is there."""
        self._note("connect", peer)
        self.cut(peer)
        await self._exchange(peer)
        if not self._network.identifies:
            return None
        answering = self._network.answers_as.get(peer, peer)
        return self._network.adapters[answering].context.identity

    async def disconnect(self, peer: str) -> None:
        """Say goodbye, then cut."""
        self._note("disconnect", peer)
        if self._network.goodbye_s:
            await asyncio.sleep(self._network.goodbye_s)
        self.cut(peer)

    async def probe(self, peer: str) -> None:
        """Ask for a sign of life."""
        if not self._network.has_probe:
            raise NotImplementedError
        self._note("probe", peer)
        if self._network.probe_loss and self._network.order.random() < self._network.probe_loss:
            await asyncio.sleep(self.context.timeouts.ack_s)
            raise PeerTimeoutError(peer, "the probe got lost")
        await self._exchange(peer)

    async def watch(self, peer: str, tell: Tell) -> None:
        """Wait until the test provides evidence."""
        if peer not in self.evidence:
            raise NotImplementedError
        broken = await self.evidence[peer]
        with classify(Traffic.STRAY, "the stream"):
            tell(broken)

    def cut(self, peer: str) -> None:
        """Break the connection to ``peer`` and whatever is under way on it."""
        line = self.lines.pop(peer, None)
        if line is not None:
            line.set()

    def _note(self, op: str, peer: str, message: Message | None = None) -> None:
        self._network.calls.append(Call(self.context.clock.now(), self.name_here, op, peer, message))

    def _deliver(self, dest: str, content: Message) -> None:
        if (dest, content.kind) in self._network.rejects:
            raise PeerRejectedError(dest, "refused, as the test wishes")
        if dest in self._network.frozen:
            self._network.frozen[dest].append(content)
        else:
            answering = self._network.answers_as.get(dest, dest)
            self._network.adapters[answering].inbox.put_nowait(content)

    async def _exchange(self, peer: str, content: Message | None = None) -> None:
        network, limit_s = self._network, self.context.timeouts.ack_s
        await network.awake(self.name_here)
        if peer in network.dead or peer not in network.adapters:
            await asyncio.sleep(0)
            raise PeerUnreachableError(peer, "refused")
        line = self.lines.setdefault(peer, asyncio.Event())
        try:
            async with asyncio.timeout(limit_s):
                await self._pass(line, self.name_here, peer)
                if content is not None:
                    self._deliver(peer, content)
                while peer in network.frozen or (content and (peer, content.kind) in network.without_receipt):
                    await self._travel(line, peer, _LOOK_AGAIN_S)  # until the timeout, a cut, or the thaw
                await self._pass(line, peer, self.name_here)
        except TimeoutError as error:
            raise PeerTimeoutError(peer, f"no answer within {limit_s} s") from error
        finally:
            await network.awake(self.name_here)

    async def _pass(self, line: asyncio.Event, source: str, dest: str) -> None:
        """One way, from one node to the other; a cut holds it up."""
        peer = dest if source == self.name_here else source
        await self._travel(line, peer, self._one_way_s(source, dest))
        while (source, dest) in self._network.cuts:
            await self._travel(line, peer, _LOOK_AGAIN_S)

    def _one_way_s(self, source: str, dest: str) -> float:
        return self._network.delays_s.get((source, dest), self._network.one_way_s)

    async def _travel(self, line: asyncio.Event, peer: str, duration_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(duration_s):
                await line.wait()
        if line.is_set():
            raise PeerUnreachableError(peer, "the connection broke")
