"""The page of one run: self-contained, so that it opens from a disk without a network, on a phone and on paper."""

import json
from collections.abc import Callable, Mapping
from html import escape
from importlib.resources import files

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from orchestrator import report_figures as figures
from orchestrator.metrics import registry
from orchestrator.metrics.steady import METRICS_BARS, Bars, steady_from
from orchestrator.report_content import SPECIFIED, Report
from orchestrator.report_words import TAGS, beside, definition, in_words

_CONFIG = {"responsive": True, "displaylogo": False, "displayModeBar": False}
_LEAST_ZOOM_S = 2.5


def render(report: Report) -> str:
    """The whole page; equal for equal reports."""
    title = f"Fail-Storm {report.content['protocol']['name']}: {report.content['run_id']}"
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title>",
        f"<style>{_asset('report.css')}</style>",
        f"<script>{get_plotlyjs()}</script>",
        "</head><body><main>",
        _header(report),
        _headlines(report),
        _figures(report),
        _all_metrics(report),
        _sensitivity(report),
        _settings(report),
        f"</main><script>{_asset('report.js')}</script></body></html>",
    ]
    return "\n".join(parts) + "\n"


def _asset(name: str) -> str:
    return files("orchestrator").joinpath("assets", name).read_text(encoding="utf-8")


def _header(report: Report) -> str:
    content, evidence = report.content, report.evidence
    status = report.verdict.status
    tags = "".join(
        f'<span class="tag" title="{escape(TAGS.get(tag, ""))}">{escape(tag)}</span>' for tag in report.verdict.tags
    )
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in report.verdict.reasons)
    victims = f" ({escape(', '.join(evidence.victims))})" if evidence.victims else ""
    facts = [
        f"{evidence.toll}{victims}",
        f"seed {content['seed']}",
        escape(content["runtime"]),
        escape(content["run_id"]),
    ]
    listed = f'<ul class="reasons">{reasons}</ul>' if reasons else ""
    return (
        f"<header><h1>Fail-Storm: {escape(content['protocol']['name'])} "
        f'<span class="verdict {status}">{status}</span>{tags}</h1>'
        f"<p>{' · '.join(facts)}</p>{listed}</header>"
    )


def _headlines(report: Report) -> str:
    content, metrics = report.content, registry()
    cards = []
    for name in SPECIFIED:
        value = content[name]
        said = "null" if value is None else in_words(value, metrics[name].unit)
        cards.append(
            f'<div class="card" title="{escape(definition(metrics[name]))}"><h2>{name}</h2>'
            f'<p class="number{" null" if value is None else ""}">{escape(said)}</p>'
            f"<p>{escape(beside(content, name))}</p></div>"
        )
    return f'<section class="cards">{"".join(cards)}</section>'


def _figures(report: Report) -> str:
    evidence, values = report.evidence, report.values
    marks = figures.instants(evidence, values)
    drawn: list[tuple[str, str, str, Callable[[], go.Figure | None]]] = [
        (
            "timeline",
            "What the others believed of each agent",
            "A bar is the belief of all running others; the black line is the truth: the process was down.",
            lambda: figures.timeline(evidence, marks),
        ),
        (
            "goodput",
            "Goodput",
            "Correct answers in time, as a share of the tasks scheduled in the window before each instant.",
            lambda: figures.goodput(evidence, values, marks),
        ),
        (
            "detection",
            "Detection",
            "Milliseconds from the storm until each survivor suspected each victim for good.",
            lambda: figures.detection(evidence, values),
        ),
        (
            "traffic",
            "Bytes by class",
            "Payload bytes at the sockets of the mesh, each exchange counted once, at its initiator.",
            lambda: figures.traffic(evidence, values, marks),
        ),
        (
            "latency",
            "Latency before and after",
            "A curve that ends below 100 % has lost the tasks that are missing.",
            lambda: figures.latency(evidence),
        ),
    ]
    sections = [_zoom(report)]
    for name, title, caption, draw in drawn:
        sections.append(f"<section><h2>{title}</h2><p>{caption}</p>{_figure(name, draw)}</section>")
    return "\n".join(sections)


def _figure(name: str, draw: Callable[[], go.Figure | None]) -> str:
    try:
        figure = draw()
    # As with the metrics: a figure that breaks on unforeseen evidence does not cost the page.
    except (ArithmeticError, LookupError, ValueError) as error:
        return f'<p class="missing">This figure could not be drawn: {escape(repr(error))}</p>'
    if figure is None:
        return '<p class="missing">Nothing to show: see the reason in the table below.</p>'
    height = f"{figure.layout.height}px"
    html: str = figure.to_html(
        full_html=False, include_plotlyjs=False, div_id=name, config=_CONFIG, default_height=height
    )
    return html


def _zoom(report: Report) -> str:
    """Buttons that show the whole run or the storm in all figures over time at once."""
    evidence = report.evidence
    latest_s = max(mark.at_s for mark in figures.instants(evidence, report.values) if mark.label != "steady state")
    ranges = {
        "whole run": [evidence.t0_s, evidence.end_s],
        "the storm": [-2.0, min(evidence.end_s, 2 * max(latest_s, _LEAST_ZOOM_S))],
    }
    buttons = "".join(
        f'<button type="button" data-range="{escape(json.dumps(span))}">{name}</button>'
        for name, span in ranges.items()
    )
    return f"<nav>show {buttons} <span>T0, the storm, is 0 s in every figure.</span></nav>"


def _all_metrics(report: Report) -> str:
    content, metrics = report.content, registry()
    rows = []
    for name, metric in metrics.items():
        value = content[name]
        said = in_words(value, metric.unit) or "see the figures and the file"
        rows.append(
            f"<tr><th><details><summary>{name}</summary>{escape(definition(metric))}</details></th>"
            f"<td{_null_class(value)}>{escape(said)}</td><td>{escape(beside(content, name))}</td></tr>"
        )
    head = "<tr><th>metric (open for its definition)</th><th>value</th><th>beside it</th></tr>"
    return f"<section><h2>All metrics</h2>{_table(head, rows)}</section>"


def _null_class(value: object) -> str:
    return ' class="null"' if value is None else ""


def _sensitivity(report: Report) -> str:
    """How the steady state moves with the constants that define it, one at a time."""
    if not report.evidence.victims:
        return ""
    variants = (
        ("as defined", METRICS_BARS),
        ("goodput ≥ 0.85", Bars(goodput=0.85)),
        ("goodput ≥ 0.95", Bars(goodput=0.95)),
        ("p95 latency ≤ 1.1", Bars(latency=1.1)),
        ("p95 latency ≤ 1.5", Bars(latency=1.5)),
        ("success loss up to 1 point", Bars(success_drop=0.01)),
        ("success loss up to 5 points", Bars(success_drop=0.05)),
    )
    rows = []
    for name, bars in variants:
        try:
            at_s = steady_from(report.evidence, bars)
        except ValueError as error:
            return f"<section><h2>Steady state</h2><p>{escape(str(error))}</p></section>"
        said = "not reached" if at_s is None else in_words(1000 * at_s, "ms")
        rows.append(f"<tr><th>{name}</th><td>{said}</td></tr>")
    head = "<tr><th>one constant changed</th><th>steady_state_ms</th></tr>"
    return f"<section><h2>Steady state: how much it depends on its constants</h2>{_table(head, rows)}</section>"


def _settings(report: Report) -> str:
    content = report.content
    rows = [
        f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>"
        for key in ("protocol", "scenario", "windows", "host", "versions", "journal", "expect")
        for name, value in _flat(key, content[key])
    ]
    command = f"make report RUN=results/{content['run_id']}"
    again = f"<p>Everything here comes from the journal alone: <code>{escape(command)}</code></p>"
    return f"<section><h2>Scenario, versions, host</h2>{_table('', rows)}{again}</section>"


def _flat(key: str, value: object) -> list[tuple[str, str]]:
    if isinstance(value, Mapping):
        return [row for name, item in value.items() for row in _flat(f"{key}.{name}", item)]
    return [(key, json.dumps(value, ensure_ascii=False))]


def _table(head: str, rows: list[str]) -> str:
    return f'<div class="scroll"><table><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table></div>'
