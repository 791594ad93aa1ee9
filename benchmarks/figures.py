"""The picture of one bench: a page that needs no network."""

from html import escape

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs
from plotly.subplots import make_subplots

from benchmarks.results import Bench
from benchmarks.tables import Table, tables
from orchestrator.report_figures import BLACK, BLUE, GREEN, ORANGE, PURPLE, SKY, TRAFFIC_COLOURS, VERMILION

CONFIG = {"responsive": True, "displaylogo": False, "displayModeBar": False}
_COLOURS = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, BLACK)
STYLE = """
body { font-family: system-ui, sans-serif; max-width: 70rem; margin: 1rem auto; padding: 0 1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: 1rem 0; }
caption { text-align: left; font-weight: 600; padding: .4rem 0; }
th, td { padding: .2rem .7rem; border-bottom: 1px solid #ddd; text-align: right; }
th:first-child, td:first-child { text-align: left; }
div.wide { overflow-x: auto; }
"""


def page(bench: Bench) -> str:
    """Figures and tables; equal for equal results."""
    found = [draw(bench) for measured, draw in _FIGURES if getattr(bench, measured)]
    body = [
        figure.to_html(full_html=False, include_plotlyjs=False, config=CONFIG, div_id=f"figure-{number}")
        for number, figure in enumerate(found)
    ]
    title = f"Fail-Storm: what the adapters cost, {bench.made_at:%d %b %Y}"
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title><style>{STYLE}</style><script>{get_plotlyjs()}</script>",
            f"</head><body><h1>{escape(title)}</h1>",
            *body,
            *(drawn(table) for table in tables(bench)),
            "</body></html>\n",
        ]
    )


def drawn(table: Table) -> str:
    """One table of the page."""
    title, columns, rows = table
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><caption>{escape(title)}</caption><tr>{head}</tr>{body}</table></div>'


def _round_trips(bench: Bench) -> go.Figure:
    """Every call, adapter beside bare SDK."""
    figure = go.Figure()
    for name, colour in (("bare", SKY), ("adapter", BLUE)):
        samples = [
            (trip.subject, ms)
            for trip in bench.round_trips
            for block in (trip.turns.bare_ms if name == "bare" else trip.turns.adapter_ms)
            for ms in block
        ]
        figure.add_box(
            x=[subject for subject, _ in samples], y=[ms for _, ms in samples], name=name,
            marker_color=colour, boxpoints=False,
        )  # fmt: skip
    figure.update_yaxes(title="ms a round trip", type="log")
    figure.update_layout(boxmode="group", title="Round trip of one small message: the bare SDK and the adapter")
    return styled(figure)


def _costs(bench: Bench) -> go.Figure:
    """Bytes of each act by class, and its time."""
    figure = make_subplots(rows=1, cols=2, subplot_titles=("bytes at the socket", "ms (p50)"))
    rows = [(f"{costs.subject}: {cost.act}", cost) for costs in bench.costs for cost in costs.acts]
    names = [name for name, _ in rows]
    for traffic, colour in TRAFFIC_COLOURS.items():
        moved = [cost.bytes_by_class.get(traffic, 0) for _, cost in rows]
        if any(moved):
            figure.add_bar(y=names, x=moved, name=traffic, marker_color=colour, orientation="h", row=1, col=1)
    figure.add_bar(
        y=names, x=[cost.spread.p50_ms for _, cost in rows], marker_color=BLACK, orientation="h",
        showlegend=False, row=1, col=2,
    )  # fmt: skip
    figure.update_xaxes(type="log", col=2)
    figure.update_yaxes(autorange="reversed")
    figure.update_yaxes(showticklabels=False, col=2)
    figure.update_layout(barmode="stack", title="What the acts of recovery cost", height=200 + 22 * len(rows))
    return styled(figure)


def _endurances(bench: Bench) -> go.Figure:
    """Latency and memory along thousands of messages."""
    figure = make_subplots(rows=1, cols=2, subplot_titles=("p50 of neighbouring messages, ms", "resident memory, MB"))
    for colour, endurance in zip(_COLOURS, bench.endurances, strict=False):
        for column, curves in ((1, endurance.latency_curve), (2, endurance.memory_curve)):
            for dash, (name, points) in zip(("solid", "dot"), curves.items(), strict=True):
                figure.add_scatter(
                    x=[number for number, _ in points], y=[value for _, value in points], mode="lines",
                    line={"color": colour, "dash": dash}, name=f"{endurance.subject}: {name}", row=1, col=column,
                )  # fmt: skip
    figure.update_xaxes(title="message")
    figure.update_yaxes(rangemode="tozero")
    figure.update_layout(title="Thousands of messages in a row", height=520)
    return styled(figure)


def styled(figure: go.Figure) -> go.Figure:
    """In the look of all figures here."""
    return figure.update_layout(template="plotly_white", font={"family": "system-ui, sans-serif", "size": 13})


_FIGURES = (("round_trips", _round_trips), ("costs", _costs), ("endurances", _endurances))
