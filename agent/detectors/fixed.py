"""Fixed timeout: ``misses`` unanswered probes in a row make a suspicion."""

import math
from collections.abc import Sequence
from random import Random

from agent.detection import Declare, Detector, Turns, Verdict
from agent.settings import DetectorSettings


class FixedTimeout(Detector):
    """Counts unanswered probes; every answer begins the count anew."""

    def __init__(self, me: str, settings: DetectorSettings, rng: Random) -> None:
        super().__init__(me, settings, rng)
        self._misses: dict[str, int] = {}
        self._turns = Turns(settings.fanout)

    @classmethod
    def noticed_within_s(cls, settings: DetectorSettings, links: int, stretch: int = 1) -> float:
        """Each dead link takes ``misses`` of the ``fanout`` probes of a beat; the last one is found at the end.

        Where links wait for their turn, beats that come before a silence is known may settle nothing.
        """
        turns, interval_s = math.ceil(links / settings.fanout), settings.longest_interval_s
        until_known = 1 if turns <= 1 else 1 + math.floor(settings.timeout_s / interval_s)
        return (settings.misses * turns * until_known * interval_s + settings.timeout_s) * stretch

    def due(self, links: Sequence[str], now: float) -> list[str]:
        """Links that missed a probe first, then those that have waited longest."""
        return self._turns.choose(links, tuple(self._misses))

    def heard(self, peer: str, now: float, asked_at: float) -> list[Verdict]:
        """The streak ends."""
        self._misses.pop(peer, None)
        return []

    def missed(self, peer: str, now: float) -> list[Verdict]:
        """One more in a row."""
        self._misses[peer] = self._misses.get(peer, 0) + 1
        return [Declare(peer, "probe")] if self._misses[peer] >= self._settings.misses else []

    def forget(self, peer: str) -> list[Verdict]:
        """Misses of the old life do not count against the new one."""
        self._misses.pop(peer, None)
        return []


DETECTOR = FixedTimeout
