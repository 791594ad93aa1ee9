"""One agent's links to its neighbours, and the way of every message in and out."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Literal

from pydantic import JsonValue

from agent.echoes import Echoes
from agent.journal import Journal
from agent.mailbag import Mailbag
from agent.spawn import Spawn
from protocols.adapter import BaseProtocolAdapter, Identity
from protocols.clock import Clock
from protocols.errors import IdentityError, PeerTimeoutError, ProtocolError
from protocols.message import Cause, Kind, Message, Traffic
from protocols.wire import classify

Link = Literal["self", "warm", "new"]
LinkReason = Literal["start", "repair", "rejoin"]
Handler = Callable[[Message], Awaitable[None]]
PeerNotice = Callable[[str], None]

_REMEMBERED_IDS = 20_000


@dataclass
class _Dial:
    """The way to one peer while anybody uses it; the last user gives it up, unless the link is warm."""

    users: int = 0
    open: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while connecting and hanging up: either would cut what others have under way."""
    failures: int = 0
    failure: ProtocolError | None = None
    """How many connects failed, and why the last one did."""


class MeshNetwork:
    """Sends over warm links to neighbours and over links dialled on demand to everybody else."""

    def __init__(
        self,
        identity: Identity,
        adapter: BaseProtocolAdapter,
        clock: Clock,
        journal: Journal,
        new_id: Callable[[], str],
        spawn: Spawn,
        mailbag: Mailbag,
    ) -> None:
        self.node_id = identity.node_id
        self.broke: PeerNotice = lambda _peer: None
        """Called with the peer's name when an ordinary message to it failed."""
        self.linked: PeerNotice = lambda _peer: None
        """Called with the peer's name when a warm link was made."""
        self.met: Callable[[str, int], None] = lambda _peer, _incarnation: None
        """Called with who answered a connect, and under which incarnation it began its life."""
        self.introduction: Callable[[], dict[str, JsonValue]] = dict
        """What a hello says, asked at each."""
        self._adapter = adapter
        self._clock = clock
        self._journal = journal
        self._new_id = new_id
        self._spawn = spawn
        self._mailbag = mailbag
        self._links: dict[str, None] = {}
        self._dials: dict[str, _Dial] = {}
        self._echoes = Echoes(identity, new_id, self.send, self._deliver, adapter.context.timeouts.ack_s, spawn)
        self._handlers: dict[str, Handler] = {"echo": self._echoes.take}
        self._seen: OrderedDict[str, None] = OrderedDict()

    @property
    def links(self) -> tuple[str, ...]:
        """Peers with a warm link, in the order the links were made."""
        return tuple(self._links)

    def on(self, kind: Kind, handler: Handler) -> None:
        """Let ``handler`` take the messages of ``kind``; it must return quickly."""
        self._handlers[kind] = handler

    def message(
        self,
        recipient: str,
        kind: Kind,
        traffic: Traffic,
        body: dict[str, JsonValue],
        *,
        in_reply_to: str | None = None,
        cause: Cause | None = None,
    ) -> Message:
        """A new message from this agent, with an id of its own."""
        return Message(
            message_id=self._new_id(),
            kind=kind,
            sender=self.node_id,
            recipient=recipient,
            traffic=traffic,
            in_reply_to=in_reply_to,
            cause=cause,
            body=body,
        )

    async def link(self, peer: str, reason: LinkReason, cause: Cause | None = None) -> None:
        """Make a warm link by the protocol's full connect and introduce this agent; raises ProtocolError."""
        began = self._clock.now()
        async with self._using(peer) as dial, self._connected(peer, dial):
            if peer in self._links:
                return
            await self._deliver(self.message(peer, "hello", Traffic.HANDSHAKE, self.introduction(), cause=cause))
            with classify(Traffic.RESUME, peer):
                await self._adapter.resume(peer)
            dial.open = True
            self._links[peer] = None
        self.linked(peer)
        ms = round((self._clock.now() - began) * 1000, 3)
        blame: dict[str, JsonValue] = {"cause": [cause.victim, cause.request]} if cause else {}
        self._journal.append("link_up", peer=peer, reason=reason, ms=ms, **blame)
        if cause is not None:
            self._journal.append("repair", cause=[cause.victim, cause.request], kind="edge", peer=peer, link="new")

    def unlink(self, peer: str) -> None:
        """Give a warm link up; what is under way on it may come to its end."""
        if peer in self._links:
            del self._links[peer]
            self._journal.append("link_down", peer=peer)
            if peer in self._dials:
                self._dials[peer].open = False
            self._spawn(self._let_go(peer))

    async def send(self, message: Message) -> Link:
        """Deliver ``message``; returns the kind of link once the peer acknowledged it; raises ProtocolError."""
        try:
            if self._adapter.carries_back(message):
                await self._deliver(message)
                return "warm"
            async with self._session(message.recipient) as link:
                await self._deliver(message)
                return link
        except ProtocolError:
            self.broke(message.recipient)
            raise

    async def check(self, peers: Sequence[str]) -> list[tuple[str, str]]:
        """Make a link to each peer, and have an echo delivered and answered over it; returns what failed and why."""
        failed = []
        for peer in peers:
            try:
                await self.link(peer, "start")
                await self._echoes.exchange(peer)
            except ProtocolError as error:
                failed.append((peer, str(error)))
        return failed

    async def probe(self, peer: str, timeout_s: float) -> None:
        """One probe by the protocol's own means; raises ProtocolError when no sign of life came in time."""
        async with self._using(peer) as dial:
            # A connect would cut the probe, and a cut probe speaks against a living peer.
            calm = nullcontext() if peer in self._links or dial.lock.locked() else dial.lock
            with classify(Traffic.HEARTBEAT, peer):
                try:
                    async with calm, asyncio.timeout(timeout_s):
                        await self._ask_for_life(peer)
                except TimeoutError as error:
                    raise PeerTimeoutError(peer, f"no answer to a probe within {timeout_s} s") from error

    async def receive_forever(self) -> None:
        """Hand every message that arrives for the first time to the handler of its kind."""
        while True:
            message = await self._adapter.receive_message()
            if not self._is_for_us(message):
                self._journal.append("nonsense", peer=message.sender, kind=message.kind)
                continue
            known = message.message_id in self._seen
            self._mailbag.note("again" if known else "received", message)
            if known and message.kind != "request":
                continue
            self._seen[message.message_id] = None
            if len(self._seen) > _REMEMBERED_IDS:
                self._seen.popitem(last=False)
            handler = self._handlers.get(message.kind)
            if handler is not None:
                await handler(message)

    def _is_for_us(self, message: Message) -> bool:
        """Whether it came to the right node, from one that can be answered."""
        try:
            self._adapter.context.resolve(message.sender)
        except ProtocolError:
            return False
        return message.recipient == self.node_id

    async def _ask_for_life(self, peer: str) -> None:
        try:
            await self._adapter.probe(peer)
        except NotImplementedError:
            await self._deliver(self.message(peer, "echo", Traffic.HEARTBEAT, {}))

    @asynccontextmanager
    async def _session(self, peer: str) -> AsyncIterator[Link]:
        async with self._using(peer) as dial:
            link: Link = "warm"
            if peer not in self._links:
                async with self._connected(peer, dial):
                    link = "warm" if peer in self._links else "new"
                    dial.open = True
            yield link

    @asynccontextmanager
    async def _connected(self, peer: str, dial: _Dial) -> AsyncIterator[None]:
        """Hold the lock over a connection; who waited for another's attempt shares its failure, not its duration."""
        failures = dial.failures
        async with dial.lock:
            if not dial.open and peer not in self._links:
                if dial.failure is not None and dial.failures > failures:
                    raise dial.failure
                try:
                    await self._connect(peer)
                except ProtocolError as error:
                    dial.failures, dial.failure = dial.failures + 1, error
                    raise
            yield

    @asynccontextmanager
    async def _using(self, peer: str) -> AsyncIterator[_Dial]:
        dial = self._dials.setdefault(peer, _Dial())
        dial.users += 1
        try:
            yield dial
        finally:
            dial.users -= 1
            await self._hang_up(peer, dial)

    async def _hang_up(self, peer: str, dial: _Dial) -> None:
        if dial.users:
            return
        async with dial.lock:
            if not dial.users and peer not in self._links:
                with classify(Traffic.HANDSHAKE, peer):
                    await self._adapter.disconnect(peer)
                dial.open = False
        if not dial.users and self._dials.get(peer) is dial:
            del self._dials[peer]

    async def _let_go(self, peer: str) -> None:
        async with self._using(peer):
            return

    async def _connect(self, peer: str) -> None:
        with classify(Traffic.HANDSHAKE, peer):
            identity = await self._adapter.connect(peer)
        if identity is None:
            identity = await self._echoes.who(peer)
        if identity.node_id != peer:
            raise IdentityError(peer, f"expected {peer} at this address, {identity.node_id} answers")
        self.met(peer, identity.incarnation)

    async def _deliver(self, message: Message) -> None:
        try:
            with classify(message.traffic, message.recipient):
                await self._adapter.send_message(message.recipient, message)
        except (ProtocolError, asyncio.CancelledError):  # cancelled: its sender has learned that the peer is dead
            self._mailbag.note("failed", message)
            raise
        self._mailbag.note("sent", message)
