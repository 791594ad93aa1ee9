"""How often, and how soon, an agent may try again: pure, without I/O and without a clock of its own."""

import random
from dataclasses import dataclass

MOST_TOKENS = 10.0
RETRIES_PER_SUCCESS = 0.2
RETRIES_PER_S = 5.0
"""What an agent may retry when nothing succeeds at all, so that nobody waits for ever on an empty bucket."""


class RetryBudget:
    """A token bucket for retries: a share of what succeeds, ten at once, and so many per second.

    So retries cannot outgrow the work, as in gRPC's retry throttling (gRFC A6) and Finagle's retry budgets: over any
    time t in which n things succeed, at most 10 + share n + rate t retries are made, whatever fails.
    """

    def __init__(self, per_success: float, per_s: float = 0.0, *, enforced: bool = True) -> None:
        """``enforced`` False allows everything: the off setting, to see what the budget is worth."""
        self._per_success = per_success
        self._per_s = per_s
        self._enforced = enforced
        self._tokens = MOST_TOKENS
        self._filled_at: float | None = None

    def earn(self) -> None:
        """Something was done well."""
        self._tokens = min(MOST_TOKENS, self._tokens + self._per_success)

    def spend(self, now: float) -> bool:
        """Whether a retry is allowed at the monotonic second ``now``; if so it is paid for."""
        if not self._enforced:
            return True
        waited_s = 0.0 if self._filled_at is None else now - self._filled_at
        self._tokens = min(MOST_TOKENS, self._tokens + self._per_s * waited_s)
        self._filled_at = now
        # Ten tenths are a token, whatever binary fractions make of it.
        allowed = self._tokens >= 1 - 1e-9
        self._tokens -= allowed
        return allowed


@dataclass
class Backoff:
    """Pauses that double up to a longest one; each is cut by chance, so that those who wait stay apart."""

    pause_s: float
    longest_s: float
    rng: random.Random

    def next_s(self) -> float:
        """How long to wait before the next try, s: between half of the pause and the whole."""
        now_s = self.pause_s * self.rng.uniform(0.5, 1.0)
        self.pause_s = min(2 * self.pause_s, self.longest_s)
        return now_s
