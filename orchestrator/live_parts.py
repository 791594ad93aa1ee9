"""What the terminal view knows of one agent, one task and one stretch of time."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Event = Mapping[str, Any]
Outcome = Literal["correct", "wrong", "expired"]
"""How a task was decided; ``expired`` has no answer by its deadline."""


@dataclass
class AgentState:
    """One agent; the first three fields tell the truth, ``suspected_by`` what the others believe."""

    name: str
    tool: str = "?"
    serving: bool = False
    stored: bool = False
    down_at_s: float | None = None
    """Journal time of the blow, or of an end that nobody ordered; None while it should run and be heard of."""
    adopted: list[str] = field(default_factory=list)
    suspected_by: set[str] = field(default_factory=set)
    owned: int = 0
    committed: int = 0

    @property
    def up(self) -> bool:
        """Whether the process should be running."""
        return self.down_at_s is None


@dataclass
class TaskState:
    """One scheduled task and how it ended; ``ended_s`` counts from t0 and stays None while it is open."""

    at_s: float
    plan: Event
    ended_s: float | None = None
    correct: bool = False


@dataclass(frozen=True)
class Rates:
    """Correct answers over a stretch of time; both numbers are None before there is anything to count."""

    per_s: float | None = None
    success: float | None = None
    """Share of the tasks decided in the stretch whose first answer was correct and in time, 0 to 1."""
