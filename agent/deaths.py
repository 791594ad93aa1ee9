"""Whose death is proven: by refused connections, or by one that the peer ended; silence may be a freeze or a cut."""

import asyncio
import socket
from collections.abc import Iterable
from typing import Literal

from agent.lifelines import Lifelines
from agent.mesh import MeshNetwork
from protocols.errors import PeerTimeoutError, PeerUnreachableError, ProtocolError

Finding = Literal["answers", "dead", "silent"]

_REFUSALS = 2
"""In a row; the first may be a connection that broke for another reason, a cut that heals for instance."""


class Deaths:
    """What this agent found out by asking those whom it holds for dead; one question at a time to each."""

    def __init__(self, mesh: MeshNetwork, lifelines: Lifelines, timeout_s: float) -> None:
        self._mesh = mesh
        self._lifelines = lifelines
        self._timeout_s = timeout_s
        self._proven: dict[str, None] = {}
        self._looking: dict[str, asyncio.Future[Finding]] = {}

    def is_proven(self, peer: str) -> bool:
        """Whether the process of ``peer`` is known to have ended, and no later one was heard of."""
        return peer in self._proven

    def returned(self, peer: str) -> None:
        """``peer`` is alive."""
        self._proven.pop(peer, None)
        self._lifelines.returned(peer)

    async def look(self, peer: str) -> Finding:
        """Ask ``peer`` for a sign of life; who asks while another does shares the finding."""
        if peer in self._proven:
            return "dead"
        if peer in self._looking:
            return await asyncio.shield(self._looking[peer])
        looking = self._looking[peer] = asyncio.get_running_loop().create_future()
        found: Finding = "silent"
        try:
            found = await self._find_out(peer)
        finally:
            looking.set_result(found)
            del self._looking[peer]
        return found

    async def are_proven(self, peers: Iterable[str]) -> bool:
        """Whether all of these are dead beyond doubt."""
        return set(await asyncio.gather(*(self.look(peer) for peer in peers))) <= {"dead"}

    async def _find_out(self, peer: str) -> Finding:
        for _ in range(_REFUSALS):
            try:
                await self._mesh.probe(peer, self._timeout_s)
            except PeerTimeoutError:
                if not self._lifelines.broke(peer):
                    return "silent"
            except PeerUnreachableError as error:
                if _is_nameless(error) and not self._lifelines.broke(peer):
                    return "silent"
            except ProtocolError:
                return "answers"
            else:
                return "answers"
        self._proven[peer] = None
        return "dead"


def _is_nameless(error: BaseException) -> bool:
    """Whether the name was not found: that of a container that is cut off its network, which lives, is not."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, socket.gaierror):
            return True
        cause = cause.__cause__ or cause.__context__
    return False
