"""A storm of four agents that was never run: packets and a journal that say the same, unless a test changes one."""

from datetime import UTC, datetime
from typing import Any

from benchmarks.truth.clocks import Mark, Offset, Reading
from benchmarks.truth.judge import hold
from benchmarks.truth.packets import ACK, FIN, RST, SYN, Packet
from benchmarks.truth.recording import Port, Recording, Sighting
from benchmarks.truth.results import Check, Truth, broken_bounds
from benchmarks.truth.streams import connections
from orchestrator.journal import Event

OFFSET_S = 1_000_000.0
"""Unix minus monotonic."""
T0 = 100.0
STORM = 110.0
AGENTS = ("agent_1", "agent_2", "agent_3", "agent_4")
VICTIM = "agent_4"
PORTS = {9001: Port("agent_1", "protocol"), 9002: Port("agent_2", "protocol"), 9003: Port("agent_3", "protocol"),
         9004: Port("agent_4", "protocol"), 9104: Port("agent_4", "admin")}  # fmt: skip
EXITS = {14: 110.002}
"""Monotonic seconds, by process; the victim alone."""
PIDS = {11: "agent_1", 12: "agent_2", 13: "agent_3", 14: "agent_4", 10: "orchestrator"}
OFFSET = Offset(Reading(0.0, OFFSET_S), Reading(200.0, OFFSET_S))
WINDOWS = {
    "scale": 0.166667, "duration_s": 20.0, "warmup_s": 2.0, "kill_at_s": 10.0, "task_deadline_s": 2.0,
    "rate_window_s": 6.0, "byte_window_s": 6.0, "steady_window_s": 2.0, "steady_hold_s": 3.0,
}  # fmt: skip


def packet(at_s: float, source: int, destination: int, sequence: int, size: int = 0, flags: int = ACK) -> Packet:
    """A segment that passed at this monotonic second."""
    return Packet(at_s + OFFSET_S, source, destination, sequence, size, flags)


def dialogue(client: int, server: int, begin: float, sizes: list[tuple[float, int, int]]) -> list[Packet]:
    """A connection that opens at ``begin`` and then moves (time, bytes up, bytes down); both ends count from 1000."""
    packets = [
        packet(begin, client, server, 1000, flags=SYN),
        packet(begin, server, client, 1000, flags=SYN | ACK),
    ]
    up = down = 1001
    for at_s, upward, downward in sizes:
        packets += [packet(at_s, client, server, up, upward), packet(at_s, server, client, down, downward)]
        up, down = up + upward, down + downward
    return packets


def end(at_s: float, source: int, destination: int, *, reset: bool = False) -> Packet:
    """Its sender's last."""
    return packet(at_s, source, destination, 0, flags=(RST if reset else FIN) | ACK)


def packets() -> list[Packet]:
    """agent_1 asks agent_2 and agent_4, agent_4 asks agent_3, and the lab's canary hangs on agent_4's admin port.

    The orchestrator talks to agent_1 and to that admin port as well, and agent_4 keeps an idle connection to agent_1.
    """
    found = [
        *dialogue(40001, 9002, 101.0, [(105.0, 1000, 3000), (109.95, 100, 300), (112.0, 2000, 4000), (115.95, 10, 30)]),
        *dialogue(40002, 9004, 101.0, [(109.0, 500, 700)]),
        *dialogue(40003, 9003, 101.0, [(108.0, 600, 800), (109.7, 50, 60)]),
        *dialogue(40004, 9104, 101.0, []),
        *dialogue(40005, 9001, 101.0, [(111.0, 200, 300)]),
        *dialogue(40006, 9001, 101.0, []),
        *dialogue(40007, 9104, 101.0, [(102.0, 80, 90)]),
        end(110.0042, 9104, 40007),
        end(110.0048, 40006, 9001),
        end(110.004, 9004, 40002),
        end(110.003, 40003, 9003, reset=True),
        end(110.005, 9104, 40004),
    ]
    return sorted(found, key=lambda segment: segment.unix_s)


def sightings() -> dict[int, list[Sighting]]:
    """Whose the client ports are."""
    owned = {40001: (11, 9002), 40002: (11, 9004), 40003: (14, 9003), 40004: (10, 9104), 40005: (10, 9001),
             40006: (14, 9001), 40007: (10, 9104)}  # fmt: skip
    seen = {port: [Sighting(101.0, pid, server, closes=False)] for port, (pid, server) in owned.items()}
    # Another process dials another server from the same port meanwhile.
    seen[40001].insert(0, Sighting(101.0, 13, 9004, closes=True))
    return seen


def journal(told: float = 1.0) -> list[Event]:
    """What the agents wrote: the same as the wire, times ``told``; lines about bytes end at the full tenths."""

    def moved(t: float, node: str, role: str, peer: str, sent: int, received: int) -> dict[str, Any]:
        rows = [[role, peer, "task", round(sent * told), round(received * told)]]
        return {"t": t, "node": node, "inc": 0, "ev": "bytes", "rows": rows}

    def said(t: float, ev: str, node: str = "orchestrator", **fields: Any) -> dict[str, Any]:
        return {"t": t, "node": node, "inc": 0, "ev": ev, **fields}

    members = [{"node_id": name, "tool": "search", "neighbours": []} for name in AGENTS]
    return [
        said(
            99.0, "run_start", run_id="r1", protocol="json", runtime="local", seed=1, scenario={}, windows=WINDOWS,
            victims=[VICTIM], host={}, versions={},
        ),
        said(99.1, "roster", agents=members),
        *(said(99.2, "agent_start", node, pid=pid) for pid, node in PIDS.items() if pid > 10),
        said(T0, "t0", t0=T0),
        moved(105.1, "agent_1", "client", "agent_2", 1000, 3000),
        moved(105.1, "agent_2", "server", "agent_1", 3000, 1000),
        moved(108.1, "agent_4", "client", "agent_3", 600, 800),
        moved(108.1, "agent_3", "server", "agent_4", 800, 600),
        moved(109.1, "agent_1", "client", "agent_4", 500, 700),
        moved(109.9, "agent_4", "server", "agent_1", 700, 500),
        moved(109.9, "agent_4", "client", "agent_3", 50, 60),
        moved(110.05, "agent_3", "server", "agent_4", 60, 50),
        moved(111.1, "agent_1", "server", "orchestrator", 300, 200),
        said(STORM, "kill_call", victim=VICTIM),
        said(110.006, "canary_eof", victim=VICTIM),
        said(110.007, "death", victim=VICTIM, signal=9),
        said(
            110.0052, "watch_broke", "agent_1", peer=VICTIM, mechanism="tcp", probes=True, eof_ms=0.4, port=40002,
            peer_port=9004, lag_ms=1.25,
        ),
        said(110.0055, "suspect", "agent_1", peer=VICTIM, peer_inc=0, mechanism="tcp"),
        said(110.009, "suspect", "agent_2", peer=VICTIM, peer_inc=0, mechanism="gossip"),
        said(109.99, "loop_lag", "agent_1", max_ms=8.0, p99_ms=8.0, n=20, stall_ms=8.0),
        # Its own writing was late: this line tells of more than a second.
        said(111.02, "loop_lag", "agent_1", max_ms=2.0, p99_ms=2.0, n=20, stall_ms=2.5),
        said(112.05, "loop_lag", "agent_1", max_ms=9.0, p99_ms=9.0, n=20, stall_ms=9.0),
        moved(110.05, "agent_1", "client", "agent_2", 100, 300),
        moved(110.05, "agent_2", "server", "agent_1", 300, 100),
        moved(112.1, "agent_1", "client", "agent_2", 2000, 4000),
        moved(112.1, "agent_2", "server", "agent_1", 4000, 2000),
        moved(116.05, "agent_1", "client", "agent_2", 10, 30),
        moved(116.05, "agent_2", "server", "agent_1", 30, 10),
        said(120.0, "run_end"),
    ]  # fmt: skip


MARK_PORT = 9999
MARKS = [Mark(50001, 100.0, 100.00002), Mark(50002, 119.0, 119.00003)]


def marked() -> list[Packet]:
    """Our own connections of the marks."""
    return [*dialogue(50001, MARK_PORT, 100.000006, []), *dialogue(50002, MARK_PORT, 119.000008, [])]


def truth(events: list[Event] | None = None, seen: list[Packet] | None = None, **changes: Any) -> Truth:
    """What is found of the storm; its journal, its packets and what was recorded of it can be others."""
    recorded: dict[str, Any] = {
        "protocol": "json", "mode": "tcp", "run": "results/r1", "ports": PORTS, "mark_port": MARK_PORT, "marks": MARKS,
        "clocks": (OFFSET.first, OFFSET.last), "sightings": sightings(), "conductor_pid": 10, "exits": EXITS,
        "packets": 40, "dropped": 0,
    }  # fmt: skip
    found = connections([*(packets() if seen is None else seen), *marked()], {*PORTS, MARK_PORT})
    return hold(Recording(**recorded | changes), found, journal() if events is None else events)


def broken(storm: Truth, cores: int = 2) -> list[str]:
    """The bounds that it breaks on a host of so many cores."""
    check = Check(made_at=datetime(2026, 11, 27, tzinfo=UTC), host={"cpu_count": cores}, storms=[storm])
    return list(broken_bounds(check))
