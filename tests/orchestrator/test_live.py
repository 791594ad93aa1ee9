"""The live view tells a run truly: what agents believe beside what is so, what is lost, and the story in order."""

from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.live_lines import Line
from orchestrator.live_state import LiveState
from orchestrator.phases import Wishes, fit
from tests.orchestrator.live_play import T0_S, drawn_at, play

Event = dict[str, Any]
Build = Callable[..., list[Event]]


def _texts(lines: list[Line]) -> list[str]:
    return [line.text for line in lines]


def _row(drawn: list[str], name: str) -> str:
    """The table row of an agent."""
    return next(line for line in drawn if line[2:].startswith(f"{name} "))


def test_counts_down_to_the_storm_and_then_from_it(storm_events: Build) -> None:
    """Before the kill the view names the seconds left, after it the seconds passed."""
    events = storm_events()
    assert any("storm in 19.5 s" in line for line in drawn_at(*play(events, 40.5), 40.5))
    assert any("storm + 7.0 s" in line for line in drawn_at(*play(events, 67), 67))


def test_an_unnoticed_victim_is_alive_to_the_others_and_killed_in_truth(storm_events: Build) -> None:
    """Between the kill and the first suspicion belief and truth stand side by side."""
    row = _row(drawn_at(*play(storm_events(), 61.5), 61.5), "agent_3")
    assert "alive" in row
    assert "killed 2 s ago" in row


def test_suspicion_is_counted_among_the_survivors(storm_events: Build) -> None:
    """Two of the six survivors suspect at 2.12 s, all of them at 2.4 s; the dead victim has no vote."""
    events = storm_events()
    assert "suspect 2 of 6" in _row(drawn_at(*play(events, 62.12), 62.12), "agent_3")
    assert "dead 6 of 6" in _row(drawn_at(*play(events, 62.4), 62.4), "agent_3")


def test_a_restarted_agent_is_alive_and_believes_in_everybody(storm_events: Build) -> None:
    """A new incarnation counts as an observer again, without the suspicions of its former life."""
    events = storm_events(victims=(3,))
    victim_suspects = {"t": T0_S + 59, "node": "agent_3", "inc": 0, "ev": "suspect", "peer": "agent_1", "peer_inc": 0,
                       "mechanism": "probe"}  # fmt: skip
    back = {"t": T0_S + 80, "node": "agent_3", "inc": 1000, "ev": "agent_start", "pid": 7, "protocol": "json",
            "tool": "triple", "host": "127.0.0.1", "port": 9003}  # fmt: skip
    alive = [{"t": T0_S + 81, "node": f"agent_{n}", "inc": 0, "ev": "alive", "peer": "agent_3", "peer_inc": 1000,
              "mechanism": "gossip"} for n in (1, 2, 4, 5, 6, 7, 8)]  # fmt: skip
    events = sorted([*events, victim_suspects, back, *alive], key=lambda event: event["t"])
    assert "suspect 1 of 7" in _row(drawn_at(*play(events, 59.5), 59.5), "agent_1")
    state, lines = play(events, 82)
    drawn = drawn_at(state, lines, 82)
    assert "alive" in _row(drawn, "agent_3")
    assert "restarted" in _row(drawn, "agent_3")
    assert "alive" in _row(drawn, "agent_1")
    assert state.observers_of("agent_1") == 7
    assert "agent_3 is alive to everybody again" in _texts(lines)


def test_rates_stand_against_the_baseline(storm_events: Build) -> None:
    """Eight tasks a second, all answered: eight correct answers a second, now and in the baseline."""
    state, _ = play(storm_events(), 50)
    assert state.baseline(T0_S + 50).per_s == pytest.approx(8.0)
    assert state.current(T0_S + 50).per_s == pytest.approx(8.0, abs=0.3)
    assert state.current(T0_S + 50).success == 1.0


def test_the_quiet_end_is_no_loss(storm_events: Build) -> None:
    """No task arrives in the last seconds of a run; the rates stay those of the last arrivals."""
    state, lines = play(storm_events(), 119.5)
    assert state.current(T0_S + 119.5).per_s == pytest.approx(8.0, abs=0.3)
    assert any("last answers" in line for line in drawn_at(state, lines, 119.5))


def test_a_wrong_or_late_or_missing_answer_is_a_failure(storm_events: Build) -> None:
    """Without any right answer in its deadline a task counts as failed, and success falls to nothing."""
    wrong = [{**event, "answer": "Bob"} if event["ev"] == "answer" else event for event in storm_events()]
    assert play(wrong, 50)[0].current(T0_S + 50).success == 0.0
    late = [{**event, "t": event["t"] + 6} if event["ev"] == "answer" else event for event in storm_events()]
    late.sort(key=lambda event: event["t"])
    assert play(late, 50)[0].current(T0_S + 50).success == 0.0
    missing = [event for event in storm_events() if event["ev"] != "answer"]
    assert play(missing, 50)[0].current(T0_S + 50).success == 0.0


def test_an_answer_just_after_its_deadline_is_late() -> None:
    """The instant of the answer decides, not the moment at which the view next looks at the clock."""
    state = LiveState(fit(Wishes(120.0)), ["agent_1"], lambda task, answer: task["answer"] == answer["answer"])
    state.apply({"t": 0.0, "node": "orchestrator", "ev": "task", "task": "a", "at_s": 10.0, "answer": "Ada"})
    state.apply({"t": T0_S, "node": "orchestrator", "ev": "t0", "t0": T0_S})
    state.apply({"t": T0_S + 15.01, "node": "agent_1", "ev": "answer", "task": "a", "answer": "Ada"})
    assert state.current(T0_S + 15.1).success == 0.0


def test_the_curve_counts_every_correct_answer_once(storm_events: Build) -> None:
    """The sum of the curve is the number of tasks with a correct answer in time, however often they are answered."""
    events = storm_events()
    twice = sorted([*events, *({**event, "t": event["t"] + 0.1} for event in events if event["ev"] == "answer")],
                   key=lambda event: event["t"])  # fmt: skip
    state, _ = play(twice, 120)
    tasks = sum(1 for event in events if event["ev"] == "task")
    assert sum(state.curve) == tasks


def test_the_story_of_a_storm_in_order(storm_events: Build) -> None:
    """Kill, proof of death, first suspicion, first repair, take-over and agreement come once per victim."""
    texts = _texts(play(storm_events(), 120)[1])
    expected = [
        "kill agent_3",
        "agent_3 is dead, signal 9, kill +0.004 s",
        "agent_3 is first suspected by agent_1 (probe), kill +2.050 s",
        "agent_3 is dead to all 6 survivors, kill +2.300 s",
        "all 2 victims are dead to every survivor, kill +2.300 s",
        "the planned end is reached",
    ]
    assert [text for text in texts if text in expected] == expected
    assert sum("first repair for agent_3" in text for text in texts) == 1
    assert sum("first task of agent_3" in text for text in texts) == 1


def test_a_false_suspicion_is_called_by_its_name(storm_events: Build) -> None:
    """Suspecting an agent that runs is told as what it is."""
    suspicion = {"t": T0_S + 30, "node": "agent_2", "inc": 0, "ev": "suspect", "peer": "agent_1", "peer_inc": 0,
                 "mechanism": "probe"}  # fmt: skip
    events = sorted([*storm_events(victims=()), suspicion], key=lambda event: event["t"])
    lines = play(events, 31)[1]
    assert lines[-1].text == "agent_2 suspects agent_1 (probe), which runs: 1 of 7"
    assert lines[-1].tone == "bad"


def test_a_control_promises_no_storm(storm_events: Build) -> None:
    """With nobody to kill the countdown says so instead of counting to a storm that never comes."""
    drawn = "\n".join(drawn_at(*play(storm_events(victims=()), 70), 70))
    assert "no storm (control), 50.0 s to go" in drawn
    assert "storm +" not in drawn


def test_an_adopted_tool_stands_with_its_new_holder(storm_events: Build) -> None:
    """With both holders of a tool dead, the adopter's line shows two tools, and the story tells it."""
    events = storm_events(victims=(3, 7))
    state, lines = play(events, 70)
    assert "reason +triple" in _row(drawn_at(state, lines, 70), "agent_8")
    assert "agent_8 adopts the tool triple" in _texts(lines)
