"""How long an attempt is waited for: pure, without a clock of its own."""

from collections import defaultdict

from agent.roundtrip import RoundTrip

_GROWTH = 2.0
"""One slow answer at most doubles what is waited for; who was frozen and thaws says nothing about the others."""


class Patience:
    """As long as steps of that tool take now, but never shorter than ``least_s``.

    Where all are late, a step that is asked of another is done twice, and makes all later still: a mesh that was
    overloaded for a moment stays so (Bronson et al., "Metastable failures in distributed systems", HotOS 2021). So the
    timeout follows what answers take, and doubles for whoever waits in vain, as TCP's does (RFC 6298, section 5.5).
    """

    def __init__(self, least_s: float) -> None:
        self._least_s = least_s
        self._taken: defaultdict[str, RoundTrip] = defaultdict(RoundTrip)

    def attempt_s(self, tool: str, timeouts: int = 0) -> float:
        """For an answer to a request that was delivered, s; ``timeouts`` attempts before it had none in time."""
        return max(self._least_s, self._taken[tool].bound_s) * 2.0**timeouts

    def answered(self, tool: str, taken_s: float) -> None:
        """An answer came after this time, late or not."""
        self._taken[tool].took(min(taken_s, _GROWTH * self.attempt_s(tool)))
