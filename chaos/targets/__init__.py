"""What a fault may touch: the interface, the rules for every order, and one file per runtime."""

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Literal, Protocol

from chaos.links.shape import Bend
from protocols.errors import FaultError

Ability = Literal["kill", "restart", "pause", "cut", "links", "squeeze", "memory"]

_NO_PROXY = "no proxy stands between containers, and chaos has no rights on their network; leave RUNTIME at local"
LACKS: Mapping[str, Mapping[Ability, str]] = MappingProxyType(
    {
        "local": MappingProxyType(
            {"memory": "without a control group of its own it has no memory limit to live under; use RUNTIME=docker"}
        ),
        "docker": MappingProxyType({"links": _NO_PROXY}),
    }
)
"""Runtime → what its agents cannot be made to suffer, and why; known before the run."""


class Target(Protocol):
    """The agents of one run as the faults see them; whatever does not belong to the run is out of reach.

    All calls raise FaultError or LabError when they could not be carried out.
    """

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

    async def stop(self, node: str) -> None:
        """Have the agent end in an orderly way; returns when it has."""

    async def restart(self, node: str) -> None:
        """Start a dead agent anew; returns when it serves again, raises FaultError or LabError when it does not."""

    async def pause(self, node: str) -> None:
        """Freeze the agent; returns when the kernel, or the engine, says that it is frozen."""

    async def resume(self, node: str) -> None:
        """Thaw it; returns when it runs."""

    async def cut(self, node: str) -> None:
        """Let nothing in or out."""

    async def mend(self, node: str) -> None:
        """Undo :meth:`cut`."""

    async def bend(self, name: str, node: str, bend: Bend) -> None:
        """Change how the agent's traffic travels, under ``name``, until :meth:`unbend`."""

    async def unbend(self, name: str, node: str) -> None:
        """Undo what was done under ``name``."""

    async def squeeze(self, node: str, cpus: float | None) -> None:
        """Give the agent so many CPUs at most; None: what it had."""

    async def limit_memory(self, node: str, spare_mib: float | None) -> None:
        """Leave the agent so much memory beyond what it has now; None: as much as it could have before."""


def lacks(runtime: str, fault: str, needs: Ability) -> str | None:
    """Why ``fault``, which ``needs`` this, cannot be done in ``runtime``; None where it can."""
    reason = LACKS[runtime].get(needs)
    return None if reason is None else f"{fault} cannot be done to {runtime} agents: {reason}"


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
