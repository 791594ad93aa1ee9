"""What the mesh said to itself, in bytes at the sockets."""

from collections import Counter
from collections.abc import Iterator
from math import ceil, floor
from typing import NamedTuple

from agent.membership import RESTART_STEP
from orchestrator.events.agents import Bytes, Rejected
from orchestrator.evidence import Evidence
from orchestrator.metrics.definition import Value, metric, null
from protocols.message import Traffic

# An interruption may be noticed a moment before the window's last line was due; the lines come every 0.1 s.
_LINE_S = 0.1


class Moved(NamedTuple):
    """``size`` bytes, both directions, of exchanges that ``initiator`` opened, in the 0.1 s before ``t``."""

    t: float
    initiator: str
    traffic: str
    size: int


def moved(evidence: Evidence) -> Iterator[Moved]:
    """All bytes of the mesh, each exchange once, at its initiator; in the order of time.

    A dead initiator's exchanges are counted at the agents that answered it, from its death on (what its own last line
    still says is left out then, or it would count twice) until it is restarted. The conductor's exchanges are not
    the mesh's, nor are those with a language model.
    """
    for row in evidence.rows(Bytes):
        death = evidence.death(row.node, row.inc // RESTART_STEP)
        if death is not None and row.t >= death.begin:
            continue
        for entry in row.rows:
            if entry.peer == evidence.conductor or entry.traffic in (Traffic.STRAY, Traffic.MODEL):
                continue
            called_by = entry.peer if entry.role == "server" else None
            if entry.role == "client":
                yield Moved(row.t, row.node, entry.traffic, entry.sent + entry.received)
            elif called_by is not None and _is_dead(evidence, called_by, row.t):
                yield Moved(row.t, called_by, entry.traffic, entry.sent + entry.received)


def _is_dead(evidence: Evidence, node: str, t: float) -> bool:
    """Whether the process of ``node`` had ended and was not being started anew; a frozen one still counts its bytes."""
    return any(outage.fatal and outage.begin <= t < outage.healing for outage in evidence.outages.get(node, ()))


def _by_class(evidence: Evidence) -> Counter[str]:
    """Bytes in [T0, T0 + byte window), by class."""
    counts: Counter[str] = Counter()
    for entry in moved(evidence):
        if 0 <= entry.t < evidence.windows.byte_window_s:
            counts[entry.traffic] += entry.size
    return Counter({name: counts[name] for name in sorted(counts)})


def _cut_short(evidence: Evidence, so_far: object) -> Value | None:
    """Null when the evidence ends inside the byte window: a sum over less is another number."""
    if evidence.end_s >= evidence.windows.byte_window_s - _LINE_S:
        return None
    window = f"{evidence.windows.byte_window_s:g} s"
    observed_s = max(0.0, evidence.end_s)
    return null(f"the evidence ends before the byte window of {window}", so_far=so_far, observed_s=observed_s)


@metric("bytes")
def bytes_reconnect(evidence: Evidence) -> Value:
    """Bytes of the mesh in [T0, T0 + byte window), counted at the socket: each exchange once, in both directions.

    Counted at the initiator; where it died, at the agent that answered. A line of the journal counts at its end.
    ``by_class`` splits it: handshake, discovery, heartbeat, membership, resume, retry, task.
    """
    counts = _by_class(evidence)
    return _cut_short(evidence, counts.total()) or Value(counts.total(), detail={"by_class": dict(counts)})


@metric("bytes")
def bytes_by_class(evidence: Evidence) -> Value:
    """bytes_reconnect split by class."""
    counts = dict(_by_class(evidence))
    return _cut_short(evidence, counts) or Value(counts)


def _before(evidence: Evidence) -> list[Moved]:
    """Bytes of the pre phase, [T0-D-W, T0-D)."""
    windows = evidence.windows
    begin = round(-windows.task_deadline_s - windows.rate_window_s, 6)
    return [entry for entry in moved(evidence) if begin <= entry.t < -windows.task_deadline_s]


@metric("bytes")
def bytes_excess(evidence: Evidence) -> Value:
    """bytes_reconnect minus what the survivors alone would have sent: their rate in the pre phase over as long.

    ``expected`` is that rate, of the exchanges that survivors opened (to whomever), times the byte window.
    """
    total = _by_class(evidence).total()
    windows = evidence.windows
    steady = sum(entry.size for entry in _before(evidence) if entry.initiator in evidence.survivors)
    expected = steady / windows.rate_window_s * windows.byte_window_s
    return _cut_short(evidence, total) or Value(total - expected, detail={"expected": expected})


@metric("bytes")
def bytes_series(evidence: Evidence) -> Value:
    """Bytes of the mesh from t0 to the end by class, in buckets of 1 s: the i-th starts ``start_s`` + i s after T0."""
    start = floor(evidence.t0_s)
    length = max(0, ceil(evidence.end_s) - start)
    series: dict[str, list[int]] = {}
    for entry in moved(evidence):
        bucket = floor(entry.t) - start
        if 0 <= bucket < length:
            series.setdefault(entry.traffic, [0] * length)[bucket] += entry.size
    return Value({"start_s": start, "step_s": 1, "bytes": {name: series[name] for name in sorted(series)}})


@metric()
def liveness_cost_bytes_per_s(evidence: Evidence) -> Value:
    """Bytes per second and agent that knowing who is alive costs before the storm: heartbeat and membership.

    All agents, over the pre phase, each exchange at its initiator.
    """
    if evidence.end_s < -evidence.windows.task_deadline_s:
        return null("the evidence ends before the baseline does")
    watchful = (Traffic.HEARTBEAT, Traffic.MEMBERSHIP)
    cost = sum(entry.size for entry in _before(evidence) if entry.traffic in watchful)
    return Value(cost / evidence.windows.rate_window_s / len(evidence.agents))


@metric("count")
def rejected_messages(evidence: Evidence) -> Value:
    """Requests that the agents' protocol ports refused, from start to end, by reason; empty in a quiet run.

    ``malformed``, ``misaddressed``, ``too_large`` and ``busy`` in every protocol; ANP adds what its signatures find:
    ``tampered``, ``replay``, ``signature``, ``identity`` and so on.
    """
    counts: Counter[str] = Counter()
    for row in evidence.rows(Rejected):
        counts.update(row.reasons)
    return Value({reason: counts[reason] for reason in sorted(counts)})


@metric("bytes")
def bytes_stray(evidence: Evidence) -> Value:
    """Bytes that came to, or went from, the agents' protocol ports without a request of the mesh, start to end.

    Noise, a port scanner, a request that was cut before it could be read. They are in no other number.
    """
    return Value(_of_class(evidence, Traffic.STRAY))


@metric("bytes")
def bytes_unclassified(evidence: Evidence) -> Value:
    """Bytes in the journal, at either end and from start to end, that nobody gave a class; must be 0."""
    return Value(_of_class(evidence, Traffic.UNCLASSIFIED))


def _of_class(evidence: Evidence, traffic: Traffic) -> int:
    """At either end, from start to end."""
    entries = (entry for row in evidence.rows(Bytes) for entry in row.rows)
    return sum(entry.sent + entry.received for entry in entries if entry.traffic == traffic)
