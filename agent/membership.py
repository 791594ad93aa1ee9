"""Who is alive, as one agent believes it: a pure state machine without I/O and without a clock of its own.

Suspicion, incarnation numbers and refutation follow SWIM (Das, Gupta, Motivala 2002). Evidence goes in as method
calls with the time of the observation; decisions come out as values which ``heartbeat.py`` carries out.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from agent.settings import DetectorSettings

Mechanism = Literal["probe", "request", "tcp", "watch", "gossip"]
RESTART_STEP = 1000
"""Incarnations of one process life; the next life starts at the next multiple."""


@dataclass(frozen=True)
class News:
    """What one agent tells another about a third (or about itself)."""

    peer: str
    incarnation: int
    alive: bool


@dataclass(frozen=True)
class Probe:
    """Ask ``peer`` for a sign of life; ``confirm`` names the evidence that called for it, if it was not routine."""

    peer: str
    confirm: Mechanism | None = None
    incarnation: int = 0
    """Whom it asks: silence of an earlier life says nothing about a later one."""


@dataclass(frozen=True)
class Suspect:
    """From now on ``peer`` is held for dead."""

    peer: str
    incarnation: int
    mechanism: Mechanism


@dataclass(frozen=True)
class Restore:
    """``peer`` is held for alive again; ``restarted`` when it is a new process that knows nothing of open requests."""

    peer: str
    incarnation: int
    mechanism: Mechanism
    restarted: bool


@dataclass(frozen=True)
class Replace:
    """``peer`` is a new process, and nobody here had missed the old one: what that was doing is lost all the same."""

    peer: str
    incarnation: int
    mechanism: Mechanism


@dataclass(frozen=True)
class Tell:
    """Pass ``news`` on, to ``peer`` alone or to all links."""

    news: News
    peer: str | None = None


@dataclass(frozen=True)
class Refute:
    """Others held this agent for dead; it now lives under ``incarnation``."""

    incarnation: int


Decision = Probe | Suspect | Restore | Replace | Tell | Refute


def noticed_within_s(settings: DetectorSettings, links: int) -> float:
    """How long a crash can go unnoticed by an agent with so many links, in s.

    In the worst case all of them died, right after they were probed: each then takes ``misses`` of the ``fanout``
    probes of a beat, and the last one is found at the end.
    """
    beats = settings.misses * math.ceil(links / settings.fanout)
    return beats * settings.interval_s + settings.timeout_s


@dataclass
class _Record:
    incarnation: int = 0
    alive: bool = True
    misses: int = 0
    confirming: bool = False
    probed: int = 0
    """The beat of the last routine probe."""


class Membership:
    """The failure detector with a fixed timeout: ``misses`` unanswered probes in a row make a suspicion."""

    def __init__(self, me: str, incarnation: int, peers: Sequence[str], settings: DetectorSettings) -> None:
        self.incarnation = incarnation
        self._me = me
        self._settings = settings
        self._records = {peer: _Record() for peer in peers}
        self._beats = 0

    @property
    def alive(self) -> tuple[str, ...]:
        """Peers held for alive, in roster order."""
        return tuple(peer for peer, record in self._records.items() if record.alive)

    @property
    def suspects(self) -> tuple[str, ...]:
        """Peers held for dead, in roster order."""
        return tuple(peer for peer, record in self._records.items() if not record.alive)

    def is_alive(self, peer: str) -> bool:
        """Whether ``peer`` is held for alive; strangers are not."""
        record = self._records.get(peer)
        return record is not None and record.alive

    def due_probes(self, links: Sequence[str]) -> list[Decision]:
        """The probes of one interval: at most ``fanout`` among live links, and one suspect to find it back.

        Links that missed a probe come first, then those that have waited longest, so the cost does not grow with the
        mesh. A crash is suspected within :func:`noticed_within_s`.
        """
        records = self._records
        live = sorted(
            (peer for peer in links if self.is_alive(peer)),
            key=lambda peer: (not records[peer].misses, records[peer].probed),
        )
        suspects = sorted(self.suspects, key=lambda peer: records[peer].probed)
        chosen = live[: self._settings.fanout] + suspects[:1]
        self._beats += 1
        for peer in chosen:
            records[peer].probed = self._beats
        return [Probe(peer, incarnation=records[peer].incarnation) for peer in chosen]

    def heard(self, peer: str) -> list[Decision]:
        """``peer`` gave a sign of life. One that is held for dead is told so: only it can refute."""
        record = self._records.get(peer)
        if record is None:
            return []
        record.misses = 0
        record.confirming = False
        if record.alive:
            return []
        return [Tell(News(peer, record.incarnation, alive=False), peer)]

    def missed(self, probe: Probe) -> list[Decision]:
        """This probe went unanswered; after other evidence (``confirm``) one is enough."""
        peer, confirm = probe.peer, probe.confirm
        record = self._records[peer]
        if probe.incarnation != record.incarnation:
            return []
        if confirm is not None:
            if not record.confirming:
                return []  # a sign of life has come since the probe went out
            record.confirming = False
        if not record.alive:
            return []
        record.misses += 1
        if confirm is None and record.misses < self._settings.misses:
            return []
        return self._suspect(peer, record.incarnation, confirm or "probe")

    def undecided(self, peer: str) -> list[Decision]:
        """A probe of ``peer`` told nothing either way."""
        self._records[peer].confirming = False
        return []

    def doubted(self, peer: str, mechanism: Mechanism) -> list[Decision]:
        """An ordinary request to ``peer`` failed, or a connection broke: one immediate confirming probe.

        In mode ``probe`` such evidence does not count.
        """
        record = self._records.get(peer)
        if record is None or not record.alive or record.confirming or self._settings.mode == "probe":
            return []
        record.confirming = True
        return [Probe(peer, mechanism, record.incarnation)]

    def told(self, items: Iterable[News], sender: str | None = None) -> list[Decision]:
        """Others spread news; what was not known yet is believed and passed on."""
        decisions: list[Decision] = []
        for news in items:
            if news.peer == self._me:
                decisions += self._about_me(news, sender)
            elif news.peer in self._records:
                decisions += self._restored(news) if news.alive else self._accused(news)
        return decisions

    def view(self) -> list[News]:
        """All that a newcomer must know: this agent itself, and whoever is not as at the start."""
        notable = [
            News(peer, record.incarnation, record.alive)
            for peer, record in self._records.items()
            if not record.alive or record.incarnation
        ]
        return [News(self._me, self.incarnation, alive=True), *notable]

    def _about_me(self, news: News, sender: str | None) -> list[Decision]:
        if news.alive:
            return []
        if news.incarnation < self.incarnation:
            # The refutation has not reached this accuser, and nobody else would ever repeat it.
            return [Tell(News(self._me, self.incarnation, alive=True), sender)] if sender is not None else []
        self.incarnation = news.incarnation + 1
        return [Refute(self.incarnation), Tell(News(self._me, self.incarnation, alive=True))]

    def _accused(self, news: News) -> list[Decision]:
        record = self._records[news.peer]
        if record.alive and news.incarnation >= record.incarnation:
            return self._suspect(news.peer, news.incarnation, "gossip")
        if news.incarnation <= record.incarnation:
            return []
        # It has died in a later life than the one known here: whoever hears this before that life's birth must agree.
        record.incarnation = news.incarnation
        return [Tell(news)]

    def _restored(self, news: News) -> list[Decision]:
        record = self._records[news.peer]
        if news.incarnation <= record.incarnation:
            return []
        restarted = news.incarnation // RESTART_STEP > record.incarnation // RESTART_STEP
        decisions: list[Decision] = []
        if not record.alive:
            decisions.append(Restore(news.peer, news.incarnation, "gossip", restarted))
        elif restarted:
            decisions.append(Replace(news.peer, news.incarnation, "gossip"))
        self._records[news.peer] = _Record(incarnation=news.incarnation, probed=record.probed)
        return [*decisions, Tell(news)]

    def _suspect(self, peer: str, incarnation: int, mechanism: Mechanism) -> list[Decision]:
        record = self._records[peer]
        record.alive = False
        record.incarnation = incarnation
        return [Suspect(peer, incarnation, mechanism), Tell(News(peer, incarnation, alive=False))]
