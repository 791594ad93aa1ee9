"""What the protocol port refuses comes into the journal and the agent's Prometheus metrics."""

import json
from collections import Counter
from pathlib import Path

from agent.journal import Journal
from agent.telemetry import Telemetry
from agent.vitals import flush_rejections
from protocols.adapter import Identity
from protocols.clock import MonotonicClock


def test_rejections_are_journaled_once_and_counted(tmp_path: Path) -> None:
    """A line says what was refused since the last one; nothing refused, nothing written."""
    telemetry = Telemetry(Identity("agent_1", 0), "search", ["agent_2"])
    path = tmp_path / "journal.jsonl"
    journal = Journal(path, "agent_1", 0, MonotonicClock(), (telemetry.observe,))
    rejections = Counter({"replay": 1, "malformed": 2})
    flush_rejections(rejections, journal)
    flush_rejections(rejections, journal)
    rejections["replay"] += 3
    flush_rejections(rejections, journal)
    journal.close()
    told = [json.loads(line)["reasons"] for line in path.read_text().splitlines()]
    assert told == [{"malformed": 2, "replay": 1}, {"replay": 3}]
    exposed = telemetry.exposition().decode()
    assert 'failstorm_rejected_total{life="0",reason="replay"} 4.0' in exposed
    assert 'failstorm_rejected_total{life="0",reason="busy"} 0.0' in exposed
