"""Shows the plan of a run without starting anything."""

from rich.console import Console
from rich.table import Table

from chaos import targets
from orchestrator.timeline import Timeline


def show(timeline: Timeline, console: Console) -> None:
    """Print phases, faults, roster and victims of ``timeline``."""
    for note in timeline.notes:
        console.print(note, markup=False, highlight=False)
    console.print(_phases(timeline))
    console.print(_roster(timeline))
    windows = timeline.windows
    lines = [
        f"{len(timeline.arrivals_s)} tasks, deadline {windows.task_deadline_s:g} s",
        f"rate window {windows.rate_window_s:g} s, byte window {windows.byte_window_s:g} s",
        f"steady window {windows.steady_window_s:g} s, hold {windows.steady_hold_s:g} s",
        f"conductor at port {timeline.conductor_port}, its metrics at {timeline.conductor_admin_port}",
    ]
    for order in timeline.orders:
        verb = order.fault if order.action == "inject" else f"heal after {order.fault}"
        given = order.parameters.given if order.action == "inject" else {}
        strength = "".join(f", {name} {value:g}" for name, value in given.items())
        lines.append(f"{verb} at {order.at_s:g} s: {', '.join(order.victims)}{strength}")
    if timeline.needs_proxy:
        lines.append("on local processes all links go through the proxy of the lab (docs/faults.md says what it costs)")
    for runtime in targets.LACKS:
        lines += [f"not with RUNTIME={runtime}: {reason}" for reason in timeline.obstacles(runtime)]
    lines.append("dry run: nothing was started")
    for line in lines:
        console.print(line, markup=False, highlight=False)


def _phases(timeline: Timeline) -> Table:
    table = Table(title="Timeline, seconds after the start", title_justify="left")
    table.add_column("phase")
    table.add_column("from", justify="right")
    table.add_column("to", justify="right")
    for phase in timeline.phases:
        table.add_row(phase.name, f"{phase.start_s:g}", f"{phase.end_s:g}")
    return table


def _roster(timeline: Timeline) -> Table:
    table = Table(title="Roster", title_justify="left")
    for heading in ("agent", "tool", "port", "admin", "neighbours", "fate"):
        table.add_column(heading)
    for agent in timeline.agents:
        fate = "victim" if agent.node_id in timeline.victims else ""
        links = ", ".join(agent.neighbours)
        table.add_row(agent.node_id, agent.tool, str(agent.port), str(agent.admin_port), links, fate)
    return table
