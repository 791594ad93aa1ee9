"""The panels of the page that stands in for Grafana: numbers, bars and tables in HTML, curves by plotly."""

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from grafana import palette
from grafana.source import Series

_THOUSAND = 1000
_DARK = 0.55
"""From this share of the darkest shade on, the ink is white."""
_BAR_S = 1.05
"""A bar lasts until the next scrape, and a little more, since a gap between two would look like an event."""
_AXES = {"tasks/s": "tasks/s", "Bps": "bytes/s", "s": "s", "percent": "%"}


@dataclass(frozen=True, slots=True)
class View:
    """The time that is shown: ``start`` and ``end`` in Unix s, and the marks as (s after t0, label, colour)."""

    t0: float
    start: float
    end: float
    marks: Sequence[tuple[float, str, str]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What one query of a panel returned, and how its series are named."""

    legend: str
    series: Sequence[Series]

    def name(self, series: Series) -> str:
        """The legend with the labels' values in it."""
        return re.sub(r"\{\{(\w+)\}\}", lambda found: series.labels.get(found[1], ""), self.legend)


def draw(panel: Mapping[str, Any], answers: Sequence[Answer], view: View, size: tuple[float, float]) -> str:
    """The inside of a panel as HTML; ``size`` is its width and height in pixels."""
    match panel["type"]:
        case "stat":
            return _number(panel, answers)
        case "bargauge":
            return _bars(panel, answers)
        case "table":
            return _matrix(panel, answers)
        case "state-timeline":
            return _div(_states(panel, answers, view), view, size)
        case _:
            return _div(_curves(panel, answers, view), view, size)


def amount(value: float, unit: str) -> str:
    """A number with its unit, about as Grafana writes it."""
    if unit == "ms" and value >= _THOUSAND:
        return f"{value / _THOUSAND:.2f} s"
    if unit == "bytes":
        kilo = value / _THOUSAND
        return f"{kilo:.1f} kB" if kilo < _THOUSAND else f"{kilo / _THOUSAND:.2f} MB"
    return f"{value:.0f} {unit}".removesuffix(" none")


def _number(panel: Mapping[str, Any], answers: Sequence[Answer]) -> str:
    named = panel["options"]["textMode"]
    defaults = panel["fieldConfig"]["defaults"]
    words = []
    for answer in answers:
        for series in answer.series:
            name, value = html.escape(answer.name(series)), series.points[-1][1]
            shown = name if named == "name" else amount(value, defaults["unit"])
            beside = f"<small>{name}</small> " if named == "value_and_name" else ""
            words.append(f'{beside}<span style="color:{_colour_of(value, defaults)}">{shown}</span>')
    return f'<div class="number">{" ".join(words) or "<small>not yet</small>"}</div>'


def _colour_of(value: float, defaults: Mapping[str, Any]) -> str:
    steps = defaults["thresholds"]["steps"]
    return str([step["color"] for step in steps if step["value"] is None or value >= step["value"]][-1])


def _bars(panel: Mapping[str, Any], answers: Sequence[Answer]) -> str:
    rows = [(answer.name(series), series.points[-1][1]) for answer in answers for series in answer.series]
    most = max((value for _, value in rows), default=1)
    unit = panel["fieldConfig"]["defaults"]["unit"]
    return "".join(
        f'<div class="bar"><span>{html.escape(name)}</span><i style="background:{_fixed(panel, name)};'
        f'width:{60 * value / most:.2f}%"></i>{amount(value, unit)}</div>'
        for name, value in rows
    )


def _matrix(panel: Mapping[str, Any], answers: Sequence[Answer]) -> str:
    fields = panel["transformations"][0]["options"]
    row, column = fields["rowField"], fields["columnField"]
    cells = {
        (series.labels[row], series.labels[column]): series.points[-1][1]
        for answer in answers
        for series in answer.series
    }
    columns, most = sorted({of for _, of in cells}), max(cells.values(), default=1)
    unit = panel["fieldConfig"]["defaults"]["unit"]
    lines = [f"<tr><th>{row} \\ {column}</th>{''.join(f'<th>{name}</th>' for name in columns)}</tr>"]
    for name in sorted({of for of, _ in cells}):
        shaded = "".join(_cell(cells.get((name, of)), most, unit) for of in columns)
        lines.append(f"<tr><th>{name}</th>{shaded}</tr>")
    return f"<table>{''.join(lines)}</table>"


def _cell(value: float | None, most: float, unit: str) -> str:
    if value is None:
        return "<td>-</td>"
    share = value / most
    ink = "#fff" if share > _DARK else "#000"
    return f'<td style="background:rgba(0,114,178,{0.1 + 0.9 * share:.2f});color:{ink}">{amount(value, unit)}</td>'


def _states(panel: Mapping[str, Any], answers: Sequence[Answer], view: View) -> go.Figure:
    words = panel["fieldConfig"]["defaults"]["mappings"][0]["options"]
    figure = go.Figure()
    for value in sorted(words, reverse=True):
        spans = [
            (answer.name(series), at - view.t0)
            for answer in answers
            for series in answer.series
            for at, state in series.points
            if state == float(value)
        ]
        figure.add_bar(
            y=[name for name, _ in spans],
            x=[_BAR_S] * len(spans),
            base=[at for _, at in spans],
            orientation="h",
            name=words[value]["text"],
            marker={"color": words[value]["color"], "line": {"width": 0}},
        )
    return figure.update_layout(barmode="overlay", bargap=0.2).update_yaxes(autorange="reversed")


def _curves(panel: Mapping[str, Any], answers: Sequence[Answer], view: View) -> go.Figure:
    custom = panel["fieldConfig"]["defaults"]["custom"]
    stacked = custom.get("stacking", {}).get("mode") == "normal"
    figure = go.Figure()
    for answer in answers:
        for series in answer.series:
            name = answer.name(series)
            special = _overrides(panel, name)
            band = "custom.fillBelowTo" in special
            figure.add_scatter(
                x=[at - view.t0 for at, _ in series.points],
                y=[value for _, value in series.points],
                name=name,
                mode="lines",
                line={
                    "color": _fixed(panel, name),
                    "width": special.get("custom.lineWidth", custom["lineWidth"]),
                    "shape": "hv" if custom.get("lineInterpolation") == "stepAfter" else "linear",
                    "dash": "dash" if "custom.lineStyle" in special else "solid",
                },
                # The lower bound is the query before the upper one.
                fill="tonexty" if band else None,
                fillcolor="rgba(86,180,233,0.3)" if band else None,
                stackgroup="all" if stacked else None,
            )
    unit = panel["fieldConfig"]["defaults"]["unit"]
    figure.update_yaxes(
        rangemode="tozero", tickformat={"percentunit": ".0%", "Bps": "~s"}.get(unit), title=_AXES.get(unit)
    )
    return figure


def _div(figure: go.Figure, view: View, size: tuple[float, float]) -> str:
    for at, _, colour in view.marks:
        figure.add_vline(x=at, line={"color": colour, "width": 1, "dash": "dash"})
    figure.update_layout(
        width=size[0] - 4,
        height=size[1] - 4,
        margin={"l": 56, "r": 10, "t": 4, "b": 4},
        template="plotly_white",
        font={"size": 11},
        legend={"orientation": "h", "y": -0.12},
        showlegend=True,
    )
    figure.update_xaxes(range=[view.start - view.t0, view.end - view.t0])
    return str(figure.to_html(full_html=False, include_plotlyjs=False, config={"staticPlot": True}))


def _overrides(panel: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {
        item["id"]: item["value"]
        for override in panel["fieldConfig"]["overrides"]
        if override["matcher"]["options"] == name
        for item in override["properties"]
    }


def _fixed(panel: Mapping[str, Any], name: str) -> str:
    return str(_overrides(panel, name).get("color", {"fixedColor": palette.GREY})["fixedColor"])
