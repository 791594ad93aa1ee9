"""What a fault may touch: the interface, the rules for every order, and one file per runtime."""

from collections.abc import Collection, Sequence
from typing import Protocol

from protocols.errors import FaultError


class Target(Protocol):
    """The agents of one run as the faults see them; whatever does not belong to the run is out of reach."""

    def available(self, fault: str) -> str | None:
        """None where this target can do ``fault``, otherwise the reason why it cannot; asked before the run."""

    async def authorise(self, victims: Sequence[str]) -> None:
        """Raises FaultError for an order that :func:`check_order` refuses; called before anything is touched."""

    async def kill(self, node: str) -> None:
        """Send SIGKILL; raises FaultError or LabError when it could not be sent."""

    async def wait_dead(self, node: str, timeout_s: float) -> int:
        """Wait for proof of death and return the signal that caused it.

        Raises FaultError after ``timeout_s``, or when the agent ended without a signal.
        """

    async def restart(self, node: str) -> None:
        """Start a dead agent anew; returns when it serves again, raises FaultError or LabError when it does not."""


def check_order(victims: Sequence[str], agents: Collection[str]) -> None:
    """Raises FaultError for an order that names nobody, all of the run's ``agents``, a stranger, or somebody twice."""
    if not victims:
        raise FaultError("expected at least one victim, got none; a control calls no fault")
    for victim in victims:
        if victim not in agents:
            raise FaultError(f"expected one of the {len(agents)} agents of this run, got {victim!r}")
        if victims.count(victim) > 1:
            raise FaultError(f"expected every victim once, got {victim!r} {victims.count(victim)} times")
    if len(victims) >= len(agents):
        raise FaultError(f"expected at least one survivor, got an order for all {len(agents)} agents")
