"""What the check found, as it stands in ``results/truth-<date>.json``, and the bounds it must keep."""

from collections.abc import Iterator
from datetime import datetime

from pydantic import JsonValue

from benchmarks.results import Measured
from orchestrator.metrics.definition import quantile

MAX_BYTES_OFF = 0.005
MAX_MEDIAN_GAP_MS = 2.0
SURVIVORS_A_CORE = 2
"""A kill wakes all survivors at once; where more of them share a core, they wait for it and not for the network."""


class NodeBytes(Measured):
    """Payload bytes, sent and received, at one agent's protocol connections until its kill or the run's end.

    Its journal tells of them every 25 ms: both sides go as far as its last line before, and what passed between that
    line and the kill or the end is ``untold``.
    """

    node: str
    is_victim: bool
    journal_sent: int
    journal_received: int
    wire_sent: int
    wire_received: int
    untold: int

    @property
    def off(self) -> float:
        """The journal's error, as a share of what the wire carried."""
        return _share(self.journal_sent + self.journal_received, self.wire_sent + self.wire_received)


class WindowBytes(Measured):
    """``bytes_reconnect``, which the journal can tell to a line's end, beside the wire in the same window.

    ``early`` are bytes from before T0 that stand in lines which end after it, ``late`` bytes from before the window's
    end in lines which end after that: ``wire`` + ``early`` - ``late`` is what a faultless journal reports.
    """

    journal: int
    wire: int
    early: int
    late: int

    @property
    def off(self) -> float:
        """The journal's error in what it can tell."""
        return _share(self.journal, self.wire + self.early - self.late)

    @property
    def off_window(self) -> float:
        """Its difference from the wire in the exact window."""
        return _share(self.journal, self.wire)


class VictimTimes(Measured):
    """How one death was seen, ms after its kill call; None for what was not seen."""

    victim: str
    exit_ms: float | None
    """Its process began to end, by the kernel's trace."""
    first_end_ms: float | None
    """The first FIN or RST of any of its connections after that, in the capture."""
    closed_before: int
    """How many of its connections ended between the kill call and its exit: ordinary closes, and seldom."""
    canary_end_ms: float | None
    """That of the lab's canary connection, in the capture."""
    canary_eof_ms: float | None
    death_ms: float | None

    def is_in_order(self, error_ms: float) -> bool:
        """Kill call, exit, first FIN or RST, EOF at the canary, proof of death; packets may be off by ``error_ms``."""
        seen = (self.exit_ms, self.first_end_ms, self.canary_end_ms, self.canary_eof_ms, self.death_ms)
        if None in seen:
            return False
        exits, first, canary, eof, death = (ms for ms in seen if ms is not None)
        return 0 <= exits <= first + error_ms and first <= canary <= eof + error_ms and eof <= death


class Gap(Measured):
    """The end of one watched connection to a victim, and what its observer made of it.

    All but ``after_first_ms`` count from the FIN or RST of this very connection on the wire, on the journal's clock.
    """

    observer: str
    victim: str
    mechanism: str
    eof_ms: float
    """Until the end was read at the observer's socket."""
    evidence_ms: float
    """Until the watch had told the observer's detector, which then sends its confirming probe."""
    suspicion_ms: float | None
    """Until that probe was refused, and the victim suspected; None where other evidence was first."""
    after_first_ms: float | None
    """The same from the first FIN or RST that the victim sent to this observer on any connection."""
    lag_then_ms: float
    """By how much the observer's event loop was late at most from 50 ms before the EOF on, as it journaled."""
    lag_ms: float
    """By how much at most in those seconds."""


class Truth(Measured):
    """One captured storm."""

    protocol: str
    mode: str
    seed: int
    run_id: str
    duration_s: float
    starved: bool
    """The host was too busy in the baseline for times that belong in a table."""
    packets: int
    dropped: int
    repeated: int
    """Bytes that were sent again; counted once."""
    missing: int
    """Bytes that others follow, but that are not in the capture."""
    connections: int
    unowned: int
    """Connections that opened and closed between two looks at the socket table ..."""
    unowned_bytes: int
    """... and their payload, which is in no agent's own share as a client."""
    clock_error_ms: float
    nodes: list[NodeBytes]
    window: WindowBytes
    victims: list[VictimTimes]
    gaps: list[Gap]
    others: int
    """Detections of victims by survivors in another way (gossip, a failed request, a probe)."""

    @property
    def survivors(self) -> int:
        """How many agents a kill wakes."""
        return len(self.nodes) - len(self.victims)


class Check(Measured):
    """One run of ``make truth``."""

    made_at: datetime
    host: dict[str, JsonValue]
    storms: list[Truth]

    def times_count(self, storm: Truth) -> bool:
        """Whether the host had processors enough for its gaps to be judged."""
        cores = self.host.get("cpu_count")
        crowded = isinstance(cores, int) and storm.survivors > SURVIVORS_A_CORE * cores
        return not (storm.starved or crowded)

    def alike(self) -> Iterator[list[Truth]]:
        """The storms of each protocol and mode, whose gaps are pooled; those that do not count for times apart."""
        found: dict[tuple[str, str, bool], list[Truth]] = {}
        for storm in self.storms:
            found.setdefault((storm.protocol, storm.mode, self.times_count(storm)), []).append(storm)
        yield from found.values()


def broken_bounds(check: Check) -> Iterator[str]:
    """A few words on each bound that does not hold."""
    for storm in check.storms:
        for words in (*_broken(storm), *(_later_than_lag(storm.gaps) if check.times_count(storm) else ())):
            yield f"{storm.protocol} ({storm.mode}, seed {storm.seed}): {words}"
    for storms in check.alike():
        gaps = [gap for storm in storms for gap in storm.gaps]
        for words in _late(gaps) if check.times_count(storms[0]) else ():
            yield f"{storms[0].protocol} ({storms[0].mode}): {words}"


def _broken(storm: Truth) -> Iterator[str]:
    if storm.dropped or storm.missing:
        yield f"the capture lost {storm.dropped} packets and {storm.missing} bytes, so it proves nothing; repeat it"
    for node in storm.nodes:
        if abs(node.off) > MAX_BYTES_OFF:
            yield f"{node.node} counted {node.off:+.2%} beside the wire (at most {MAX_BYTES_OFF:.1%})"
    if abs(storm.window.off) > MAX_BYTES_OFF:
        yield f"bytes_reconnect is {storm.window.off:+.2%} off the wire (at most {MAX_BYTES_OFF:.1%})"
    for victim in storm.victims:
        if not victim.is_in_order(storm.clock_error_ms):
            yield f"the death of {victim.victim} was not seen in its order: {_order(victim)}"


def _late(gaps: list[Gap]) -> Iterator[str]:
    if not gaps:
        yield "no watched connection to a victim ended, so nothing is shown; repeat it"
        return
    median_ms, _, _ = gap_summary(gaps)
    if median_ms > MAX_MEDIAN_GAP_MS:
        yield f"watched connections told after {median_ms:.2f} ms (median; at most {MAX_MEDIAN_GAP_MS:g} ms)"


def _later_than_lag(gaps: list[Gap]) -> Iterator[str]:
    """Each storm by itself: another one's loop lag is no excuse."""
    if not gaps:
        return
    _, p95_ms, lag_ms = gap_summary(gaps)
    if p95_ms > lag_ms:
        yield f"the p95 of these gaps is {p95_ms:.2f} ms, more than the {lag_ms:.2f} ms of recorded loop lag"


def _order(victim: VictimTimes) -> str:
    named = {
        "exit": victim.exit_ms,
        "first FIN or RST": victim.first_end_ms,
        "canary's": victim.canary_end_ms,
        "EOF": victim.canary_eof_ms,
        "proof of death": victim.death_ms,
    }
    return ", ".join(f"{name} {'never' if ms is None else f'{ms:.2f} ms'}" for name, ms in named.items())


def gap_summary(gaps: list[Gap]) -> tuple[float, float, float]:
    """Median and p95 from a connection's end to the evidence, and the most loop lag recorded in those seconds; ms."""
    found = [gap.evidence_ms for gap in gaps]
    return quantile(found, 0.5), quantile(found, 0.95), max(gap.lag_ms for gap in gaps)


def _share(told: int, true: int) -> float:
    if not true:
        return 0.0 if not told else float("inf")
    return (told - true) / true
