"""Plays the events of a run to the live view up to some instant, and shows what it would draw then."""

import io
from typing import Any

from rich.console import Console

from orchestrator.live_draw import frame
from orchestrator.live_lines import Line, Narrator
from orchestrator.live_state import LiveState
from orchestrator.windows import Windows

Event = dict[str, Any]
T0_S = 1003.0


def state_of(events: list[Event]) -> LiveState:
    """What the view knows of this run before anything has happened."""
    start = next(event for event in events if event["ev"] == "run_start")
    names = next([row["node_id"] for row in event["agents"]] for event in events if event["ev"] == "roster")
    return LiveState(Windows(**start["windows"]), names, lambda task, answer: task["answer"] == answer["answer"])


def play(events: list[Event], until_s: float) -> tuple[LiveState, list[Line]]:
    """Feed events up to ``until_s`` seconds after t0."""
    state = state_of(events)
    narrator, lines = Narrator(state), []
    for event in events:
        if event["t"] <= T0_S + until_s:
            state.tick(event["t"])
            state.apply(event)
            lines.extend(narrator.tell(event))
    state.tick(T0_S + until_s)
    return state, lines


def drawn_at(state: LiveState, lines: list[Line], at_s: float, width: int = 100, height: int = 40) -> list[str]:
    """The text of one frame, line by line."""
    console = Console(width=width, height=height, file=io.StringIO(), force_terminal=True, record=True)
    console.print(frame(state, lines, T0_S + at_s, width, height))
    return console.export_text().splitlines()
