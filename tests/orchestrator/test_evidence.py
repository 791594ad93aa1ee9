"""The journal as tables: what is kept, what is refused, and whose clock counts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.events.agents import Answer, Suspect
from orchestrator.evidence import Evidence
from orchestrator.journal import load
from orchestrator.outages import Outage
from protocols.errors import LabError

JOURNALS = Path(__file__).parent.parent / "journals"
Event = dict[str, Any]


def events_of(name: str) -> list[Event]:
    """The lines of a golden journal."""
    return [dict(event) for event in load(JOURNALS / f"{name}.jsonl")]


@pytest.mark.parametrize("missing", ["run_start", "roster", "t0"])
def test_what_cannot_be_missing_is_named(missing: str) -> None:
    """Without run_start, roster or t0 there is no evidence, and the error says which is missing."""
    events = [event for event in events_of("storm") if event["ev"] != missing]
    with pytest.raises(LabError, match=f"expected a {missing} event"):
        Evidence.from_events(events)


def test_an_unreadable_run_start_is_explained() -> None:
    """A run_start whose windows are incomplete gives the reason, not only its absence."""
    events = events_of("storm")
    del events[0]["windows"]["duration_s"]
    with pytest.raises(LabError, match=r"windows\.duration_s: Field required"):
        Evidence.from_events(events)


def test_times_count_from_the_first_kill_call() -> None:
    """T0 is the actual kill, not the planned one; t0 and storm_at alone stay monotonic."""
    evidence = Evidence.from_events(events_of("storm"))
    assert (evidence.t0, evidence.storm_at, evidence.t0_s) == (1000.0, 1010.004, -10.004)
    assert evidence.outages["agent_4"] == (Outage(0.0),)
    assert evidence.outages["agent_5"] == (Outage(0.002),)
    assert [row.t for row in evidence.rows(Suspect)][:2] == [-4.0, 0.05]


def test_a_control_counts_from_the_planned_instant() -> None:
    """Where nothing is killed, T0 is t0 + kill_at_s."""
    evidence = Evidence.from_events(events_of("control"))
    assert evidence.is_control
    assert (evidence.storm_at, evidence.victims) == (506.0, ())
    assert evidence.survivors == ("agent_1", "agent_2", "agent_3", "agent_4")


def test_a_restarted_victim_is_no_survivor() -> None:
    """Its outage has a begin, a restart and an end; between the latter two it is certainly neither up nor down."""
    evidence = Evidence.from_events(events_of("heal"))
    assert evidence.survivors == ("agent_1", "agent_2", "agent_4")
    assert evidence.outages["agent_3"] == (Outage(0.0, 3.0, 3.5),)
    assert [evidence.is_up("agent_3", t) for t in (-0.1, 0.0, 3.2, 3.5)] == [True, False, False, True]


def without_end(events: list[Event]) -> list[Event]:
    """The journal of a run whose orchestrator was killed."""
    return [event for event in events if event["ev"] not in {"run_end", "interrupted"}]


@pytest.mark.parametrize("cut", [lambda events: events, without_end])
def test_what_came_after_the_end_is_left_out(cut: Callable[[list[Event]], list[Event]]) -> None:
    """The evidence ends with the run, its interruption, or the last line of a conductor that was killed."""
    events = cut(events_of("interrupted"))
    evidence = Evidence.from_events(events)
    last = max(event["t"] for event in events if event["node"] == "orchestrator")
    assert evidence.partial
    assert evidence.end_s == pytest.approx(last - 305.0)
    assert all(row.t <= evidence.end_s for row in (*evidence.rows(Suspect), *evidence.rows(Answer)))


def test_a_malformed_line_is_named_and_the_rest_stands() -> None:
    """A line without its promised field is left out and reported with what is wrong."""
    events = events_of("storm")
    events.append({"t": 1011.0, "node": "agent_1", "inc": 0, "ev": "suspect", "mechanism": "probe"})
    events.append({"t": 1011.0, "node": "agent_1", "inc": 0, "ev": "unheard_of"})
    evidence = Evidence.from_events(events)
    assert evidence.malformed == ("suspect of agent_1 at 1011.0: peer: Field required",)
    assert len(evidence.rows(Suspect)) == 7


def test_a_suspicion_ends_with_the_process_that_held_it() -> None:
    """What a victim believed is over with its kill; a new incarnation starts without suspicions."""
    events = events_of("heal")
    for t, inc in ((55.5, 0), (60.0, 1000)):
        events.append({"t": t, "node": "agent_3", "inc": inc, "ev": "suspect", "peer": "agent_1", "mechanism": "probe"})
    own = [span for span in Evidence.from_events(events).suspicions if span.node == "agent_3"]
    assert [(span.begin, span.end, span.retracted) for span in own] == [(-0.5, 0.0, False), (4.0, 12.0, False)]


def test_a_lost_agent_is_neither_victim_nor_survivor() -> None:
    """An agent that ended by itself is dead from then on, and nobody waits for its view."""
    events = [*events_of("storm"), {"t": 1012.0, "node": "orchestrator", "inc": 0, "ev": "agent_lost",
                                    "victim": "agent_1", "status": 1}]  # fmt: skip
    evidence = Evidence.from_events(events)
    assert (evidence.victims, evidence.survivors) == (("agent_4", "agent_5"), ("agent_2", "agent_3"))
    assert evidence.outages["agent_1"][0].begin == 1.996


def test_the_first_answer_counts() -> None:
    """A right answer does not heal a wrong one that was committed before it, nor the other way round."""
    events = events_of("storm")
    task = {"ev": "answer", "task": "q21", "evidence": [], "inc": 0}
    events.append({**task, "t": 1010.9, "node": "agent_2", "answer": "Bob"})
    events.append({**task, "t": 1011.0, "node": "agent_1", "answer": "Ada"})
    events.append({**task, "t": 1011.6, "node": "agent_2", "task": "q22", "answer": "the ADA."})
    found = {task.task: task for task in Evidence.from_events(events).tasks}
    assert (found["q21"].success, found["q22"].success) == (False, True)
    assert found["q22"].latency_s == pytest.approx(0.6)
