"""Draws the agents of a LiveState: a line each where there is room, a cell each where there is not."""

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator.live_parts import AgentState
from orchestrator.live_state import LiveState


def opinion(state: LiveState, agent: AgentState) -> tuple[str, str]:
    """Sum up what the running others believe: ``alive``, ``suspect`` or ``dead``, and how many do not say alive."""
    count, observers = state.suspicions_of(agent.name), state.observers_of(agent.name)
    if count == 0:
        return "alive", ""
    return ("dead" if count == observers else "suspect"), f"{count} of {observers}"


def agent_table(state: LiveState, now_s: float, width: int) -> RenderableType:
    """One line per agent: what the others believe, its tools and tasks, and what the lab knows to be true."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", expand=False, width=width)
    table.add_column("agent", no_wrap=True, overflow="ellipsis", ratio=3)
    table.add_column("seen as", no_wrap=True, overflow="ellipsis", ratio=3)
    table.add_column("tool", no_wrap=True, overflow="ellipsis", ratio=3)
    table.add_column("owned", justify="right", no_wrap=True, width=7)
    table.add_column("answered", justify="right", no_wrap=True, width=8)
    table.add_column("really", no_wrap=True, overflow="ellipsis", ratio=3)
    for agent in state.agents.values():
        word, by = opinion(state, agent)
        style = _style(state, agent)
        table.add_row(
            Text.assemble((_mark(state, agent), style), " ", (agent.name, "" if agent.up else "dim")),
            Text(f"{word} {by}".strip(), style),
            Text.assemble(agent.tool, *((f" +{tool}", "green") for tool in agent.adopted)),
            str(agent.owned),
            str(agent.committed),
            Text(_really(state, agent, now_s), "dim" if agent.up else "magenta"),
        )
    return table


def agent_grid(state: LiveState, width: int, columns: int, rows: int) -> RenderableType:
    """Many agents, a cell each: mark, name, and the tool's initials with answered/owned, or what the others say.

    Where there are still too many, the healthy ones are left out first, and counted.
    """
    grid = Table.grid()
    cell = width // columns
    for _ in range(columns):
        grid.add_column(width=cell, no_wrap=True, overflow="ellipsis")
    agents, left_out = list(state.agents.values()), 0
    if len(agents) > rows * columns:
        agents.sort(key=lambda agent: agent.up and not state.suspicions_of(agent.name))
        left_out = len(agents) - rows * columns + 1
        agents = agents[: rows * columns - 1]
    cells = [_cell(state, agent, cell - 1) for agent in agents]
    if left_out:
        cells.append(Text(f"… and {left_out} more", "dim"))
    for row in range(rows):
        grid.add_row(*cells[row::rows])
    return grid


def _cell(state: LiveState, agent: AgentState, width: int) -> Text:
    style = _style(state, agent)
    word, by = opinion(state, agent)
    tools = "".join([agent.tool[:2], *(f"+{tool[:2]}" for tool in agent.adopted)])
    if word == "alive":
        tail = f"{tools} {agent.committed}/{agent.owned}"
    else:
        tail = by.replace(" of ", "/") if word == "suspect" else "dead"
    room = max(4, min(max(len(name) for name in state.agents), width - 3 - len(tail)))
    name = _shorten(agent.name, room).ljust(room)
    return Text.assemble((_mark(state, agent), style), " ", (name, "" if agent.up else "dim"), " ", (tail, style))


def _shorten(name: str, width: int) -> str:
    """Cut in the middle: numbers stand at the end of a name."""
    if len(name) <= width:
        return name
    tail = (width - 1) // 2
    return f"{name[: width - 1 - tail]}…{name[len(name) - tail :]}"


def _mark(state: LiveState, agent: AgentState) -> str:
    word, _ = opinion(state, agent)
    return {"alive": "●", "suspect": "◐", "dead": "✖"}[word] if agent.serving else "○"


def _style(state: LiveState, agent: AgentState) -> str:
    word, _ = opinion(state, agent)
    if not agent.serving:
        return "dim"
    if word == "alive":
        return "green" if agent.up else "magenta"
    if agent.up:
        return "bold red"
    return "yellow" if word == "suspect" else "red"


def _really(state: LiveState, agent: AgentState, now_s: float) -> str:
    if agent.down_at_s is not None:
        cause = "killed" if agent.name in state.killed else "ended"
        return f"{cause} {now_s - agent.down_at_s:.0f} s ago"
    if agent.name in state.killed:
        return "restarted"
    return "runs" if agent.serving else "not yet up"
