"""The lines about bytes, most of a long journal, packed into columns that take far less room than the rows."""

from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import overload

import numpy as np

from orchestrator.events.agents import Bytes, Traffic


class PackedBytes(Sequence[Bytes]):
    """Rows of ``bytes`` as they came, or as :meth:`placed` has ordered them; each is made when asked for.

    Whoever goes over them again and again pays with time, and never with memory.
    """

    def __init__(self) -> None:
        self._t = array("d")
        self._writer = array("I")
        self._end = array("Q")
        """Where the entries of each line end."""
        self._flow = array("I")
        self._sent = array("q")
        self._received = array("q")
        # Numbers of what comes again and again, in the order of its first coming.
        self._writers: dict[tuple[str, int], int] = {}
        self._flows: dict[tuple[str, str | None, str], int] = {}
        self._order: Sequence[int] = range(0)

    def append(self, row: Bytes) -> None:
        """Take one more line."""
        self._t.append(row.t)
        self._writer.append(self._writers.setdefault((row.node, row.inc), len(self._writers)))
        for role, peer, traffic, sent, received in row.rows:
            self._flow.append(self._flows.setdefault((role, peer, traffic), len(self._flows)))
            self._sent.append(sent)
            self._received.append(received)
        self._end.append(len(self._flow))
        self._order = range(len(self._t))

    def placed(self, origin: float, is_kept: Callable[[float, str], bool]) -> "PackedBytes":
        """Count times from ``origin``, and keep what is to be kept (time, node) in the order of time, then node.

        The columns are taken over; this table is empty afterwards.
        """
        new = PackedBytes()
        new._t = array("d", (round(t - origin, 6) for t in self._t))
        new._writer, new._end, new._writers, new._flows = self._writer, self._end, self._writers, self._flows
        new._flow, new._sent, new._received = self._flow, self._sent, self._received
        names = [node for node, _ in self._writers]
        rank = {node: place for place, node in enumerate(sorted(set(names)))}
        writers = np.asarray(new._writer)
        by_node = np.array([rank[node] for node in names], dtype=np.int64)[writers] if names else writers
        # Stable, as the order of the journal is where time and node are equal.
        order = np.lexsort((by_node, np.asarray(new._t)))
        kept = (place for place in order.tolist() if is_kept(new._t[place], names[new._writer[place]]))
        new._order = array("Q", kept)
        self.__init__()  # type: ignore[misc] # nothing of it is left
        return new

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[Bytes]:
        writers, flows = list(self._writers), list(self._flows)
        for place in self._order:
            yield self._row(place, writers, flows)

    @overload
    def __getitem__(self, index: int) -> Bytes: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Bytes]: ...
    def __getitem__(self, index: int | slice) -> Bytes | Sequence[Bytes]:
        writers, flows = list(self._writers), list(self._flows)
        if isinstance(index, slice):
            return [self._row(place, writers, flows) for place in self._order[index]]
        return self._row(self._order[index], writers, flows)

    def _row(
        self, place: int, writers: Sequence[tuple[str, int]], flows: Sequence[tuple[str, str | None, str]]
    ) -> Bytes:
        begin, end = self._end[place - 1] if place else 0, self._end[place]
        node, inc = writers[self._writer[place]]
        entries = tuple(
            Traffic(*flows[flow], sent, received)  # type: ignore[arg-type] # the role is one of the two
            for flow, sent, received in zip(
                self._flow[begin:end], self._sent[begin:end], self._received[begin:end], strict=True
            )
        )
        return Bytes(self._t[place], node, inc, entries)
