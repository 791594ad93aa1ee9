"""Echoes: a message and its answer over one link, which show that both ways work, and who is there."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from pydantic import JsonValue

from agent.spawn import Spawn
from protocols.adapter import Identity
from protocols.errors import PeerTimeoutError, ProtocolError
from protocols.message import Message, Traffic

Send = Callable[[Message], Coroutine[Any, Any, object]]


class Echoes:
    """Asks for echoes, and answers those that others ask for."""

    def __init__(
        self,
        identity: Identity,
        new_id: Callable[[], str],
        send: Send,
        deliver: Send,
        patience_s: float,
        spawn: Spawn,
    ) -> None:
        """``send`` makes a link if there is none, ``deliver`` does not; an answer is waited for so many seconds."""
        self._identity = identity
        self._new_id = new_id
        self._send = send
        self._deliver = deliver
        self._patience_s = patience_s
        self._spawn = spawn
        self._waiting: dict[str, asyncio.Future[Message]] = {}

    async def who(self, peer: str) -> Identity:
        """Who answers at this address, where the protocol's own connect does not tell; raises ProtocolError."""
        answer = await self._ask(peer, {"answer": True, "who": True})
        incarnation = answer.body.get("incarnation")
        return Identity(answer.sender, incarnation if isinstance(incarnation, int) else 0)

    async def exchange(self, peer: str) -> None:
        """Have one delivered and answered; raises ProtocolError."""
        await self._ask(peer, {"answer": True})

    async def _ask(self, peer: str, question: dict[str, JsonValue]) -> Message:
        echo = self._echo(peer, Traffic.HANDSHAKE, question)
        answered: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waiting[echo.message_id] = answered
        try:
            await self._deliver(echo)
            async with asyncio.timeout(self._patience_s):
                return await answered
        except TimeoutError as error:
            raise PeerTimeoutError(peer, "took the echo but did not answer it") from error
        finally:
            del self._waiting[echo.message_id]

    def _echo(
        self, recipient: str, traffic: Traffic, body: dict[str, JsonValue], in_reply_to: str | None = None
    ) -> Message:
        return Message(
            message_id=self._new_id(),
            kind="echo",
            sender=self._identity.node_id,
            recipient=recipient,
            traffic=traffic,
            in_reply_to=in_reply_to,
            body=body,
        )

    async def take(self, message: Message) -> None:
        """One has come: an answer, or a question."""
        waiting = self._waiting.get(message.in_reply_to or "")
        if waiting is not None and not waiting.done():
            waiting.set_result(message)
        elif message.body.get("answer"):
            asked = message.body.get("who")
            who: dict[str, JsonValue] = {"incarnation": self._identity.incarnation} if asked else {}
            reply = self._echo(message.sender, message.traffic, who, in_reply_to=message.message_id)
            # Who asks for a name has no link yet; a connect back would ask the same of it, and so on for ever.
            self._spawn(self._reply(self._deliver(reply) if who else self._send(reply)))

    async def _reply(self, sending: Awaitable[object]) -> None:
        """A failure shows at the peer, whose echo stays unanswered."""
        try:
            await sending
        except ProtocolError:
            return
