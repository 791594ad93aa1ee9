"""The live view tells a run truly, in any terminal and in none."""

import asyncio
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from orchestrator.live import LiveView
from orchestrator.live_draw import frame, status_text
from orchestrator.live_lines import Line, Narrator
from orchestrator.live_state import LiveState
from orchestrator.phases import Wishes, fit
from orchestrator.windows import Windows

Event = dict[str, Any]
Build = Callable[..., list[Event]]
Write = Callable[[Path, list[Event]], None]
T0_S = 1003.0


def _play(events: list[Event], until_s: float) -> tuple[LiveState, list[Line]]:
    """Feed events up to ``until_s`` seconds after t0."""
    start = next(event for event in events if event["ev"] == "run_start")
    names = next([row["node_id"] for row in event["agents"]] for event in events if event["ev"] == "roster")
    state = LiveState(Windows(**start["windows"]), names, lambda task, answer: task["answer"] == answer["answer"])
    narrator, lines = Narrator(state), []
    for event in events:
        if event["t"] <= T0_S + until_s:
            state.tick(event["t"])
            state.apply(event)
            lines.extend(narrator.tell(event))
    state.tick(T0_S + until_s)
    return state, lines


def _drawn(state: LiveState, lines: list[Line], at_s: float, width: int = 100, height: int = 40) -> list[str]:
    """The text of one frame, line by line."""
    console = Console(width=width, height=height, file=io.StringIO(), force_terminal=True, record=True)
    console.print(frame(state, lines, T0_S + at_s, width, height))
    return console.export_text().splitlines()


def _texts(lines: list[Line]) -> list[str]:
    return [line.text for line in lines]


def _row(drawn: list[str], name: str) -> str:
    """The table row of an agent."""
    return next(line for line in drawn if line[2:].startswith(f"{name} "))


def test_counts_down_to_the_storm_and_then_from_it(storm_events: Build) -> None:
    """Before the kill the view names the seconds left, after it the seconds passed."""
    events = storm_events()
    assert any("storm in 19.5 s" in line for line in _drawn(*_play(events, 40.5), 40.5))
    assert any("storm + 7.0 s" in line for line in _drawn(*_play(events, 67), 67))


def test_an_unnoticed_victim_is_alive_to_the_others_and_killed_in_truth(storm_events: Build) -> None:
    """Between the kill and the first suspicion belief and truth stand side by side."""
    row = _row(_drawn(*_play(storm_events(), 61.5), 61.5), "agent_3")
    assert "alive" in row
    assert "killed 2 s ago" in row


def test_suspicion_is_counted_among_the_survivors(storm_events: Build) -> None:
    """Two of the six survivors suspect at 2.12 s, all of them at 2.4 s; the dead victim has no vote."""
    events = storm_events()
    assert "suspect 2 of 6" in _row(_drawn(*_play(events, 62.12), 62.12), "agent_3")
    assert "dead 6 of 6" in _row(_drawn(*_play(events, 62.4), 62.4), "agent_3")


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
    assert "suspect 1 of 7" in _row(_drawn(*_play(events, 59.5), 59.5), "agent_1")
    state, lines = _play(events, 82)
    drawn = _drawn(state, lines, 82)
    assert "alive" in _row(drawn, "agent_3")
    assert "restarted" in _row(drawn, "agent_3")
    assert "alive" in _row(drawn, "agent_1")
    assert state.observers_of("agent_1") == 7
    assert "agent_3 is alive to everybody again" in _texts(lines)


def test_rates_stand_against_the_baseline(storm_events: Build) -> None:
    """Eight tasks a second, all answered: eight correct answers a second, now and in the baseline."""
    state, _ = _play(storm_events(), 50)
    assert state.baseline(T0_S + 50).per_s == pytest.approx(8.0)
    assert state.current(T0_S + 50).per_s == pytest.approx(8.0, abs=0.3)
    assert state.current(T0_S + 50).success == 1.0


def test_the_quiet_end_is_no_loss(storm_events: Build) -> None:
    """No task arrives in the last seconds of a run; the rates stay those of the last arrivals."""
    state, lines = _play(storm_events(), 119.5)
    assert state.current(T0_S + 119.5).per_s == pytest.approx(8.0, abs=0.3)
    assert any("last answers" in line for line in _drawn(state, lines, 119.5))


def test_a_wrong_or_late_or_missing_answer_is_a_failure(storm_events: Build) -> None:
    """Without any right answer in its deadline a task counts as failed, and success falls to nothing."""
    wrong = [{**event, "answer": "Bob"} if event["ev"] == "answer" else event for event in storm_events()]
    assert _play(wrong, 50)[0].current(T0_S + 50).success == 0.0
    late = [{**event, "t": event["t"] + 6} if event["ev"] == "answer" else event for event in storm_events()]
    late.sort(key=lambda event: event["t"])
    assert _play(late, 50)[0].current(T0_S + 50).success == 0.0
    missing = [event for event in storm_events() if event["ev"] != "answer"]
    assert _play(missing, 50)[0].current(T0_S + 50).success == 0.0


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
    state, _ = _play(twice, 120)
    tasks = sum(1 for event in events if event["ev"] == "task")
    assert sum(state.curve) == tasks


def test_the_story_of_a_storm_in_order(storm_events: Build) -> None:
    """Kill, proof of death, first suspicion, first repair, take-over and agreement come once per victim."""
    texts = _texts(_play(storm_events(), 120)[1])
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
    lines = _play(events, 31)[1]
    assert lines[-1].text == "agent_2 suspects agent_1 (probe), which runs: 1 of 7"
    assert lines[-1].tone == "bad"


def test_a_control_promises_no_storm(storm_events: Build) -> None:
    """With nobody to kill the countdown says so instead of counting to a storm that never comes."""
    drawn = "\n".join(_drawn(*_play(storm_events(victims=()), 70), 70))
    assert "no storm (control), 50.0 s to go" in drawn
    assert "storm +" not in drawn


def test_an_adopted_tool_stands_with_its_new_holder(storm_events: Build) -> None:
    """With both holders of a tool dead, the adopter's line shows two tools, and the story tells it."""
    events = storm_events(victims=(3, 7))
    state, lines = _play(events, 70)
    assert "reason +triple" in _row(_drawn(state, lines, 70), "agent_8")
    assert "agent_8 adopts the tool triple" in _texts(lines)


@pytest.mark.parametrize(("width", "height"), [(100, 40), (80, 24), (60, 20), (40, 15)])
@pytest.mark.parametrize("agent_count", [1, 8, 48, 130])
def test_a_frame_fits_the_terminal(storm_events: Build, agent_count: int, width: int, height: int) -> None:
    """No frame is higher or wider than its terminal, down to the smallest anyone works in."""
    victims = tuple(range(1, agent_count // 3))
    events = storm_events(agent_count=agent_count, victims=victims, duration_s=24.0)
    state, lines = _play(events, 14.12)
    drawn = _drawn(state, lines, 14.12, width, height)
    assert len(drawn) <= height
    assert max(len(line) for line in drawn) <= width


def test_many_agents_keep_the_sick_ones_in_sight(storm_events: Build) -> None:
    """Where not all agents fit, the victims are shown and the healthy ones are counted."""
    events = storm_events(agent_count=130, victims=(5, 128), duration_s=24.0)
    text = "\n".join(_drawn(*_play(events, 15), 15, 80, 24))
    assert "agent_128 dead" in text
    assert "agent_5   dead" in text
    assert "… and" in text


def test_long_names_keep_their_number() -> None:
    """A name too long for its cell is cut in the middle."""
    names = [f"a-very-long-agent-name-of-the-mesh-{number}" for number in range(60)]
    state = LiveState(fit(Wishes(120.0)), names, lambda task, answer: task["answer"] == answer["answer"])
    drawn = "\n".join(_drawn(state, [], 0, 100, 30))
    assert "…" in drawn
    assert "-59" in drawn


class _FakeClock:
    """Time stands where the test puts it; sleeping hands over to the other tasks."""

    def __init__(self, now_s: float) -> None:
        self.now_s = now_s

    def now(self) -> float:
        return self.now_s

    async def sleep(self, duration_s: float) -> None:
        self.now_s += duration_s
        await asyncio.sleep(0)


def _view(run_dir: Path, events: list[Event], clock: _FakeClock, *, terminal: bool, debug: bool = False) -> tuple[
        LiveView, io.StringIO, io.StringIO]:  # fmt: skip
    start = next(event for event in events if event["ev"] == "run_start")
    names = next([row["node_id"] for row in event["agents"]] for event in events if event["ev"] == "roster")
    screen, log = io.StringIO(), io.StringIO()
    console = Console(file=screen, width=100, height=40, force_terminal=terminal)
    state = LiveState(Windows(**start["windows"]), names, lambda task, answer: task["answer"] == answer["answer"])
    return LiveView(run_dir, state, clock, console, log, debug=debug), screen, log


def test_without_a_terminal_the_same_lines_go_to_output_and_log(
    storm_events: Build, write_run: Write, tmp_path: Path
) -> None:
    """A pipe gets plain lines without control codes, equal to the log, with a status line in between."""
    events = storm_events(duration_s=24.0)
    write_run(tmp_path, events)
    clock = _FakeClock(T0_S - 3)
    view, screen, log = _view(tmp_path, events, clock, terminal=False)
    view.start()
    for _ in range(150):
        view.refresh()
        clock.now_s += 0.25
    view.stop()
    assert screen.getvalue() == log.getvalue()
    assert "\x1b" not in screen.getvalue()
    assert "     12.000 s  kill agent_3\n" in log.getvalue()
    assert "storm in" in log.getvalue()
    assert log.getvalue().rstrip().endswith("the planned end is reached")


def test_on_a_terminal_the_last_frame_and_the_log_remain(storm_events: Build, write_run: Write, tmp_path: Path) -> None:
    """The view draws in place, stays on the screen at the end, and writes the story to the log all the same."""
    events = storm_events(duration_s=24.0)
    write_run(tmp_path, events)
    view, screen, log = _view(tmp_path, events, _FakeClock(T0_S + 25), terminal=True)
    view.start()
    view.refresh()
    view.stop()
    assert "Fail-Storm" in screen.getvalue()
    assert "dead 6 of 6" in screen.getvalue()
    assert "kill agent_3" in log.getvalue()


def test_events_of_different_files_are_told_in_the_order_of_time(
    storm_events: Build, write_run: Write, tmp_path: Path
) -> None:
    """A line that is read late but happened early comes first, as long as it is no later than the waiting time."""
    kill_s = T0_S + 12
    suspicion = {"t": kill_s + 0.05, "node": "agent_1", "inc": 0, "ev": "suspect", "peer": "agent_3", "peer_inc": 0,
                 "mechanism": "watch"}  # fmt: skip
    events = sorted([*storm_events(duration_s=24.0), suspicion], key=lambda event: event["t"])
    conductor_is_late = [event for event in events if event["t"] < kill_s or event["node"].startswith("agent")]
    write_run(tmp_path, conductor_is_late)
    clock = _FakeClock(kill_s + 0.1)
    view, _, log = _view(tmp_path, events, clock, terminal=False)
    view.refresh()
    write_run(tmp_path, events)
    clock.now_s += 0.3
    view.refresh()
    told = log.getvalue().splitlines()
    kill = next(index for index, line in enumerate(told) if line.endswith("kill agent_3"))
    assert any("agent_3 is first suspected by agent_1 (watch), kill +0.050 s" in line for line in told[kill:])


def test_debug_shows_the_events_that_have_no_line(storm_events: Build, write_run: Write, tmp_path: Path) -> None:
    """With debug every request is in the log; the periodic samples never are."""
    events = storm_events(duration_s=24.0)
    write_run(tmp_path, events)
    view, _, log = _view(tmp_path, events, _FakeClock(T0_S + 25), terminal=False, debug=True)
    view.refresh()
    assert "agent_1 request task=task_00000" in log.getvalue()
    assert "loop_lag" not in log.getvalue()


@pytest.mark.parametrize("refreshes_before", [0, 5])
def test_a_broken_view_is_logged_and_does_not_break_the_run(
    storm_events: Build, write_run: Write, tmp_path: Path, refreshes_before: int
) -> None:
    """An event that the view cannot digest, early or at the very end, ends the view; the block goes on to its end."""
    events = storm_events(duration_s=24.0)
    bad = {"t": T0_S, "node": "agent_1", "inc": 0, "ev": "suspect", "peer": "nobody", "mechanism": "probe"}
    view, _, log = _view(tmp_path, events, _FakeClock(T0_S + 25), terminal=False)

    async def run() -> str:
        async with view:
            for _ in range(refreshes_before):
                await asyncio.sleep(0)
            write_run(tmp_path, [*events, bad])
            for _ in range(5 - refreshes_before):
                await asyncio.sleep(0)
            return "done"

    assert asyncio.run(run()) == "done"
    assert "the live view broke: KeyError('nobody')" in log.getvalue()


def test_the_status_line_says_where_the_run_is(storm_events: Build) -> None:
    """One line holds phase, countdown, beliefs and rates."""
    state, _ = _play(storm_events(), 62.4)
    text = status_text(state, T0_S + 62.4)
    assert text.startswith("storm; storm + 2.4 s; 6 alive, 2 dead; goodput ")
    assert "(baseline 8.0/s)" in text
