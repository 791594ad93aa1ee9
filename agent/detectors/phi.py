"""Phi accrual (Hayashibara, Défago, Yared, Katayama 2004): silence is judged by how regular the peer's answers were.

The level phi of a silence is -log10 of the probability that a living peer is silent for so long, by a normal
distribution of the last inter-arrival times. A peer at ``threshold`` is held for dead. Here answers are asked for, and
the own schedule of probes, which may have more links than turns and may change its interval, is no property of the
peer: it is taken out of each inter-arrival time, and silence counts from the first probe that was not answered.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from statistics import NormalDist

from agent.detection import Declare, Detector, Excuse, Turns, Verdict
from agent.settings import DetectorSettings

_FEWEST_SAMPLES = 3


@dataclass
class _History:
    drifts_s: deque[float]
    """Inter-arrival times, each less the time between the two probes that were answered."""
    unanswered: list[float] = field(default_factory=list)
    """When the probes went out that have had no answer since."""
    answered: float = -math.inf
    """When the probe of the last answer went out, and how long that took."""
    delay_s: float | None = None
    patience_s: float = math.inf
    """How long the next answer is waited for."""


class PhiAccrual(Detector):
    """Learns each peer's arrivals; mean and deviation are held within what answers in time allow."""

    def __init__(self, me: str, settings: DetectorSettings, rng: Random) -> None:
        super().__init__(me, settings, rng)
        self._histories: dict[str, _History] = {}
        self._turns = Turns(settings.fanout)

    @classmethod
    def noticed_within_s(cls, settings: DetectorSettings, links: int, stretch: int = 1) -> float:
        """Until its turn, and then the longest silence that the most irregular answers in time lead it to accept.

        Several dead links do not wait for each other: who owes an answer takes nobody's turn.
        """
        turns = math.ceil(links / settings.fanout)
        return (turns * settings.longest_interval_s + settings.timeout_s + _margin_s(settings, math.inf)) * stretch

    @property
    def deadline(self) -> float:
        """When the first peer reaches the threshold, unless it answers."""
        return min((_until(history) for history in self._histories.values()), default=math.inf)

    def due(self, links: Sequence[str], now: float) -> list[str]:
        """Whoever owes an answer, beside the ``fanout`` of those whose turn it is: one lost probe is no silence."""
        for peer in [peer for peer in self._histories if peer not in links]:
            self._histories[peer].unanswered.clear()  # nobody will ask again, so silence says nothing
        silent = [peer for peer in links if self._of(peer).unanswered]
        chosen = silent + self._turns.choose([peer for peer in links if peer not in silent], ())
        for peer in chosen:
            self._of(peer).unanswered.append(now)
        return chosen

    def heard(self, peer: str, now: float, asked_at: float) -> list[Verdict]:
        """One more arrival; probes that went out later are still to be answered."""
        history = self._of(peer)
        history.unanswered = [sent for sent in history.unanswered if sent > asked_at]
        delay_s = now - asked_at
        if asked_at > history.answered:
            if history.delay_s is not None:
                history.drifts_s.append(delay_s - history.delay_s)
            history.delay_s, history.answered = delay_s, asked_at
            history.patience_s = self._patience_s(history.drifts_s, delay_s)
        return []

    def missed(self, peer: str, now: float) -> list[Verdict]:
        """Says no more than the silence does."""
        return []

    def excused(self, peer: str) -> None:
        """The silence is forgotten; the next beat asks anew."""
        self._of(peer).unanswered.clear()

    def tick(self, now: float, *, starved: bool) -> list[Verdict]:
        """Whoever has reached the threshold is dead; not so when this agent slept, then its silence begins anew."""
        verdicts: list[Verdict] = []
        for peer, history in self._histories.items():
            if _until(history) > now:
                continue
            history.unanswered = [now] if starved else []
            verdicts.append(Excuse(peer) if starved else Declare(peer, "probe"))
        return verdicts

    def forget(self, peer: str) -> list[Verdict]:
        """The new life has a history of its own."""
        self._histories.pop(peer, None)
        return []

    def _of(self, peer: str) -> _History:
        if peer not in self._histories:
            drifts_s: deque[float] = deque(maxlen=self._settings.phi.window)
            self._histories[peer] = _History(drifts_s, patience_s=self._patience_s(drifts_s, 0.0))
        return self._histories[peer]

    def _patience_s(self, drifts_s: Sequence[float], delay_s: float) -> float:
        timeout_s = self._settings.timeout_s
        mean_s, std_s = 0.0, timeout_s / 2
        if len(drifts_s) >= _FEWEST_SAMPLES:
            mean_s = sum(drifts_s) / len(drifts_s)
            std_s = math.sqrt(sum((drift_s - mean_s) ** 2 for drift_s in drifts_s) / len(drifts_s))
        return min(max(delay_s + mean_s, 0.0), timeout_s) + _margin_s(self._settings, std_s)


def _until(history: _History) -> float:
    return history.unanswered[0] + history.patience_s if history.unanswered else math.inf


def _margin_s(settings: DetectorSettings, std_s: float) -> float:
    """What is accepted beyond the expected arrival; answers that come within the timeout deviate by no more than it."""
    phi = settings.phi
    quantile = -NormalDist().inv_cdf(10**-phi.threshold)
    # Below a threshold of 0.3 the quantile is negative: then the pause is all there is.
    return phi.pause_s + max(0.0, quantile) * min(max(std_s, phi.min_std_s), max(settings.timeout_s, phi.min_std_s))


DETECTOR = PhiAccrual
