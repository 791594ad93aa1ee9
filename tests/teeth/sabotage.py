"""Broken agents: each a protocol of its own that carries another one's messages and breaks one promise of an agent.

Nothing in the product knows of them. An agent meets its world through its adapter alone, so whatever is broken can be
broken there: an entry point in the group ``failstorm.protocols`` brings the adapter into real agents
(``real_storm.py``), and the mesh in virtual time takes it in place of its own (``virtual_storm.py``).
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from agent.settings import CONDUCTOR
from protocols.adapter import AdapterContext, BaseProtocolAdapter, Identity, Tell
from protocols.errors import PeerUnreachableError
from protocols.json_http import JsonHttpAdapter
from protocols.message import Message, Traffic
from protocols.tally import ByteCounter, Row

AGENTS_VARIABLE = "FAILSTORM_BROKEN_AGENTS"
"""Names of the agents that are broken, with commas; all of them where it is not set."""
_WORK = ("request", "result", "commit")

Speak = Callable[[AdapterContext], BaseProtocolAdapter]


class Saboteur(BaseProtocolAdapter):
    """Carries everything as ``speak`` does; what a subclass breaks, it breaks only in the agents that are broken."""

    distribution: ClassVar[str] = JsonHttpAdapter.distribution

    def __init__(self, context: AdapterContext, speak: Speak = JsonHttpAdapter) -> None:
        super().__init__(context)
        self.inner = speak(context)
        self.rejections = self.inner.rejections
        me, named = context.identity.node_id, os.environ.get(AGENTS_VARIABLE)
        self.broken = me != CONDUCTOR and (named is None or me in named.split(","))
        self._heard_of_a_death = False

    @property
    def struck(self) -> bool:
        """Whether this agent is broken, and has met or heard of a death."""
        return self.broken and self._heard_of_a_death

    @classmethod
    def prepare(cls, folder: Path, workspaces: Mapping[str, Path]) -> None:
        """As JSON does."""
        JsonHttpAdapter.prepare(folder, workspaces)

    async def start(self) -> None:
        """As the inner one."""
        await self.inner.start()

    async def close(self) -> None:
        """As the inner one."""
        await self.inner.close()

    async def send_message(self, dest: str, content: Message) -> None:
        """As the inner one."""
        self._note(content)
        with self._meeting_deaths():
            await self.inner.send_message(dest, content)

    def carries_back(self, content: Message) -> bool:
        """As the inner one."""
        return self.inner.carries_back(content)

    async def receive_message(self) -> Message:
        """As the inner one."""
        message = await self.inner.receive_message()
        self._note(message)
        return message

    async def connect(self, peer: str) -> Identity | None:
        """As the inner one."""
        return await self.inner.connect(peer)

    async def disconnect(self, peer: str) -> None:
        """As the inner one."""
        await self.inner.disconnect(peer)

    async def probe(self, peer: str) -> None:
        """As the inner one."""
        with self._meeting_deaths():
            await self.inner.probe(peer)

    async def watch(self, peer: str, tell: Tell) -> None:
        """As the inner one."""
        await self.inner.watch(peer, tell)

    async def resume(self, peer: str) -> None:
        """As the inner one."""
        await self.inner.resume(peer)

    @contextmanager
    def _meeting_deaths(self) -> Iterator[None]:
        try:
            yield
        except PeerUnreachableError:
            self._heard_of_a_death = True
            raise

    def _note(self, message: Message) -> None:
        news = message.body.get("news")
        if message.kind in ("membership", "hello") and isinstance(news, list):
            self._heard_of_a_death |= any(isinstance(item, dict) and item.get("alive") is False for item in news)


class Unbroken(Saboteur):
    """Breaks nothing: what the others are compared with."""

    name: ClassVar[str] = "json-unbroken"


class NeverReconnects(Saboteur):
    """From the first death on it makes no connection any more."""

    name: ClassVar[str] = "json-never-reconnects"

    async def connect(self, peer: str) -> Identity | None:
        """Only before the storm."""
        if self.struck:
            raise PeerUnreachableError(peer, "this agent never reconnects")
        return await super().connect(peer)


class RepublishesTwice(Saboteur):
    """Whatever it publishes again it publishes twice, the second time under another id."""

    name: ClassVar[str] = "json-republishes-twice"

    async def send_message(self, dest: str, content: Message) -> None:
        """A repair and a retry go out twice."""
        await super().send_message(dest, content)
        again = content.traffic is Traffic.RETRY or content.cause is not None
        if self.broken and again and content.kind == "request":
            twin = content.model_copy(update={"message_id": f"{content.message_id}-twin"})
            await super().send_message(dest, twin)


class AnswersWrong(Saboteur):
    """From the first death on, the answer that it reasons out for others is another one."""

    name: ClassVar[str] = "json-answers-wrong"

    async def send_message(self, dest: str, content: Message) -> None:
        """A result with an answer is changed."""
        output = content.body.get("output")
        if self.struck and content.kind == "result" and isinstance(output, dict) and "answer" in output:
            wrong = {**content.body, "output": {**output, "answer": "none of your business"}}
            content = content.model_copy(update={"body": wrong})
        await super().send_message(dest, content)


class DeclaresDead(Saboteur):
    """It hears nothing of the first peer that it probes, and so declares it dead, again and again."""

    name: ClassVar[str] = "json-declares-dead"

    def __init__(self, context: AdapterContext, speak: Speak = JsonHttpAdapter) -> None:
        super().__init__(context, speak)
        self._deaf_to: str | None = None

    async def probe(self, peer: str) -> None:
        """Unanswered by the first one, whatever it says."""
        self._deaf_to = self._deaf_to or peer
        if self.broken and peer == self._deaf_to:
            raise PeerUnreachableError(peer, "this agent is deaf to it")
        await super().probe(peer)


class Zombie(Saboteur):
    """From the first death on it answers probes and passes news on, but no work goes in or out."""

    name: ClassVar[str] = "json-zombie"

    async def send_message(self, dest: str, content: Message) -> None:
        """Work is said to be delivered, and is not."""
        if not (self.struck and content.kind in _WORK):
            await super().send_message(dest, content)

    async def receive_message(self) -> Message:
        """Work is taken, acknowledged, and forgotten."""
        while True:
            message = await super().receive_message()
            if not (self.struck and message.kind in _WORK):
                return message


class LosesEveryThird(Saboteur):
    """From the first death on it acknowledges every message, and loses every third one."""

    name: ClassVar[str] = "json-loses-every-third"

    def __init__(self, context: AdapterContext, speak: Speak = JsonHttpAdapter) -> None:
        super().__init__(context, speak)
        self._received = 0

    async def receive_message(self) -> Message:
        """The next one that is not lost."""
        while True:
            message = await super().receive_message()
            self._received += self.struck
            if not self.struck or self._received % 3:
                return message


class LiesAboutBytes(Saboteur):
    """It counts half of its bytes."""

    name: ClassVar[str] = "json-lies-about-bytes"

    def __init__(self, context: AdapterContext, speak: Speak = JsonHttpAdapter) -> None:
        super().__init__(context, speak)
        if self.broken:
            _halve(context.counter)


def _halve(counter: ByteCounter) -> None:
    honest = counter.drain

    def drain() -> list[Row]:
        return [(role, peer, traffic, sent // 2, received // 2) for role, peer, traffic, sent, received in honest()]

    vars(counter)["drain"] = drain


BROKEN: tuple[type[Saboteur], ...] = (
    Unbroken, NeverReconnects, RepublishesTwice, AnswersWrong, DeclaresDead, Zombie, LosesEveryThird, LiesAboutBytes,
)  # fmt: skip
