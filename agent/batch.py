"""Gathers suspicions, so that many deaths at once are repaired in one pass: pure, without I/O and without a clock."""

WINDOW_S = 0.02
"""At most so long does a suspicion wait for others; the first after a calm does not wait at all."""


class SuspicionBatch:
    """Group removal after Rapid (Suresh et al., USENIX ATC 2018): one pass over all who died, not one for each.

    The first suspicion after a calm is repaired at once, with whatever came in the same breath, so that a single death
    loses nothing. Those that follow within ``window_s`` of a pass wait for its end, and are repaired together.
    """

    def __init__(self, window_s: float = WINDOW_S) -> None:
        self._window_s = window_s
        self._waiting: dict[str, None] = {}
        self._calm_from = float("-inf")

    def add(self, peer: str, now: float) -> float | None:
        """``peer`` is suspected at ``now``; when a pass is due, or None where one is due already."""
        first = not self._waiting
        self._waiting[peer] = None
        return max(now, self._calm_from) if first else None

    def take(self, now: float) -> tuple[str, ...]:
        """Everybody who waits, in the order of their suspicions: they are repaired in this pass."""
        if not self._waiting:
            return ()
        taken = tuple(self._waiting)
        self._waiting = {}
        self._calm_from = now + self._window_s
        return taken
