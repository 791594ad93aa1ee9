"""From a kept storm - capture, journal, and whose the ports were - to what they say of each other."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.truth import compare, packets, wire
from benchmarks.truth.account import account
from benchmarks.truth.clocks import Offset
from benchmarks.truth.recording import CAPTURE_FILE, Recording
from benchmarks.truth.results import Truth
from benchmarks.truth.streams import Connection, connections
from orchestrator import journal
from orchestrator.journal import Event


def judge(folder: Path, kept: Recording) -> Truth:
    """Read the storm in ``folder`` and compare; raises LabError when its capture or its journal cannot be read."""
    captured = connections(packets.read(folder / CAPTURE_FILE), {*kept.ports, kept.mark_port})
    return hold(kept, captured, list(journal.load(folder / kept.run / journal.MERGED_FILE)))


def hold(kept: Recording, found: Sequence[Connection], events: Sequence[Event]) -> Truth:
    """The journal's ``events`` beside the connections of the capture; pure.

    Raises LabError when the journal holds no storm, or a mark is not in the capture.
    """
    offset = Offset(*kept.clocks)
    nodes = wire.nodes_by_pid(events) | {kept.conductor_pid: compare.CONDUCTOR}
    seen = [
        wire.seen(connection, offset, kept.ports, kept.sightings, nodes)
        for connection in found
        if connection.server_port != kept.mark_port
    ]
    told = account(events)
    unowned = [connection for connection in seen if connection.client is None]
    exits = {nodes[pid]: at_s for pid, at_s in kept.exits.items() if pid in nodes}
    gaps = compare.gaps(told, seen)
    return Truth(
        protocol=kept.protocol,
        mode=kept.mode,
        seed=told.seed,
        run_id=told.run_id,
        duration_s=told.duration_s,
        starved=told.starved,
        packets=kept.packets,
        dropped=kept.dropped,
        repeated=sum(connection.repeated for connection in seen),
        missing=sum(connection.missing for connection in seen),
        connections=len(seen),
        unowned=len(unowned),
        unowned_bytes=sum(size for connection in unowned for _, size in connection.moved()),
        clock_error_ms=1000 * offset.error_s(kept.marks, [one for one in found if one.server_port == kept.mark_port]),
        nodes=compare.node_bytes(told, seen),
        window=compare.window_bytes(told, seen),
        victims=compare.victim_times(told, seen, exits),
        gaps=gaps,
        others=len(told.noticed) - sum(gap.suspicion_ms is not None for gap in gaps),
    )
