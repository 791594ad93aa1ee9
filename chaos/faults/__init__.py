"""The ways of hurting the mesh: the interface, and one file each, found by its name."""

import pkgutil
from collections.abc import Sequence
from importlib import import_module
from typing import Literal, Protocol

from pydantic import JsonValue

from chaos.parameters import NONE, Parameters
from chaos.targets import Ability, Target
from protocols.errors import FaultError

Effect = Literal["ends", "silences", "weakens"]
"""What a fault does to its victim: its process ends; nobody hears of it while it lives on; it is worse, but there."""


class Record(Protocol):
    """Writes one event to the journal, now or at the monotonic second ``at``."""

    def __call__(self, ev: str, *, at: float | None = None, **fields: JsonValue) -> None:
        """Append the event ``ev`` (docs/journal.md)."""


class Fault(Protocol):
    """One way of hurting agents, and its undoing; each file of this package defines one as ``FAULT``."""

    @property
    def name(self) -> str:
        """The name of its file."""

    @property
    def needs(self) -> Ability:
        """What a target must be able to do for it; asked before the run."""

    @property
    def effect(self) -> Effect:
        """What becomes of a victim until it is healed."""

    @property
    def takes(self) -> tuple[str, ...]:
        """The parameters (``chaos.parameters``) that it understands; the first one must be given, if there is any."""

    async def inject(
        self, target: Target, victims: Sequence[str], record: Record, parameters: Parameters = NONE
    ) -> None:
        """Hurt all victims at once and record what happened; raises FaultError when the order is refused."""

    async def heal(self, target: Target, victims: Sequence[str], record: Record) -> None:
        """Undo it for all victims and record what happened."""


def names() -> tuple[str, ...]:
    """The faults that exist, in alphabetical order."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def load(name: str) -> Fault:
    """The fault called ``name``; raises FaultError for an unknown one."""
    if name not in names():
        raise FaultError(f"expected a fault out of {', '.join(names())}, got {name!r}")
    fault: Fault = import_module(f"{__name__}.{name}").FAULT
    return fault


def misfit(fault: Fault, parameters: Parameters) -> str | None:
    """Why ``fault`` cannot work with ``parameters``; None where it can."""
    strange = [name for name in parameters.given if name not in fault.takes]
    if strange:
        return f"{fault.name} takes {', '.join(fault.takes) or 'no parameters'}, got {strange[0]}"
    if fault.takes and fault.takes[0] not in parameters.given:
        return f"{fault.name} needs {fault.takes[0]}, got none"
    return None
