"""Draws a LiveState for a terminal of a given size: pure functions from state to rich renderables."""

import math
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator.live_agents import agent_grid, agent_table, opinion
from orchestrator.live_lines import Line, Tone
from orchestrator.live_parts import Rates
from orchestrator.live_state import CURVE_BINS, LiveState
from orchestrator.phases import baseline, last_arrival_s

TONE_STYLES: dict[Tone, str] = {"plain": "", "storm": "bold magenta", "good": "green", "bad": "bold red"}
_BLOCKS = "▁▂▃▄▅▆▇█"
_CELL_WIDTH = 19
_MIN_EVENT_LINES = 4
_FIXED_LINES = 11
"""Title, clock, rates (3), curve (3) and three blank lines between the parts."""
_CURVE_SPAN_S = 1.5
"""Each column of the curve is a mean over at least that long: few answers come in a column's own time."""
_MAX_VICTIMS_IN_DETAIL = 4
_MAX_TABLE_AGENTS = 24
"""Beyond it each agent gets a cell: a long table is hard to read, and dear to draw four times a second."""


def frame(state: LiveState, lines: Sequence[Line], now_s: float, width: int, height: int) -> RenderableType:
    """One frame of the view for journal time ``now_s``, at most ``width`` columns and ``height`` lines."""
    rows = len(state.agents) + 1
    roomy = len(state.agents) <= _MAX_TABLE_AGENTS and _FIXED_LINES + rows + _MIN_EVENT_LINES <= height
    columns = max(1, width // _CELL_WIDTH)
    if not roomy:
        rows = max(1, min(-(-len(state.agents) // columns), height - _FIXED_LINES - 1))
    event_lines = max(1, height - _FIXED_LINES - rows)
    in_detail = len(state.planned_victims) <= _MAX_VICTIMS_IN_DETAIL
    shown = [line for line in lines if in_detail or not line.detail]
    return Group(
        _title(state, width),
        _clock(state, now_s, width),
        Text(),
        _rates(state, now_s),
        _curve(state, now_s, width),
        Text(),
        agent_table(state, now_s, width) if roomy else agent_grid(state, width, columns, rows),
        Text(),
        *(_line(state, line, width) for line in shown[-event_lines:]),
    )


def stamp(t_s: float, t0_s: float | None, start_s: float) -> str:
    """Thirteen columns of time: seconds since t0, or since the start of the run while it is being set up."""
    if t0_s is None or t_s < t0_s:
        return f"set-up {max(0.0, t_s - start_s):4.1f} s"
    return f"{t_s - t0_s:11.3f} s"


def phase(state: LiveState, t_s: float | None) -> str:
    """Name the phase at ``t_s`` seconds after t0 (docs/metrics.md); None is before t0."""
    if state.ended is not None:
        return state.ended
    if t_s is None:
        return "set-up"
    windows = state.windows
    baseline_start_s, baseline_end_s = baseline(windows)
    begun = [
        name
        for start_s, name in (
            (-math.inf, "warm-up"),
            (baseline_start_s, "baseline"),
            (baseline_end_s, "control" if state.is_control else "last requests before the storm"),
            (windows.kill_at_s, "control" if state.is_control else "storm"),
            (last_arrival_s(windows), "last answers"),
        )
        if start_s <= t_s
    ]
    return begun[-1]


def status_text(state: LiveState, now_s: float) -> str:
    """Describe the state of the run in one plain line, for a log."""
    t_s = state.since_t0(now_s)
    if t_s is None:
        return _setup_text(state)
    now, before = state.current(now_s), state.baseline(now_s)
    counts = _counts(state)
    return (
        f"{phase(state, t_s)}; {_countdown(state, t_s)}; {counts}; "
        f"goodput {_per_s(now)} (baseline {_per_s(before)}), success {_percent(now)} (baseline {_percent(before)})"
    )


def _title(state: LiveState, width: int) -> Text:
    run = state.run
    parts = [f"{len(state.agents)} agents"]
    if run:
        parts = [str(run["protocol"]), *parts, f"seed {run['seed']}", str(run["runtime"]), str(run["run_id"])]
    text = Text.assemble(("Fail-Storm  ", "bold"), (" · ".join(parts), "dim"))
    text.truncate(width, overflow="ellipsis")
    return text


def _clock(state: LiveState, now_s: float, width: int) -> RenderableType:
    t_s = state.since_t0(now_s)
    if t_s is None:
        return Text(_setup_text(state), style="cyan", no_wrap=True, overflow="ellipsis")
    storm = t_s >= state.windows.kill_at_s and not state.is_control
    left = Text(_countdown(state, t_s), style="bold magenta" if storm else "bold cyan")
    right = Text(f"{phase(state, t_s)} · {min(t_s, state.windows.duration_s):.0f} of {state.windows.duration_s:g} s")
    table = Table.grid(expand=False)
    table.add_column(width=max(1, width - right.cell_len), no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_row(left, right)
    return table


def _setup_text(state: LiveState) -> str:
    serving = sum(agent.serving for agent in state.agents.values())
    stored = sum(agent.stored for agent in state.agents.values())
    total = len(state.agents)
    return f"setting up: {serving} of {total} agents serve, {stored} of {total} have the document"


def _countdown(state: LiveState, t_s: float) -> str:
    left_s = state.windows.kill_at_s - t_s
    if state.is_control:
        return f"no storm (control), {max(0.0, state.windows.duration_s - t_s):.1f} s to go"
    return f"storm in {left_s:.1f} s" if left_s > 0 else f"storm + {-left_s:.1f} s"


def _counts(state: LiveState) -> str:
    """How many are alive, suspect and dead in the eyes of the others."""
    opinions = [opinion(state, agent)[0] for agent in state.agents.values()]
    words = [f"{opinions.count(word)} {word}" for word in ("alive", "suspect", "dead") if word in opinions]
    return ", ".join(words)


def _rates(state: LiveState, now_s: float) -> RenderableType:
    now, before = state.current(now_s), state.baseline(now_s)
    table = Table.grid(padding=(0, 2))
    for _ in range(4):
        table.add_column(no_wrap=True)
    repairs = f"{state.repairs} repairs, {state.takeovers} tasks taken over"
    goodput = Text(_per_s(now), _rate_style(now.per_s, before.per_s))
    success = Text(_percent(now), _rate_style(now.success, before.success))
    table.add_row("goodput", goodput, Text(f"baseline {_per_s(before)}", "dim"), _counts(state))
    table.add_row("success", success, Text(f"baseline {_percent(before)}", "dim"), repairs)
    return Group(table, Text())


def _per_s(rates: Rates) -> str:
    return "-" if rates.per_s is None else f"{rates.per_s:.1f}/s"


def _percent(rates: Rates) -> str:
    return "-" if rates.success is None else f"{100 * rates.success:.1f} %"


def _rate_style(now: float | None, before: float | None) -> str:
    """Green from 90 % of the baseline on, as in the definition of the steady state; yellow from a half."""
    if now is None or not before:
        return "bold"
    return "bold green" if now >= 0.9 * before else "bold yellow" if now >= 0.5 * before else "bold red"


def _curve(state: LiveState, now_s: float, width: int) -> RenderableType:
    """Goodput over the run, the progress bar beneath it, and the marks of time: one column, one time."""
    windows, t_s = state.windows, state.since_t0(now_s) or 0.0
    kill_column = min(width - 1, int(windows.kill_at_s / windows.duration_s * width))
    done = min(width, int(t_s / windows.duration_s * width))
    span = max(1, round(_CURVE_SPAN_S / windows.duration_s * width))
    levels = [_mean(state.curve, column + 1 - span, column + 1, width) for column in range(done)]
    calm = levels[: max(kill_column, 1)]
    top = 1.25 * sum(calm) / len(calm) if calm else 0.0
    bars, progress = Text(no_wrap=True), Text(no_wrap=True)
    for column in range(width):
        style = "magenta" if column >= kill_column and not state.is_control else "cyan"
        if (column + 1) / width > last_arrival_s(windows) / windows.duration_s:
            style = "bright_black"
        if column < done:
            level = min(1.0, levels[column] / top) if top else 0.0
            bars.append(_BLOCKS[round(level * (len(_BLOCKS) - 1))] if level else " ", style)
        progress.append("━" if column < done else "╌", style)
    labels = Text("start", style="dim")
    storm = "no storm" if state.is_control else f"storm {windows.kill_at_s:g} s"
    labels.pad_right(max(1, kill_column - labels.cell_len))
    labels.append(storm, "dim" if state.is_control else "magenta")
    end = f"end {windows.duration_s:g} s"
    labels.pad_right(max(1, width - labels.cell_len - len(end)))
    labels.append(end, "dim")
    labels.truncate(width)
    return Group(bars, progress, labels)


def _mean(curve: Sequence[int], first: int, last: int, width: int) -> float:
    """Mean of the curve's bins in the columns [first, last) of ``width``; a bin counts by its share in them."""
    start, end = max(0, first) * CURVE_BINS / width, last * CURVE_BINS / width
    total = 0.0
    for index in range(int(start), min(CURVE_BINS, int(end) + 1)):
        total += curve[index] * max(0.0, min(end, index + 1) - max(start, index))
    return total / (end - start)


def _line(state: LiveState, line: Line, width: int) -> Text:
    t_s = state.since_t0(line.t_s)
    time = "  set-up" if t_s is None or t_s < 0 else f"{t_s:8.3f}"
    text = Text.assemble((time, "dim"), "  ", (line.text, TONE_STYLES[line.tone]))
    text.truncate(width, overflow="ellipsis")
    return text
