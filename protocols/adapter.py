"""The one seam between the mesh and a protocol: send a message, receive a message, and what else a protocol can."""

import socket
import ssl
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import ClassVar, NamedTuple

from protocols.clock import Clock, civil_now
from protocols.errors import IdentityError, PeerUnreachableError
from protocols.message import Message
from protocols.skills import Skill
from protocols.wire import ByteCounter, End, Tally, attribute, listen


@dataclass(frozen=True)
class Endpoint:
    """Where a node serves its protocol."""

    host: str
    port: int


Resolver = Callable[[str], Endpoint]
"""Node id → endpoint; raises ``LookupError`` for a name it does not know."""


@dataclass(frozen=True)
class Timeouts:
    """Bounds on one exchange, seconds."""

    connect_s: float = 0.5
    ack_s: float = 1.0


@dataclass(frozen=True)
class Identity:
    """Who answers at an address: its name, and which life of it."""

    node_id: str
    incarnation: int


@dataclass(frozen=True)
class AdapterContext:
    """Everything an adapter may use of its surroundings."""

    identity: Identity
    resolver: Resolver
    clock: Clock
    counter: ByteCounter
    workspace: Path
    timeouts: Timeouts = field(default_factory=Timeouts)
    skills: tuple[Skill, ...] = ()
    """What this node can do, for protocols that publish it (agent card, manifest, interface description)."""
    civil_time: Callable[[], datetime] = civil_now
    """For protocols whose signatures carry it."""
    bind_host: str | None = None
    """The address to serve at; None for the one by which the others find this node."""

    def resolve(self, peer: str) -> Endpoint:
        """Where ``peer`` is now; to be asked each time, because a name may move. Raises PeerUnreachableError."""
        try:
            return self.resolver(peer)
        except LookupError as error:
            raise PeerUnreachableError(peer, f"expected a name of the roster, got {peer!r}") from error

    def listen(self) -> socket.socket:
        """A listening socket on this node's own fixed port, its bytes counted; raises ``OSError``."""
        endpoint = self.resolve(self.identity.node_id)
        return listen(self.bind_host or endpoint.host, endpoint.port, self.counter)


class Broken(NamedTuple):
    """The protocol's own evidence of a peer's death."""

    what: str
    end: End | None = None
    """Of the connection that broke; None where it was something else, or nobody knows which one it was."""


Tell = Callable[[Broken], None]


class BaseProtocolAdapter(ABC):
    """Our messages on one protocol's wire: translation and nothing else.

    No retries, no sleeps, no counting, no decisions: those live once, in ``agent/``. Only :meth:`send_message` and
    :meth:`receive_message` are compulsory. All calls raise errors of ``protocols.errors.ProtocolError``.
    """

    name: ClassVar[str]
    """What the user types: ``PROTOCOL=<name>``."""
    distribution: ClassVar[str]
    """The package that speaks the protocol; its version goes into the results."""

    def __init__(self, context: AdapterContext) -> None:
        self.context = context
        self.rejections: Counter[str] = Counter()
        """Requests of others that were refused, by reason, since this life began; the agent publishes them."""

    @classmethod
    def prepare(cls, folder: Path, workspaces: Mapping[str, Path]) -> None:
        """Make in ``folder`` and in the nodes' own ``workspaces`` (by name) what a run needs before any node starts.

        Called once per run, for all nodes and the conductor, before the first adapter is constructed; does nothing by
        default. Raises ConfigError when the protocol cannot carry these names.
        """

    @classmethod
    def serving_tls(cls, workspace: Path) -> ssl.SSLContext | None:
        """The TLS context with which the node of this workspace serves; None, the default, for plain TCP."""
        return None

    @abstractmethod
    async def send_message(self, dest: str, content: Message) -> None:
        """Deliver ``content`` to the node ``dest``; returns on the receiver's receipt, before the work starts.

        Sending again with the same ``message_id`` is allowed. Raises PeerUnreachableError, PeerTimeoutError,
        PeerRejectedError.
        """

    def carries_back(self, content: Message) -> bool:
        """Whether ``content`` would go back over an exchange that its recipient keeps open, so that it needs no link.

        False by default; for protocols where a result travels on what its request began.
        """
        return False

    @abstractmethod
    async def receive_message(self) -> Message:
        """The next message that a peer has delivered to this node; waits for one."""

    async def start(self) -> None:
        """Serve this node's own port; returns when it accepts connections."""

    async def close(self) -> None:
        """Stop serving and free every socket and task."""

    async def connect(self, peer: str) -> Identity | None:
        """Make a link: the protocol's full discovery and handshake, and the check of who answers.

        None when the protocol has no notion of it; the mesh then asks with a message of its own. Raises
        IdentityError when another node answers.
        """
        return None

    async def disconnect(self, peer: str) -> None:
        """Give up what :meth:`connect` or a message to ``peer`` left open; exchanges still under way end first."""

    async def probe(self, peer: str) -> None:
        """Ask for a sign of life by the protocol's own means; raises ProtocolError when there is none.

        The default is for protocols without any: a bare connection to the peer's port does not prove life (a frozen
        process still accepts), so the mesh falls back to an echo message.
        """
        raise NotImplementedError

    async def watch(self, peer: str, tell: Tell) -> None:
        """Wait for the protocol's own evidence of the peer's death, and ``tell`` it, once, the moment it is there.

        Only for protocols that keep a stream or connection by themselves; the default says there is none. Returns when
        there is nothing left to watch; what this node ends by itself is no evidence. ``tell`` raises nothing. Raises
        ProtocolError, and has told nothing, when nothing could be opened.
        """
        raise NotImplementedError

    async def resume(self, peer: str) -> None:
        """After a cut, fetch by the protocol's own means what was missed from ``peer``; nothing by default."""


def checked(peer: str, identity: Identity) -> Identity:
    """``identity``, which the one at the address of ``peer`` claims; raises IdentityError when it is another's."""
    if identity.node_id != peer:
        raise IdentityError(peer, f"expected {peer} at this address, {identity.node_id} answers")
    return identity


def accept(content: Message, served: Tally | None = None) -> None:
    """To be called by an adapter for each message as it arrives, in the context of the request that brought it.

    Lets the byte count know whose exchange this is. A server that is no ASGI application names the connection itself:
    ``served`` is ``context.counter.serving(address of the client)``.
    """
    if served is not None:
        served.tag(content.traffic, content.sender)
    else:
        attribute(content.traffic, content.sender)
