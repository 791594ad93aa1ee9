"""Whether an agent hears anybody at all: one that does not has more likely been cut off itself, and accuses nobody.

The idea is Lifeguard's local health (Dadgar, Phillips, Currey 2018): before you blame others, blame yourself. What is
said in a cut arrives when the cut has healed, and a probe that was sent in it runs out after that.
"""

import math


class Hearing:
    """Remembers when somebody last answered, and since when somebody does again."""

    def __init__(self) -> None:
        self._heard_at = self._back_at = -math.inf

    def heard(self, now: float, alone_after_s: float) -> bool:
        """Somebody answered; returns whether nobody had for ``alone_after_s`` since the last answer."""
        was_alone = self._heard_at > -math.inf and self._is_alone(now, alone_after_s)
        self._heard_at = now
        if was_alone:
            self._back_at = now
        return was_alone

    def vouches(self, asked_at: float | None, now: float, alone_after_s: float) -> bool:
        """Others answer now, and have since ``asked_at``, when a silent peer was last asked (none: it was not)."""
        since_back = asked_at is None or asked_at >= self._back_at
        return since_back and not self._is_alone(now, alone_after_s)

    def _is_alone(self, now: float, alone_after_s: float) -> bool:
        return now - self._heard_at >= alone_after_s
