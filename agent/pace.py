"""The interval between beats that follows the network: quick while answers are, slow when they are late or lost."""

from agent.roundtrip import RoundTrip
from agent.settings import DetectorSettings

_LOSS_GAIN = 1 / 16


class Pace:
    """Between the two bounds, as far from the shorter one as the network is stretched.

    The stretch is the share of the probe's timeout that answers take, smoothed mean and four deviations (RFC 6298), or
    the smoothed share of lost probes, if that is more. A probe counts as lost when its peer answers a later one: the
    dead do not slow the search for the dead. Pure; without ``adaptive.enabled`` the interval is the one that is set.
    """

    def __init__(self, settings: DetectorSettings) -> None:
        self._settings = settings
        self._unanswered: dict[str, int] = {}
        self._answers = RoundTrip()
        self._loss = 0.0

    @property
    def interval_s(self) -> float:
        """From one beat to the next, in s."""
        adaptive = self._settings.adaptive
        if not adaptive.enabled:
            return self._settings.interval_s
        late = self._answers.bound_s / self._settings.timeout_s
        share = min(1.0, max(late, self._loss))
        return adaptive.min_interval_s + share * (adaptive.max_interval_s - adaptive.min_interval_s)

    def answered(self, peer: str, taken_s: float) -> None:
        """A probe of ``peer`` was answered after this time."""
        for lost in [1.0] * self._unanswered.pop(peer, 0) + [0.0]:
            self._loss += _LOSS_GAIN * (lost - self._loss)
        self._answers.took(taken_s)

    def missed(self, peer: str) -> None:
        """A probe of ``peer`` was not answered."""
        self._unanswered[peer] = self._unanswered.get(peer, 0) + 1

    def forget(self, peer: str) -> None:
        """``peer`` is held for dead, or began a new life."""
        self._unanswered.pop(peer, None)
