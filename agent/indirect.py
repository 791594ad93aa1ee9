"""Probes for the sake of others: asks a member to probe a silent peer, and does the same for whoever asks (SWIM)."""

from collections.abc import Callable, Iterable

from pydantic import BaseModel, ConfigDict, ValidationError

from agent.decisions import Decision
from agent.detection import Through
from agent.journal import Journal
from agent.membership import Membership
from agent.mesh import MeshNetwork
from agent.spawn import Spawn
from protocols.clock import Clock
from protocols.errors import ProtocolError
from protocols.message import Message, Name, Traffic

_HELPERS_SHARE = 0.8
"""Of the probe's timeout is the helper's, so that its word is back in time even if the peer answers nothing."""


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    peer: Name


class _Word(_Request):
    alive: bool


class IndirectProbes:
    """The messages ``ping-req`` (a peer's name) and ``ping-ack`` (whether that peer answered)."""

    def __init__(
        self,
        membership: Membership,
        mesh: MeshNetwork,
        clock: Clock,
        journal: Journal,
        spawn: Spawn,
        carry_out: Callable[[Iterable[Decision]], None],
    ) -> None:
        self._membership = membership
        self._mesh = mesh
        self._clock = clock
        self._journal = journal
        self._spawn = spawn
        self._carry_out = carry_out
        self._helping: dict[tuple[str, str], None] = {}
        mesh.on("ping-req", self._on_request)
        mesh.on("ping-ack", self._on_word)

    async def ask(self, through: Through) -> None:
        """Have the helper probe the peer; that the helper is out of reach shows in its silence."""
        body = _Request(peer=through.peer).model_dump()
        await self._send(self._mesh.message(through.helper, "ping-req", Traffic.HEARTBEAT, body))

    async def _on_request(self, message: Message) -> None:
        try:
            peer = _Request.model_validate(message.body).peer
        except ValidationError:
            self._journal.append("nonsense", peer=message.sender, kind=message.kind)
            return
        case = (message.sender, peer)
        if self._membership.knows(peer) and case not in self._helping:
            self._helping[case] = None
            self._spawn(self._help(message, peer))

    async def _help(self, request: Message, peer: str) -> None:
        try:
            await self._mesh.probe(peer, _HELPERS_SHARE * self._membership.timeout_s)
        except ProtocolError:
            alive = False
        else:
            alive = True
        finally:
            del self._helping[request.sender, peer]
        body = _Word(peer=peer, alive=alive).model_dump()
        to = request.message_id
        await self._send(self._mesh.message(request.sender, "ping-ack", Traffic.HEARTBEAT, body, in_reply_to=to))

    async def _on_word(self, message: Message) -> None:
        try:
            word = _Word.model_validate(message.body)
        except ValidationError:
            self._journal.append("nonsense", peer=message.sender, kind=message.kind)
            return
        self._carry_out(self._membership.helped(word.peer, message.sender, self._clock.now(), alive=word.alive))

    async def _send(self, message: Message) -> None:
        try:
            await self._mesh.send(message)
        except ProtocolError:
            return  # the mesh has reported it as evidence already
