"""What the journal says of a storm, as far as a capture can speak to it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from orchestrator.events import parse
from orchestrator.events.agents import Bytes, LoopLag, Suspect, WatchBroke
from orchestrator.events.conductor import CanaryEof, Death, KillCall
from orchestrator.evidence import Evidence
from orchestrator.journal import Event
from orchestrator.metrics import evaluate, traffic
from orchestrator.verdict import judge
from protocols.message import Traffic

_SILENCE_S = 0.3
"""Lines about bytes come every 25 ms; a busy event loop may be late."""


class Counted(NamedTuple):
    """One line of one node about bytes on protocol connections: its time (monotonic), and the sums over its rows."""

    t: float
    sent: int
    received: int


class Noticed(NamedTuple):
    """An observer's first suspicion of a victim after its kill, and by what it came."""

    observer: str
    victim: str
    t: float
    mechanism: str


class Broke(NamedTuple):
    """An observer saw the end of a connection to a victim that it watched, after the kill."""

    observer: str
    victim: str
    t: float
    """When this became evidence."""
    eof_t: float
    """When the end was read at the socket."""
    mechanism: str
    probes: bool
    ports: tuple[int, int]
    """The observer's own and the victim's."""
    lag_ms: float
    """By how much its event loop was late at most around that instant."""


@dataclass(frozen=True)
class Account:
    """The journal's side; all times are monotonic seconds."""

    run_id: str
    seed: int
    duration_s: float
    starved: bool
    storm_at: float
    run_end: float
    byte_window_s: float
    bytes_reconnect: int
    """As the lab reports it."""
    agents: tuple[str, ...]
    counted: dict[str, list[Counted]]
    """By node, in the order of time."""
    kills: dict[str, float]
    canary_eofs: dict[str, float]
    deaths: dict[str, float]
    noticed: list[Noticed]
    broke: list[Broke]
    lags: dict[str, list[tuple[float, float]]]
    """By node: the time of a line about the event loop, and the most it was late in the second before, ms."""

    def until(self, node: str) -> float:
        """How far this node's counts are compared: to its last line before its kill, or before the end of the run.

        A faultless agent writes that a moment before, unless nothing moved; what comes later it has no time to write,
        or all hang up and nobody reads any more. To the kill or the end itself where the last line is older: an agent
        that fell silent is compared to the full.
        """
        end = self.kills.get(node, self.run_end)
        last = max((line.t for line in self.counted[node] if line.t <= end), default=-inf)
        return last if last >= end - _SILENCE_S else end

    def lag_ms(self, node: str, begin: float, end: float) -> float:
        """How late the event loop of ``node`` was at most in the seconds that touch [begin, end], as recorded."""
        lags = self.lags.get(node, ())
        # A line tells of the time since the one before it: a second, and what its own writing was late.
        last = next((t for t, _ in lags if t >= end), inf)
        return max((ms for t, ms in lags if begin <= t <= last), default=0.0)


def account(events: Iterable[Event]) -> Account:
    """Read a merged journal; raises LabError when it holds no storm."""
    lines = list(events)
    evidence = Evidence.from_events(lines)
    origin = evidence.storm_at
    kills = {row.victim: row.t + origin for row in reversed(evidence.rows(KillCall))}
    noticed: dict[tuple[str, str], Noticed] = {}
    for seen in evidence.rows(Suspect):
        if seen.peer in kills and seen.t + origin >= kills[seen.peer]:
            noticed.setdefault((seen.node, seen.peer), Noticed(seen.node, seen.peer, seen.t + origin, seen.mechanism))
    lags: dict[str, list[tuple[float, float]]] = {}
    for lag in evidence.rows(LoopLag):
        lags.setdefault(lag.node, []).append((lag.t + origin, max(lag.max_ms, lag.stall_ms or 0.0)))
    reported = traffic.bytes_reconnect.compute(evidence).value
    return Account(
        run_id=evidence.run.run_id,
        seed=evidence.run.seed,
        duration_s=evidence.windows.duration_s,
        starved="starved" in judge(evidence, evaluate(evidence)).tags,
        storm_at=origin,
        run_end=evidence.end_s + origin,
        byte_window_s=evidence.windows.byte_window_s,
        bytes_reconnect=reported if isinstance(reported, int) else 0,
        agents=tuple(member.node_id for member in evidence.agents),
        counted=_counted(lines, [member.node_id for member in evidence.agents]),
        kills=kills,
        canary_eofs=_by_victim(evidence.rows(CanaryEof), origin),
        deaths=_by_victim(evidence.rows(Death), origin),
        noticed=[one for one in noticed.values() if one.observer in evidence.survivors],
        broke=list(_broke(evidence, kills)),
        lags=lags,
    )


def _broke(evidence: Evidence, kills: Mapping[str, float]) -> Iterator[Broke]:
    for row in evidence.rows(WatchBroke):
        t = row.t + evidence.storm_at
        if row.peer not in kills or t < kills[row.peer] or row.node not in evidence.survivors:
            continue
        if row.eof_ms is not None and row.port is not None and row.peer_port is not None:
            eof_t, ports = t - row.eof_ms / 1000, (row.port, row.peer_port)
            yield Broke(row.node, row.peer, t, eof_t, row.mechanism, row.probes, ports, row.lag_ms or 0.0)


def _counted(lines: Iterable[Event], agents: Iterable[str]) -> dict[str, list[Counted]]:
    """To the last line, which an agent writes after the end of the run and the evidence leaves out."""
    counted: dict[str, list[Counted]] = {node: [] for node in agents}
    for line in lines:
        if line["ev"] != Bytes.ev:
            continue
        row = parse(line, Bytes)
        mine = [entry for entry in row.rows if entry.traffic != Traffic.MODEL]
        if mine and row.node in counted:
            sums = sum(entry.sent for entry in mine), sum(entry.received for entry in mine)
            counted[row.node].append(Counted(row.t, *sums))
    return counted


def _by_victim(rows: Sequence[CanaryEof] | Sequence[Death], origin: float) -> dict[str, float]:
    return {row.victim: row.t + origin for row in rows[::-1]}
