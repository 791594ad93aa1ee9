"""What the live view, the exported counters and Prometheus's checks make of a freeze and of two cuts."""

import json
from pathlib import Path
from typing import Any

from orchestrator.live_lines import Narrator
from orchestrator.live_state import LiveState
from orchestrator.telemetry.ledger import Ledger
from orchestrator.telemetry.tally import Tally
from orchestrator.windows import Windows

NAMES = ("agent_1", "agent_2", "agent_3", "agent_4")
FROZEN_AT_S, THAWED_AT_S = 56.0, 59.5


def events_of(name: str) -> list[dict[str, Any]]:
    """A golden journal in the order of time."""
    path = Path(__file__).parent.parent / "journals" / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_counters_take_a_frozen_agent_for_struck_until_it_is_healed() -> None:
    """Who fell silent, who noticed, and whose suspicions were wrong; not those of one that is just being thawed."""
    ledger = Ledger(NAMES)
    for event in events_of("freeze"):
        ledger.apply(event)
    assert ledger.killed == {"agent_3": FROZEN_AT_S}
    assert ledger.restarted == {"agent_3": THAWED_AT_S}
    assert ledger.false_suspicions == 1
    assert {pair: found.at for pair, found in ledger.detections.items()} == {
        ("agent_1", "agent_3"): 56.3,
        ("agent_2", "agent_3"): 56.6,
        ("agent_4", "agent_3"): 56.9,
    }


def test_the_view_tells_blow_and_healing_by_their_names() -> None:
    """The frozen agent is down for as long as it is frozen, and each line says which fault it is about."""
    events = events_of("freeze")
    state = LiveState(Windows(**events[0]["windows"]), NAMES, lambda *_: True)
    narrator, lines, down = Narrator(state), list[str](), list[float]()
    for event in events:
        state.apply(event)
        lines += [line.text for line in narrator.tell(event)]
        if not state.agents["agent_3"].up:
            down.append(event["t"])
    assert (min(down), max(down)) == (FROZEN_AT_S, 59.5)
    assert {"pause agent_3", "heal agent_3 of the pause"} <= set(lines)


def test_prometheus_must_miss_who_is_frozen_and_in_containers_who_is_cut_off() -> None:
    """A proxy between processes leaves their metrics alone; a container off its network cannot be scraped."""
    freeze, cut = events_of("freeze"), events_of("cut")
    assert [Tally(freeze).is_up("agent_3", at) for at in (55, 57, 60)] == [True, False, True]
    assert Tally(cut).is_up("agent_4", 62)
    assert not Tally([cut[0] | {"runtime": "docker"}, *cut[1:]]).is_up("agent_4", 62)
    assert Tally(cut).killed == {"agent_3": 56.0, "agent_4": 61.0}
