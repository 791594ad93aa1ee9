"""What a fault may touch: the interface, and one file per runtime."""

from collections.abc import Sequence
from typing import Protocol


class Target(Protocol):
    """The agents of one run as the faults see them; whatever does not belong to the run is out of reach."""

    def available(self, fault: str) -> str | None:
        """None where this target can do ``fault``, otherwise the reason why it cannot; asked before the run."""

    def authorise(self, victims: Sequence[str]) -> None:
        """Raises FaultError for an empty order, for an agent that is not of this run, and for an order for all."""

    async def kill(self, node: str) -> None:
        """Send SIGKILL; raises FaultError when it could not be sent."""

    async def wait_dead(self, node: str, timeout_s: float) -> int:
        """Wait for proof of death and return the signal that caused it.

        Raises FaultError after ``timeout_s``, or when the agent ended without a signal.
        """

    async def restart(self, node: str) -> None:
        """Start a dead agent anew; returns when it serves again, raises FaultError or LabError when it does not."""
