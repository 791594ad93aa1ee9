"""The live view fits any terminal, does without one, and breaks no run."""

import asyncio
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from orchestrator.live import LiveView
from orchestrator.live_draw import status_text
from orchestrator.live_state import LiveState
from orchestrator.phases import Wishes, fit
from tests.orchestrator.live_play import T0_S, drawn_at, play, state_of

Event = dict[str, Any]
Build = Callable[..., list[Event]]
Write = Callable[[Path, list[Event]], None]


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
    screen, log = io.StringIO(), io.StringIO()
    console = Console(file=screen, width=100, height=40, force_terminal=terminal)
    state = state_of(events)
    return LiveView(run_dir, state, clock, console, log, debug=debug), screen, log


@pytest.mark.parametrize(("width", "height"), [(100, 40), (80, 24), (60, 20), (40, 15)])
@pytest.mark.parametrize("agent_count", [1, 8, 48, 130])
def test_a_frame_fits_the_terminal(storm_events: Build, agent_count: int, width: int, height: int) -> None:
    """No frame is higher or wider than its terminal, down to the smallest anyone works in."""
    victims = tuple(range(1, agent_count // 3))
    events = storm_events(agent_count=agent_count, victims=victims, duration_s=24.0)
    state, lines = play(events, 14.12)
    drawn = drawn_at(state, lines, 14.12, width, height)
    assert len(drawn) <= height
    assert max(len(line) for line in drawn) <= width


def test_many_agents_keep_the_sick_ones_in_sight(storm_events: Build) -> None:
    """Where not all agents fit, the victims are shown and the healthy ones are counted."""
    events = storm_events(agent_count=130, victims=(5, 128), duration_s=24.0)
    text = "\n".join(drawn_at(*play(events, 15), 15, 80, 24))
    assert "agent_128 dead" in text
    assert "agent_5   dead" in text
    assert "… and" in text


def test_long_names_keep_their_number() -> None:
    """A name too long for its cell is cut in the middle."""
    names = [f"a-very-long-agent-name-of-the-mesh-{number}" for number in range(60)]
    state = LiveState(fit(Wishes(120.0)), names, lambda task, answer: task["answer"] == answer["answer"])
    drawn = "\n".join(drawn_at(state, [], 0, 100, 30))
    assert "…" in drawn
    assert "-59" in drawn


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
    state, _ = play(storm_events(), 62.4)
    text = status_text(state, T0_S + 62.4)
    assert text.startswith("storm; storm + 2.4 s; 6 alive, 2 dead; goodput ")
    assert "(baseline 8.0/s)" in text
