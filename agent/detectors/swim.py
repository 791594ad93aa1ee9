"""SWIM with suspicion (Das, Gupta, Motivala 2002) and Lifeguard's refinements (Dadgar, Phillips, Currey 2018).

Links are probed in a random round-robin order. Who does not answer is probed through ``helpers`` other members; when
no answer comes that way either, it is doubted, which is told to all, so that it can refute. A doubt that nobody clears
becomes a death after ``suspicion_max`` intervals, and the sooner the more members doubt independently, at the soonest
after ``suspicion_min``. An agent that misses what it should have heard takes itself for unwell and grows patient.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from agent.detection import Accuse, Clear, Declare, Detector, Excuse, Mechanism, Through, Verdict
from agent.settings import DetectorSettings


@dataclass
class _Inquiry:
    """A silent peer is probed through others."""

    until: float
    answered: dict[str, bool]
    """Which helper has said that it reached nobody either."""


@dataclass
class _Doubt:
    since: float
    until: float
    by: dict[str, None] = field(default_factory=dict)


class Swim(Detector):
    """Asks others before it doubts, and lets the doubted speak before it declares them dead."""

    def __init__(self, me: str, settings: DetectorSettings, rng: Random) -> None:
        super().__init__(me, settings, rng)
        self._links: tuple[str, ...] = ()
        self._round: list[str] = []
        self._inquiries: dict[str, _Inquiry] = {}
        self._doubts: dict[str, _Doubt] = {}
        self._illness = 0

    @classmethod
    def noticed_within_s(cls, settings: DetectorSettings, links: int, stretch: int = 1) -> float:
        """First in one round and last in the next; the probe, the helpers' probes, and a doubt that nobody shares."""
        beats = 1 if links <= settings.fanout else math.ceil((2 * links - 1) / settings.fanout)
        asking_s = (beats * settings.longest_interval_s + 2 * settings.timeout_s) * stretch
        return asking_s + settings.swim.suspicion_max * settings.interval_s

    @classmethod
    def longest_stretch(cls, settings: DetectorSettings) -> int:
        """In the worst health."""
        return 1 + settings.swim.max_health

    @property
    def stretch(self) -> int:
        """Lifeguard's local health multiplier."""
        return 1 + self._illness

    @property
    def deadline(self) -> float:
        """When the first inquiry or doubt runs out."""
        return min(
            (case.until for cases in (self._inquiries, self._doubts) for case in cases.values()), default=math.inf
        )

    def due(self, links: Sequence[str], now: float) -> list[str]:
        """The next ``fanout`` of the round; a new round has a new order, and new links a random place in it."""
        for peer in links:
            if peer not in self._links:
                self._round.insert(self._rng.randint(0, len(self._round)), peer)
        self._links = tuple(links)
        self._round = [peer for peer in self._round if peer in links]
        chosen: list[str] = []
        while len(chosen) < min(self._settings.fanout, len(links)):
            waiting = next((peer for peer in self._round if peer not in chosen), None)
            if waiting is None:
                self._round += self._rng.sample(links, len(links))
                continue
            self._round.remove(waiting)
            chosen.append(waiting)
        return chosen

    def heard(self, peer: str, now: float, asked_at: float) -> list[Verdict]:
        """An answer in time: this agent is well, and the peer lives."""
        self._illness = max(0, self._illness - 1)
        return self.forget(peer)

    def missed(self, peer: str, now: float) -> list[Verdict]:
        """Ask helpers; without any, or when the peer is doubted already, this agent's own word is all there is."""
        if peer in self._inquiries:
            return []
        others = [other for other in self._links if other != peer and other not in self._doubts]
        helpers = self._rng.sample(others, min(self._settings.swim.helpers, len(others)))
        if not helpers or peer in self._doubts:
            return self._unreached(peer, 0 if helpers else 1, now)
        until = now + self._settings.timeout_s * self.stretch
        self._inquiries[peer] = _Inquiry(until, dict.fromkeys(helpers, False))
        return [Through(peer, helper) for helper in helpers]

    def unconfirmed(self, peer: str, mechanism: Mechanism, now: float, *, refused: bool) -> list[Verdict]:
        """A refused connection tells of a death as an end of file does; a silence is inquired into."""
        return [Declare(peer, mechanism)] if refused else self.missed(peer, now)

    def excused(self, peer: str) -> None:
        """Not awake: unwell."""
        self._worsen(1)

    def accused(self, peer: str, by: str, now: float) -> list[Verdict]:
        """One more that doubts; beyond ``confirmations`` no more is learned, and nothing is told on."""
        doubt = self._doubts.get(peer)
        if doubt is None:
            doubt = self._doubts[peer] = _Doubt(now, math.inf)
        elif by in doubt.by or len(doubt.by) > self._settings.swim.confirmations:
            return []
        doubt.by[by] = None
        doubt.until = doubt.since + self._patience_s(len(doubt.by) - 1)
        return [Accuse(peer, by)]

    def helped(self, peer: str, helper: str, now: float, *, alive: bool) -> list[Verdict]:
        """Reached through a helper it lives; when no helper reaches it, waiting longer brings nothing."""
        inquiry = self._inquiries.get(peer)
        if inquiry is None or helper not in inquiry.answered:
            return []
        if alive:
            del self._inquiries[peer]
            return []
        inquiry.answered[helper] = True
        return self._give_up(peer, now) if all(inquiry.answered.values()) else []

    def blamed(self) -> None:
        """Others missed this agent's answers: it may be slow."""
        self._worsen(1)

    def tick(self, now: float, *, starved: bool) -> list[Verdict]:
        """Inquiries without an answer become doubts, doubts that ran out deaths; unless this agent slept."""
        verdicts: list[Verdict] = []
        for peer in [peer for peer, inquiry in self._inquiries.items() if inquiry.until <= now]:
            if starved:
                del self._inquiries[peer]
                verdicts.append(Excuse(peer))
            else:
                verdicts += self._give_up(peer, now)
        for peer in [peer for peer, doubt in self._doubts.items() if doubt.until <= now]:
            if starved:
                self._doubts[peer].until = now + self._settings.timeout_s
                verdicts.append(Excuse(peer))
            else:
                own = self._me in self._doubts.pop(peer).by
                verdicts.append(Declare(peer, "probe" if own else "gossip"))
        if starved:
            self._worsen(1)
        return verdicts

    def forget(self, peer: str) -> list[Verdict]:
        """Neither asked about nor doubted any longer."""
        self._inquiries.pop(peer, None)
        return [Clear(peer)] if self._doubts.pop(peer, None) is not None else []

    def _give_up(self, peer: str, now: float) -> list[Verdict]:
        """A helper that kept silent may be alive and this agent deaf: that counts against its own health."""
        answered = self._inquiries.pop(peer).answered
        return self._unreached(peer, sum(not said for said in answered.values()), now)

    def _unreached(self, peer: str, unwell: int, now: float) -> list[Verdict]:
        self._worsen(unwell)
        return self.accused(peer, self._me, now)

    def _worsen(self, by: int) -> None:
        self._illness = min(self._settings.swim.max_health, self._illness + by)

    def _patience_s(self, confirmed: int) -> float:
        """Lifeguard's dynamic suspicion timeout: shorter with the logarithm of the independent confirmations."""
        swim = self._settings.swim
        shortened = math.log(confirmed + 1) / math.log(swim.confirmations + 1) if swim.confirmations else 1.0
        intervals = swim.suspicion_max - (swim.suspicion_max - swim.suspicion_min) * min(1.0, shortened)
        return intervals * self._settings.interval_s


DETECTOR = Swim
