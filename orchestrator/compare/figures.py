"""The figures of a comparison: pure functions from the content of ``comparison.json`` to plotly figures."""

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from orchestrator.compare import words
from orchestrator.report_figures import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, styled

_COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, GREY, BLACK)
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
_SYMBOLS: Mapping[str, tuple[str, str]] = {
    "counted": ("circle", "a run"),
    "censored": ("triangle-right", "had not come by then"),
    "starved": ("circle-open", "starved: shown, not counted"),
}
_NO_CURVE = "rgba(0,0,0,0)"


def colour(arms: Sequence[str], arm: str) -> str:
    """The same in every figure."""
    return _COLOURS[arms.index(arm) % len(_COLOURS)]


def spread(comparison: Mapping[str, Any], mode: str, metric: str) -> go.Figure | None:
    """Every run as a point, and the median with its interval; None without a number."""
    cells = [cell for cell in comparison["cells"] if (cell["mode"], cell["metric"]) == (mode, metric)]
    if not any(cell["values"] for cell in cells):
        return None
    figure = go.Figure()
    for status, (symbol, label) in _SYMBOLS.items():
        points = [(cell, seen) for cell in cells for seen in cell["values"] if seen["status"] == status]
        if points:
            figure.add_scatter(
                x=[seen["value"] for _, seen in points], y=[cell["arm"] for cell, _ in points], mode="markers",
                name=label, marker={"symbol": symbol, "size": 9, "opacity": 0.75,
                                    "color": [colour(comparison["arms"], cell["arm"]) for cell, _ in points]},
                customdata=[seen["seed"] for _, seen in points],
                hovertemplate="%{y}, seed %{customdata}: %{x:,.4~f} " + cells[0]["unit"] + "<extra></extra>",
            )  # fmt: skip
    _add_medians(figure, cells)
    figure.update_xaxes(title=f"{metric}, {cells[0]['unit']}", rangemode="tozero")
    figure.update_yaxes(categoryorder="array", categoryarray=comparison["arms"][::-1], type="category")
    figure.update_layout(height=150 + 40 * len(cells))
    return styled(figure)


def _add_medians(figure: go.Figure, cells: Sequence[Mapping[str, Any]]) -> None:
    """Open-ended intervals end at the longest wait; the table says so."""
    known = [cell for cell in cells if cell["middle"] is not None and cell["middle"]["median"] is not None]
    if not known:
        return
    medians = [cell["middle"]["median"] for cell in known]
    ends = [
        [cell["censored_at"] if cell["middle"][end] is None else cell["middle"][end] for end in ("low", "high")]
        if cell["middle"]["has_interval"]
        else [cell["middle"]["median"]] * 2
        for cell in known
    ]
    figure.add_scatter(
        x=medians, y=[cell["arm"] for cell in known], mode="markers", name="median, 95 % interval",
        marker={"symbol": "line-ns", "size": 22, "line": {"width": 3, "color": BLACK}},
        error_x={"type": "data", "symmetric": False, "thickness": 1.5, "width": 8, "color": BLACK,
                 "array": [high - median for median, (_, high) in zip(medians, ends, strict=True)],
                 "arrayminus": [median - low for median, (low, _) in zip(medians, ends, strict=True)]},
        text=[words.cell(cell) for cell in known], hovertemplate="%{y}: %{text}<extra></extra>",
    )  # fmt: skip


def survival(comparison: Mapping[str, Any], mode: str, metric: str) -> go.Figure | None:
    """Kaplan-Meier: the share of runs in which it had not come, with pointwise intervals; None without a time."""
    rows = [row for row in comparison["survival"] if (row["mode"], row["metric"]) == (mode, metric)]
    if not rows:
        return None
    figure = go.Figure()
    for row in rows:
        own = colour(comparison["arms"], row["arm"])
        dash = _DASHES[comparison["arms"].index(row["arm"]) % len(_DASHES)]
        _add_band(figure, row, own)
        figure.add_scatter(
            x=[0.0, *row["times"]], y=[100.0, *(100 * share for share in row["share"])], mode="lines",
            line={"shape": "hv", "color": own, "width": 2, "dash": dash}, legendgroup=row["arm"],
            name=f"{row['arm']}: {row['n'] - row['n_censored']} of {row['n']} came",
            hovertemplate="%{y:.0f} % after %{x:,.0f} ms<extra>" + row["arm"] + "</extra>",
        )  # fmt: skip
    figure.update_xaxes(title="ms after the storm", rangemode="tozero")
    figure.update_yaxes(title="% of runs still waiting", range=[0, 105])
    figure.update_layout(height=360)
    return styled(figure)


def _add_band(figure: go.Figure, row: Mapping[str, Any], own: str) -> None:
    bounds = [
        (time, 100 * low, 100 * high)
        for time, low, high in zip(row["times"], row["low"], row["high"], strict=True)
        if low is not None and high is not None
    ]
    if not bounds:
        return
    times = [time for time, _, _ in bounds]
    common = {"mode": "lines", "hoverinfo": "skip", "showlegend": False, "legendgroup": row["arm"]}
    line = {"shape": "hv", "color": _NO_CURVE, "width": 0}
    figure.add_scatter(x=times, y=[high for _, _, high in bounds], line=line, **common)
    red, green, blue = (int(own[place : place + 2], 16) for place in (1, 3, 5))
    figure.add_scatter(
        x=times, y=[low for _, low, _ in bounds], line=line, fill="tonexty",
        fillcolor=f"rgba({red},{green},{blue},0.15)", **common,
    )  # fmt: skip
