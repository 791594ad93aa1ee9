"""What a line of the journal says, as typed rows: one class per event, its fields as docs/journal.md names them.

Only the events that a metric, the verdict or a check needs have a class; the others are passed over.
"""

from collections.abc import Mapping
from dataclasses import replace
from sys import intern
from types import MappingProxyType

from pydantic import TypeAdapter

from orchestrator.events import agents, conductor
from orchestrator.events.row import Row, RowType

_KINDS: tuple[type[Row], ...] = tuple(
    kind
    for module in (conductor, agents)
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, Row) and kind is not Row
)
ROWS: Mapping[str, type[Row]] = MappingProxyType({kind.ev: kind for kind in _KINDS})
_ADAPTERS: Mapping[str, TypeAdapter[Row]] = MappingProxyType({ev: TypeAdapter(kind) for ev, kind in ROWS.items()})


def parse(event: Mapping[str, object], kind: type[RowType]) -> RowType:
    """Return ``event`` as a row of its kind, times as in the journal; raises ``pydantic.ValidationError``."""
    # Names come again and again; kept once, a long journal takes a third of the room.
    shared = {key: intern(value) if type(value) is str else value for key, value in event.items()}
    row = _ADAPTERS[kind.ev].validate_python(shared)
    if not isinstance(row, kind):
        raise TypeError(f"expected a row of {kind.__name__}, got {type(row).__name__}")
    return row


def rebased(row: RowType, origin: float) -> RowType:
    """The same row with its time counted from ``origin``, to the microsecond of the journal."""
    return replace(row, t=round(row.t - origin, 6))
