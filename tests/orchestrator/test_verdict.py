"""Which broken assumption makes which verdict."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.evidence import Evidence
from orchestrator.journal import load
from orchestrator.metrics import evaluate
from orchestrator.verdict import Verdict, judge

JOURNALS = Path(__file__).parent.parent / "journals"
Event = dict[str, Any]
Change = Callable[[Event], Event | None]


def verdict_of(name: str, change: Change = lambda event: event, *more: Event) -> Verdict:
    """Judge a golden journal with each line changed, or dropped where the change gives None."""
    changed = [found for event in load(JOURNALS / f"{name}.jsonl") if (found := change(dict(event)))]
    evidence = Evidence.from_events([*changed, *more])
    return judge(evidence, evaluate(evidence))


def without(ev: str, **fields: object) -> Change:
    """Drop the events of this name with these fields."""
    return lambda event: None if event["ev"] == ev and fields.items() <= event.items() else event


def conducted(t: float, ev: str, **fields: object) -> Event:
    """One more line of the orchestrator."""
    return {"t": t, "node": "orchestrator", "inc": 0, "ev": ev, **fields}


def said(t: float, node: str, ev: str, **fields: object) -> Event:
    """One more line of an agent."""
    return {"t": t, "node": node, "inc": 0, "ev": ev, **fields}


def test_a_sound_storm_is_valid() -> None:
    """Nothing broke: valid, without reasons."""
    assert verdict_of("storm") == Verdict("valid", (), ("scaled",))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (without("death", victim="agent_5"), "the kill of agent_5 has no proof of death"),
        (lambda e: e | {"signal": 11} if e["ev"] == "death" else e, "agent_4 ended by signal 11, not by the kill"),
        (without("kill_call", victim="agent_5"), "agent_5 was to be killed, but no kill was called"),
        (lambda e: e | {"failed": [["agent_1", "agent_2", "refused"]]} if e["ev"] == "edge_check" else e,
         "the edge agent_1 to agent_2 did not deliver before the start: refused"),
        (without("task", task="q9"), "the baseline has 11 tasks, expected at least 12"),
        (without("answer", task="q9"), "the baseline's success is 91.7%, expected at least 95%"),
    ],
)  # fmt: skip
def test_a_broken_assumption_makes_a_storm_invalid(change: Change, reason: str) -> None:
    """Each assumption is checked on its own and named."""
    verdict = verdict_of("storm", change)
    assert verdict.status == "invalid"
    assert reason in verdict.reasons


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (conducted(1010.1, "fault_failed", victim="agent_4", reason="no such process"),
         "the fault on agent_4 did not land: no such process"),
        (conducted(1012.0, "agent_lost", victim="agent_1", status=1), "agent_1 ended without being killed (status 1)"),
        (said(1001.0, "agent_1", "bytes", rows=[["server", None, "unclassified", 0, 7]]),
         "7 bytes have no class, expected 0"),
    ],
)  # fmt: skip
def test_what_must_not_happen_makes_a_storm_invalid(line: Event, reason: str) -> None:
    """One line too many is enough."""
    verdict = verdict_of("storm", lambda event: event, line)
    assert (verdict.status, verdict.reasons) == ("invalid", (reason,))


def test_halves_that_differ_by_chance_are_no_reason() -> None:
    """Two of six failures in one half of twelve tasks are within chance; all six are not."""
    early = {f"q{number}" for number in range(5, 11)}

    def lose(tasks: set[str]) -> Verdict:
        return verdict_of("storm", lambda event: None if event["ev"] == "answer" and event["task"] in tasks else event)

    assert not any("stationary" in reason for reason in lose({"q5", "q7"}).reasons)
    assert "the baseline is not stationary: success 0.0% in its first half, 100.0% in its second" in lose(early).reasons


def test_a_sound_control_is_valid() -> None:
    """A control is judged by its own rules, and by its host's load."""
    assert verdict_of("control") == Verdict("valid", (), ("control", "scaled", "starved"))


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([said(507.0, "agent_1", "suspect", peer="agent_2", mechanism="probe")], "a control with 1 suspicions"),
        ([said(508.0, "agent_1", "step_start", task="q30", step="s1", req="x")], "duplicate_work_ratio 0.04"),
        ([said(508.0, "agent_1", "answer", task="q30", answer="Ada")], "duplicate_effects 1"),
    ],
)
def test_a_control_must_be_calm(lines: list[Event], reason: str) -> None:
    """Any suspicion, any step done twice, any answer given twice makes a control invalid."""
    verdict = verdict_of("control", lambda event: event, *lines)
    assert verdict.status == "invalid"
    assert any(reason in text for text in verdict.reasons)


def test_a_control_must_not_drop() -> None:
    """Success after the planned instant may differ from before by chance only."""
    late = {f"q{number}" for number in range(24, 30)}
    verdict = verdict_of("control", lambda e: None if e["ev"] == "answer" and e["task"] in late else e)
    assert any("interval [0.184, 0.746] excludes 0" in reason for reason in verdict.reasons)


def test_a_control_that_shows_nothing_is_unknown() -> None:
    """Without any step the absence of duplicates says nothing."""
    verdict = verdict_of("control", without("step_start"))
    assert verdict.status == "unknown"
    assert "duplicate_work_ratio of the control is unknown" in verdict.reasons[0]


def test_a_run_without_end_is_unknown() -> None:
    """Whatever else is missing, a run that broke off is unknown and tagged partial."""
    verdict = verdict_of("storm", without("run_end"))
    assert (verdict.status, verdict.tags[0]) == ("unknown", "partial")
    assert verdict.reasons[0] == "the run broke off: the orchestrator wrote no end"


def test_missing_evidence_is_unknown() -> None:
    """No edge check, or lines that lack fields: the lab cannot tell."""
    silent = verdict_of("storm", without("edge_check"))
    assert silent == Verdict("unknown", ("no edge check was recorded",), ("scaled",))
    verdict = verdict_of("storm", lambda event: event, said(1011.0, "agent_1", "repair", kind="edge"))
    assert verdict.status == "unknown"
    assert verdict.reasons[0].startswith("1 journal lines lack promised fields")


def test_a_late_event_loop_starves_the_run() -> None:
    """A baseline loop lag p99 over 50 ms sets the tag; 50 ms does not."""
    lag = {"max_ms": 60.0, "n": 20}

    def tags(p99_ms: float) -> tuple[str, ...]:
        return verdict_of("storm", without("loop_lag"), said(1005.0, "agent_1", "loop_lag", p99_ms=p99_ms, **lag)).tags

    assert (tags(50.0), tags(50.1)) == (("scaled",), ("scaled", "starved"))


def test_a_storm_that_broke_no_request_is_tagged() -> None:
    """With no request under way on a victim the tag is idle_at_kill."""
    assert "idle_at_kill" in verdict_of("storm", without("request", req="r91")).tags


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (without("fault_done", victim="agent_4"), "the cut of agent_4 has no proof that it landed"),
        (without("heal_done", victim="agent_3"), "agent_3 was not healed of the cut"),
        (without("fault_call", victim="agent_4"), "agent_4 was to be killed, but no kill was called"),
    ],
)
def test_a_fault_that_did_not_land_or_last_as_planned_makes_a_run_invalid(change: Change, reason: str) -> None:
    """Of each fault both the blow and the healing have to be proven."""
    verdict = verdict_of("cut", change)
    assert verdict.status == "invalid"
    assert reason in verdict.reasons


def test_a_storm_that_was_called_off_is_unknown_and_says_why() -> None:
    """Who was not hit any more is not missed."""
    off = conducted(1013.0, "abort", reason="success fell to 0.05, below 0.1")
    verdict = verdict_of("storm", without("kill_call", victim="agent_5"), off)
    assert "the storm was called off: success fell to 0.05, below 0.1" in verdict.reasons
    assert not any("no kill was called" in reason for reason in verdict.reasons)
