"""The ways of hurting the mesh: the interface, and one file each, found by its name."""

import pkgutil
from collections.abc import Sequence
from importlib import import_module
from typing import ClassVar, Protocol

from pydantic import JsonValue

from chaos.targets import Target
from protocols.errors import FaultError


class Record(Protocol):
    """Writes one event to the journal, now or at the monotonic second ``at``."""

    def __call__(self, ev: str, *, at: float | None = None, **fields: JsonValue) -> None:
        """Append the event ``ev`` (docs/journal.md)."""


class Fault(Protocol):
    """One way of hurting agents, and its undoing; each file of this package defines one as ``FAULT``."""

    name: ClassVar[str]

    async def inject(self, target: Target, victims: Sequence[str], record: Record) -> None:
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
