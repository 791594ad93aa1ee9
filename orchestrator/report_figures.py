"""The figures of the report: pure functions from the evidence to plotly figures."""

from collections.abc import Mapping, Sequence
from itertools import chain, groupby, pairwise
from typing import Literal, NamedTuple

import plotly.graph_objects as go

from orchestrator.events.conductor import HealDone
from orchestrator.evidence import Evidence
from orchestrator.metrics import Value
from orchestrator.suspicions import Suspicion
from orchestrator.tasks import Phase

# Okabe and Ito's palette: the colours stay apart for colour-blind readers (Wong, Nature Methods 8, 441, 2011).
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILION, PURPLE, GREY = "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#999999"

Belief = Literal["alive", "suspect", "dead"]
BELIEF_COLOURS: Mapping[Belief, str] = {"alive": GREEN, "suspect": ORANGE, "dead": VERMILION}
_BELIEF_PATTERNS: Mapping[Belief, str] = {"alive": "", "suspect": "/", "dead": "x"}
"""On grey paper the colours are alike."""
TRAFFIC_COLOURS: Mapping[str, str] = {
    "task": BLUE, "heartbeat": SKY, "membership": GREEN, "handshake": VERMILION, "discovery": PURPLE,
    "resume": YELLOW, "retry": ORANGE, "broadcast": GREY, "unclassified": BLACK,
}  # fmt: skip
_LABELLED_VICTIMS = 8


class Span(NamedTuple):
    """What the others believe of an agent over [begin, end), seconds since T0."""

    begin: float
    end: float
    belief: Belief
    suspecting: int
    observers: int


class Mark(NamedTuple):
    """An instant worth a line through the figure; ``at_s`` counts from T0."""

    at_s: float
    label: str
    colour: str
    dash: str = "solid"


def timeline(evidence: Evidence, marks: Sequence[Mark]) -> go.Figure:
    """One bar per agent, coloured by what the others believe of it; a black line while its process was down."""
    figure = go.Figure()
    names = [member.node_id for member in evidence.agents]
    spans = {name: beliefs(evidence, name) for name in names}
    for belief, colour in BELIEF_COLOURS.items():
        rows = [(name, span) for name in names for span in spans[name] if span.belief == belief]
        figure.add_bar(
            orientation="h", name=f"seen as {belief}", marker_color=colour, marker_line_width=0,
            marker_pattern={"shape": _BELIEF_PATTERNS[belief], "size": 7, "solidity": 0.25},
            y=[name for name, _ in rows], base=[span.begin for _, span in rows],
            x=[round(span.end - span.begin, 6) for _, span in rows],
            customdata=[f"{span.suspecting} of {span.observers} suspect it" for _, span in rows],
            hovertemplate="%{y} %{fullData.name} from %{base:.3f} s<br>%{customdata}<extra></extra>",
        )  # fmt: skip
    down_x: list[float | None] = []
    down_y: list[str | None] = []
    for name, outages in evidence.outages.items():
        for outage in outages:
            down_x += [outage.begin, min(outage.end, evidence.end_s), None]
            down_y += [name, name, None]
    if down_x:
        figure.add_scatter(
            x=down_x, y=down_y, mode="lines", name="struck", line={"color": BLACK, "width": 4}, hoverinfo="skip"
        )
    figure.update_layout(barmode="overlay", bargap=0.25, height=150 + 26 * len(names))
    figure.update_yaxes(categoryorder="array", categoryarray=names[::-1], type="category")
    return _over_time(figure, evidence, marks)


def beliefs(evidence: Evidence, peer: str) -> tuple[Span, ...]:
    """What the running others believed of ``peer``, from t0 to the end of the evidence, equal neighbours joined."""
    others = [member.node_id for member in evidence.agents if member.node_id != peer]
    held = [span for span in evidence.suspicions if span.peer == peer]
    edges = {evidence.t0_s, evidence.end_s}
    for span in held:
        edges |= {span.begin, span.end}
    for outage in chain(*evidence.outages.values()):
        edges |= {outage.begin, outage.end}
    times = sorted(time for time in edges if evidence.t0_s <= time <= evidence.end_s)
    pieces = [_belief(evidence, others, held, begin, end) for begin, end in pairwise(times)]
    joined = []
    for _, group in groupby(pieces, key=lambda piece: piece[2:]):
        run = list(group)
        joined.append(Span(run[0].begin, run[-1].end, *run[0][2:]))
    return tuple(joined)


def _belief(evidence: Evidence, others: Sequence[str], held: Sequence[Suspicion], begin: float, end: float) -> Span:
    observers = [name for name in others if evidence.is_up(name, begin)]
    suspecting = {span.node for span in held if span.begin <= begin < span.end}
    count = sum(1 for name in observers if name in suspecting)
    belief: Belief = "alive" if count == 0 else "dead" if count == len(observers) else "suspect"
    return Span(begin, end, belief, count, len(observers))


def goodput(evidence: Evidence, values: Mapping[str, Value], marks: Sequence[Mark]) -> go.Figure | None:
    """The goodput curve against the baseline, the loss after T0 shaded; None without a curve."""
    result = values["goodput"].value
    if not isinstance(result, dict) or not result["curve"]:
        return None
    points = [(at_s, 100 * share) for at_s, share in result["curve"]]
    figure = go.Figure()
    if result["baseline"] is not None:
        _add_loss(figure, 100 * result["baseline"], [point for point in points if point[0] >= 0])
    figure.add_scatter(
        x=[at_s for at_s, _ in points], y=[share for _, share in points], mode="lines", name="goodput",
        line={"color": BLUE, "width": 2}, hovertemplate="%{x:.1f} s: %{y:.1f} %<extra></extra>",
    )  # fmt: skip
    figure.update_yaxes(title="% of scheduled", range=[0, 105])
    figure.update_layout(height=380)
    return _over_time(figure, evidence, marks)


def _add_loss(figure: go.Figure, level: float, after: Sequence[tuple[float, float]]) -> None:
    """The band from 90 % of the baseline up to it, and the area between the baseline and a lower curve."""
    times = [at_s for at_s, _ in after]
    figure.add_scatter(x=times, y=[level] * len(times), mode="lines", line_width=0, showlegend=False, hoverinfo="skip")
    figure.add_scatter(
        x=times, y=[min(level, share) for _, share in after], mode="lines", line_width=0, fill="tonexty",
        fillcolor="rgba(213,94,0,0.35)", name="degraded area", hoverinfo="skip",
    )  # fmt: skip
    figure.add_hrect(
        y0=0.9 * level, y1=level, fillcolor=SKY, opacity=0.25, line_width=0, layer="below",
        annotation_text=f"baseline {level:.1f} %, down to 90 % of it", annotation_position="bottom left",
    )  # fmt: skip


def detection(evidence: Evidence, values: Mapping[str, Value]) -> go.Figure | None:
    """Milliseconds from T0 until each survivor suspected each victim for good; a hole was never detected."""
    result = values["detection_ms"].value
    if not isinstance(result, dict):
        return None
    found = {(survivor, victim): (after, mechanism) for survivor, victim, after, mechanism in result["pairs"]}
    pairs = [[found[survivor, victim] for victim in evidence.victims] for survivor in evidence.survivors]
    figure = go.Figure(
        go.Heatmap(
            x=list(evidence.victims), y=list(evidence.survivors), z=[[after for after, _ in row] for row in pairs],
            text=[["never" if after is None else f"{after:,.0f}" for after, _ in row] for row in pairs],
            customdata=[[mechanism or "not detected" for _, mechanism in row] for row in pairs],
            texttemplate="%{text}" if len(evidence.victims) <= _LABELLED_VICTIMS else None,
            colorscale="Cividis", hoverongaps=True, xgap=1, ygap=1, colorbar={"title": "ms"},
            hovertemplate="%{y} on %{x}: %{text} ms (%{customdata})<extra></extra>",
        )
    )  # fmt: skip
    figure.update_xaxes(title="victim", type="category")
    figure.update_yaxes(title="survivor", type="category", autorange="reversed")
    figure.update_layout(height=160 + 24 * len(evidence.survivors))
    return styled(figure)


def connectivity(evidence: Evidence, values: Mapping[str, Value], marks: Sequence[Mark]) -> go.Figure | None:
    """The share of the pairs of survivors that live links connect, before T0 and from then on; None without any."""
    result = values["connectivity"].value
    if not isinstance(result, dict):
        return None
    points = [[evidence.t0_s, result["baseline"]], *result["curve"], [evidence.end_s, result["end"]]]
    figure = go.Figure()
    figure.add_scatter(
        x=[at_s for at_s, _ in points], y=[100 * share for _, share in points], mode="lines", name="connected pairs",
        line={"shape": "hv", "color": BLUE, "width": 2}, hovertemplate="%{x:.2f} s: %{y:.0f} %<extra></extra>",
    )  # fmt: skip
    figure.update_yaxes(title="% of pairs", range=[0, 105])
    figure.update_layout(height=320)
    return _over_time(figure, evidence, marks)


def traffic(evidence: Evidence, values: Mapping[str, Value], marks: Sequence[Mark]) -> go.Figure | None:
    """Bytes of the mesh in each second by class, stacked; each exchange counted once, at its initiator."""
    result = values["bytes_series"].value
    if not isinstance(result, dict) or not result["bytes"]:
        return None
    figure = go.Figure()
    for name, colour in TRAFFIC_COLOURS.items():
        counts = result["bytes"].get(name)
        if counts is not None:
            figure.add_bar(
                x=[result["start_s"] + (index + 0.5) * result["step_s"] for index in range(len(counts))], y=counts,
                name=name, marker_color=colour, marker_line_width=0,
                hovertemplate="second at %{x:.0f} s: %{y:,} bytes %{fullData.name}<extra></extra>",
            )  # fmt: skip
    figure.update_yaxes(title="bytes a second")
    figure.update_layout(barmode="stack", bargap=0, height=380)
    return _over_time(figure, evidence, marks)


def latency(evidence: Evidence) -> go.Figure:
    """Share of the scheduled tasks that had an answer after so long, before and after T0; the rest never had one."""
    figure = go.Figure()
    phases: tuple[tuple[Phase, str, str, str], ...] = (
        ("pre", "before", BLUE, "solid"), ("post", "after", VERMILION, "dash"),
    )  # fmt: skip
    for phase, label, colour, dash in phases:
        tasks = evidence.decided(phase)
        seen = sorted(1000 * task.latency_s for task in tasks if task.latency_s is not None)
        if seen:
            figure.add_scatter(
                x=[round(latency_ms, 3) for latency_ms in seen],
                y=[100 * (index + 1) / len(tasks) for index in range(len(seen))],
                mode="lines", line={"shape": "hv", "color": colour, "width": 2, "dash": dash},
                name=f"{label}: {len(seen)} of {len(tasks)} answered",
                hovertemplate="%{y:.1f} % within %{x:,.0f} ms<extra></extra>",
            )  # fmt: skip
    deadline_ms = 1000 * evidence.windows.task_deadline_s
    figure.add_vline(x=deadline_ms, line={"color": BLACK, "dash": "dot"}, annotation_text="deadline")
    figure.update_xaxes(title="ms from arrival to answer", rangemode="tozero")
    figure.update_yaxes(title="% of the scheduled tasks", range=[0, 105])
    figure.update_layout(height=380)
    return styled(figure)


def instants(evidence: Evidence, values: Mapping[str, Value]) -> tuple[Mark, ...]:
    """The kill, the first detection, the first repair, the steady state, and the restarts, as far as they came."""
    marks = [Mark(0.0, "storm" if evidence.victims else "no storm (planned instant)", BLACK)]
    detected, repaired = values["detection_ms"].value, values["recovery_ms"].value
    if isinstance(detected, dict):
        marks.append(Mark(detected["first"] / 1000, "first detection", ORANGE, "dot"))
    if isinstance(repaired, int | float):
        marks.append(Mark(repaired / 1000, "first repair", BLUE, "dash"))
    healed = sorted(row.t for row in evidence.rows(HealDone))
    if healed:
        marks.append(Mark(healed[0], "first healing done", PURPLE, "dashdot"))
    steady = values["steady_state_ms"].value
    if evidence.victims and isinstance(steady, int | float):
        marks.append(Mark(steady / 1000, "steady state", GREEN, "longdash"))
    return tuple(marks)


def _over_time(figure: go.Figure, evidence: Evidence, marks: Sequence[Mark]) -> go.Figure:
    """Give a figure the common axis of time, and the marks; the legend names them, where names cannot collide."""
    for mark in marks:
        line = {"color": mark.colour, "width": 2, "dash": mark.dash}
        figure.add_vline(x=mark.at_s, line=line)
        figure.add_scatter(x=[None], y=[None], mode="lines", name=f"{mark.label} {mark.at_s:.2f} s", line=line)
    figure.update_xaxes(title="seconds after the storm", range=[evidence.t0_s, evidence.end_s])
    return styled(figure)


def styled(figure: go.Figure) -> go.Figure:
    """Give a figure the look that all pages of the lab share, and return it."""
    figure.update_layout(
        template="plotly_white",
        font={"family": "system-ui, sans-serif", "size": 13},
        margin={"l": 10, "r": 10, "t": 30, "b": 10},
        legend={"orientation": "h", "x": 0, "y": 1.01, "yanchor": "bottom", "traceorder": "normal"},
    )
    figure.update_xaxes(automargin=True)
    figure.update_yaxes(automargin=True)
    return figure
