"""What every journal event has in common."""

from dataclasses import dataclass
from typing import ClassVar, TypeVar


@dataclass(frozen=True, slots=True)
class Row:
    """The fields of every event."""

    ev: ClassVar[str]
    t: float
    """Seconds; monotonic in the journal, since T0 in the tables of the evidence."""
    node: str
    inc: int


RowType = TypeVar("RowType", bound=Row)
