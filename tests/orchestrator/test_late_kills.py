"""Chaos in another process answers after the deaths are proven: until then the order speaks for the kills."""

from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.live_lines import Narrator
from orchestrator.live_state import LiveState
from orchestrator.telemetry.ledger import Ledger
from orchestrator.windows import Windows

Event = dict[str, Any]
Build = Callable[..., list[Event]]
KILL_S = 1063.0
LATE_S = 2.6


@pytest.fixture
def arriving(storm_events: Build) -> list[Event]:
    """A storm's events in the order in which they reach the view: kills and deaths come after the first suspicions."""
    events = storm_events()
    order = {"t": KILL_S - 0.01, "node": "orchestrator", "inc": 0, "ev": "order", "action": "inject", "fault": "kill",
             "victims": ["agent_3", "agent_6"]}  # fmt: skip
    late = ("kill_call", "death")
    return sorted([*events, order], key=lambda event: event["t"] + LATE_S * (event["ev"] in late))


def test_no_victim_is_called_falsely_suspected(arriving: list[Event]) -> None:
    """The story times a suspicion from the order until the kill is known, and counts each victim once."""
    names = [f"agent_{n}" for n in range(1, 9)]
    state = LiveState(Windows(**arriving[0]["windows"]), names, lambda *_: True)
    narrator, told = Narrator(state), []
    for event in arriving:
        state.apply(event)
        told += [line.text for line in narrator.tell(event)]
    assert [line for line in told if "which runs" in line] == []
    assert state.killed == ["agent_3", "agent_6"]
    assert state.agents["agent_3"].down_at_s == KILL_S
    [first] = [line for line in told if line.startswith("agent_3 is first suspected by")]
    assert "order +2.06" in first
    assert any(line.startswith("2 kills sent within 0.0 ms") for line in told)


def test_the_metrics_count_none_and_end_with_the_times_of_the_kills(arriving: list[Event]) -> None:
    """A false suspicion in the dashboard would stay there for ever."""
    ledger = Ledger([f"agent_{n}" for n in range(1, 9)])
    for event in arriving:
        ledger.apply(event)
    assert ledger.false_suspicions == 0
    assert ledger.killed == {"agent_3": KILL_S, "agent_6": KILL_S}
    assert len(ledger.detections) == 12
