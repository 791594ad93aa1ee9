"""Puts packets on the journal's clock, and measures how well that can be done.

A packet carries Unix time (CLOCK_REALTIME), a journal CLOCK_MONOTONIC. Their difference is read before and after the
storm; marks, connections of our own whose dialling is timed on the journal's clock, say what error is left.
"""

import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from benchmarks.truth.streams import Connection
from orchestrator.ports import HOST
from protocols.clock import Clock
from protocols.errors import LabError

_READINGS = 200
_MARKS = 20


class Reading(NamedTuple):
    """The difference of the two clocks at one instant."""

    at_s: float
    """Monotonic seconds."""
    offset_s: float
    """Unix minus monotonic."""


class Mark(NamedTuple):
    """A dialling of our own: the first packet of the connection left between these two monotonic seconds."""

    port: int
    before_s: float
    after_s: float


def read(clock: Clock) -> Reading:
    """The surest of many readings: that with the least time between the two looks at the monotonic clock."""

    def once() -> tuple[float, Reading]:
        before_s = clock.now()
        unix_s = time.time()
        after_s = clock.now()
        middle_s = (before_s + after_s) / 2
        return after_s - before_s, Reading(middle_s, unix_s - middle_s)

    return min(once() for _ in range(_READINGS))[1]


@contextmanager
def marking() -> Iterator[socket.socket]:
    """A listener to be dialled for marks; its port belongs into the capture."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        listener.listen(_MARKS)
        yield listener


def mark(listener: socket.socket, clock: Clock) -> list[Mark]:
    """Dial the listener a few times."""
    address = listener.getsockname()
    marks = []
    for _ in range(_MARKS):
        with socket.socket() as caller:
            caller.bind((HOST, 0))
            before_s = clock.now()
            caller.connect(address)
            marks.append(Mark(caller.getsockname()[1], before_s, clock.now()))
        listener.accept()[0].close()
    return marks


@dataclass(frozen=True)
class Offset:
    """Turns Unix seconds into monotonic ones, by two readings and a straight line between them."""

    first: Reading
    last: Reading

    def monotonic(self, unix_s: float) -> float:
        """The same instant on the journal's clock."""
        span_s = self.last.at_s - self.first.at_s
        share = (unix_s - self.first.offset_s - self.first.at_s) / span_s if span_s > 0 else 0.0
        return unix_s - self.first.offset_s - min(1.0, max(0.0, share)) * self.drift_s

    @property
    def drift_s(self) -> float:
        """By how much the difference of the clocks changed between the readings."""
        return self.last.offset_s - self.first.offset_s

    def error_s(self, marks: Sequence[Mark], dialled: Sequence[Connection]) -> float:
        """How far a packet's time on the journal's clock can be from the truth, seconds.

        The first packet of each mark left while it was dialled: by more than the least distance of any of them to
        either end of that time the offset cannot be wrong, or by more than one lies outside, it is. Raises LabError
        when a mark is not in the capture.
        """
        began = {connection.client_port: connection.began_unix_s for connection in dialled}
        missing = [made.port for made in marks if made.port not in began]
        if missing or not marks:
            raise LabError(f"expected {len(marks)} connections of our own in the capture, {len(missing)} are missing; "
                           f"repeat the storm")  # fmt: skip
        placed = [(self.monotonic(began[made.port]), made) for made in marks]
        late_s = min(at_s - made.before_s for at_s, made in placed)
        early_s = min(made.after_s - at_s for at_s, made in placed)
        return max(abs(late_s), abs(early_s))
