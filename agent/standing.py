"""What one agent believes of one peer."""

from dataclasses import dataclass


@dataclass
class Standing:
    """A peer's present life, and what may be said of it."""

    incarnation: int = 0
    alive: bool = True
    confirming: bool = False
    probed: int = 0
    """The beat of the last probe that was to find it back."""
    looked: int = 0
    """The beat in which this agent last had reason to look again for all whom it misses."""
    stale_from: float | None = None
    """When that was, until a probe from then on has gone unanswered: what was believed before is not passed on."""
    back_in: int = 0
    """The incarnation in which it came back: what it told before then is not believed when it arrives."""
    missed_at: float | None = None
    """When the probe went out that it has not answered, the last one if it is many; none once it answers."""
