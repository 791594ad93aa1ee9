"""What was measured, as it stands in ``results/bench-<date>.json``, and the bounds it must keep."""

from collections.abc import Iterator
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, JsonValue

MAX_ROUND_TRIP_RATIO = 1.10
MAX_LATENCY_GROWTH = 1.3
MAX_MEMORY_GROWTH = 1.10
MAX_REPORT_BYTES = 2_000_000_000
MAX_REPORT_CPU_S = 30.0
"""Of a run of two minutes with 48 agents. CPU time, since what else the machine does shows in any other."""
FULL_RUN_S = 120.0

Act = Literal["first handshake", "handshake", "probe", "re-publish"]


class Measured(BaseModel):
    """Base of all results: they do not change."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Spread(Measured):
    """A latency distribution: its median and its 99th percentile, ms, over ``count`` calls."""

    p50_ms: float
    p99_ms: float
    count: int


class Turns(Measured):
    """How long each call took, ms, by block; the n-th block of one side ran beside the n-th of the other."""

    adapter_ms: list[list[float]]
    bare_ms: list[list[float]]


class RoundTrip(Measured):
    """One message and its receipt: the adapter and the bare SDK, interleaved block by block.

    ``ratio`` is that of the medians, adapter to bare SDK; ``low`` and ``high`` bound its 95 % bootstrap interval. What
    is drawn anew there are whole blocks, pairs of neighbours in time (Künsch 1989), because calls of one block share
    what the machine was doing then.
    """

    subject: str
    judged: bool
    adapter: Spread
    bare: Spread
    ratio: float
    low: float
    high: float
    turns: Turns


class Sample(Measured):
    """One act: how long it took, and the bytes by class."""

    taken_ms: float
    moved_bytes: dict[str, int]


class Samples(Measured):
    """What one new process has measured."""

    acts: dict[Act, list[Sample]]


class Cost(Measured):
    """What one act costs: time and, at the socket, bytes sent and received, medians over ``count`` of them.

    ``bytes_by_class`` splits them by what the exchanges were for; medians need not add up to ``bytes_total``.
    """

    act: Act
    spread: Spread
    bytes_total: int
    bytes_by_class: dict[str, int]


class Costs(Measured):
    """The acts of one protocol."""

    subject: str
    acts: list[Cost]


class Growth(Measured):
    """A figure early and late in a long run."""

    name: str
    first: float
    last: float

    @property
    def ratio(self) -> float:
        """Late to early."""
        return self.last / self.first


class Endurance(Measured):
    """Thousands of messages in a row.

    ``latency`` compares, for each kind, the p50 (ms) of a new pair's first ``window`` messages with that of the aged
    pair's next ones, which took turns; ``memory`` the resident MB of each process after ``settled`` messages, when
    caches are filled, and at the end.
    """

    subject: str
    judged: bool
    messages: int
    window: int
    settled: int
    latency: list[Growth]
    memory: list[Growth]
    latency_curve: dict[str, list[tuple[int, float]]]
    """By kind: message number, p50 of the messages around it, ms."""
    memory_curve: dict[str, list[tuple[int, float]]]
    """By process: message number, resident MB."""


class Holding(Measured):
    """What one agent holds of a large document, and its resident memory (MB).

    ``fragments`` are those in its folder, ``missing`` those of its shards that are not there, ``foreign`` those of a
    shard that it does not hold. ``before_mb`` is its memory when it was linked and had no document, ``peak_mb`` the
    highest of its life.
    """

    node: str
    shards: int
    fragments: int
    missing: int
    foreign: int
    before_mb: float
    after_mb: float
    peak_mb: float


class LargeDocument(Measured):
    """A large document over a mesh.

    It has ``document_mb`` as JSON and was made in ``made_s``; the broadcast took ``messages`` messages to all agents
    together. ``lookup`` is the time from a request for one fragment, sent to an agent that holds it, to its result, one
    at a time.
    """

    subject: str
    fragments: int
    replication: int
    document_mb: float
    made_s: float
    broadcast_ms: float
    messages: int
    lookup: Spread
    holdings: list[Holding]


class Reporting(Measured):
    """What a report costs: the whole command, from the journals of all agents to the page."""

    lines: int
    agents: int
    run_s: float
    """Length of the run."""
    journal_bytes: int
    took_s: float
    cpu_s: float
    peak_bytes: int
    """The most resident memory of the process."""


class Bench(Measured):
    """One run of ``make bench``."""

    made_at: datetime
    seed: int
    host: dict[str, JsonValue]
    versions: dict[str, str]
    """Of the SDK, by subject."""
    round_trips: list[RoundTrip]
    costs: list[Costs]
    endurances: list[Endurance]
    documents: list[LargeDocument] = []
    reports: list[Reporting] = []


def broken_bounds(bench: Bench) -> Iterator[str]:
    """A few words on each bound that does not hold."""
    for trip in bench.round_trips:
        # A ratio whose interval reaches below the bound may be the machine's doing.
        if trip.judged and trip.low > MAX_ROUND_TRIP_RATIO:
            yield (
                f"{trip.subject}: a round trip takes {trip.ratio:.2f} times ({trip.low:.2f} to {trip.high:.2f}) "
                f"what the bare SDK's does (at most {MAX_ROUND_TRIP_RATIO:.2f})"
            )
    for endurance in bench.endurances:
        if endurance.judged:
            yield from _outgrown(endurance)
    for document in bench.documents:
        for holding in document.holdings:
            if holding.missing or holding.foreign:
                yield (
                    f"{document.subject}: {holding.node} lacks {holding.missing} fragments of its shards and holds "
                    f"{holding.foreign} of others'"
                )
    yield from _greedy(bench.reports)


def _greedy(reports: list[Reporting]) -> Iterator[str]:
    for report in reports:
        if report.peak_bytes > MAX_REPORT_BYTES:
            yield (
                f"a report on {report.lines} lines takes {report.peak_bytes / 1e6:.0f} MB "
                f"(at most {MAX_REPORT_BYTES / 1e6:.0f} MB)"
            )
        if report.run_s <= FULL_RUN_S and report.cpu_s > MAX_REPORT_CPU_S:
            yield (
                f"a report on {report.run_s:g} s with {report.agents} agents takes {report.cpu_s:.0f} s "
                f"of CPU time (at most {MAX_REPORT_CPU_S:.0f} s)"
            )


def _outgrown(endurance: Endurance) -> Iterator[str]:
    for growth in endurance.latency:
        if growth.ratio > MAX_LATENCY_GROWTH:
            yield (
                f"{endurance.subject}: after {endurance.messages} messages a {growth.name} takes {growth.ratio:.2f} "
                f"times what it does in a new pair (at most {MAX_LATENCY_GROWTH:.2f})"
            )
    for growth in endurance.memory:
        if growth.ratio > MAX_MEMORY_GROWTH:
            yield (
                f"{endurance.subject}: the {growth.name} grew to {growth.ratio:.2f} times its memory "
                f"(at most {MAX_MEMORY_GROWTH:.2f})"
            )
