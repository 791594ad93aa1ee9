"""How long answers take: a smoothed mean with its variation, as TCP has it (Jacobson 1988, RFC 6298)."""

_GAIN = 1 / 8
"""Of a new time in the smoothed one; the gain of its variation is twice that."""
_DEVIATIONS = 4


class RoundTrip:
    """Pure, without a clock: times go in, a bound that hardly any answer exceeds comes out."""

    def __init__(self) -> None:
        self._mean_s: float | None = None
        self._deviation_s = 0.0

    @property
    def bound_s(self) -> float:
        """Mean and four deviations, s (the RTO of RFC 6298, section 2); 0 before the first answer."""
        return (self._mean_s or 0.0) + _DEVIATIONS * self._deviation_s

    def took(self, taken_s: float) -> None:
        """An answer came after this time."""
        if self._mean_s is None:
            self._mean_s, self._deviation_s = taken_s, taken_s / 2
            return
        self._deviation_s += 2 * _GAIN * (abs(taken_s - self._mean_s) - self._deviation_s)
        self._mean_s += _GAIN * (taken_s - self._mean_s)
