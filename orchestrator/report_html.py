"""The page of one run: self-contained, so that it opens from a disk without a network, on a phone and on paper."""

import json
from collections.abc import Callable, Mapping, Sequence
from html import escape

import plotly.graph_objects as go

from orchestrator import report_figures as figures
from orchestrator import report_markup as markup
from orchestrator.metrics import registry
from orchestrator.metrics.sensitivity import Variant, recovery_variants, steady_variants
from orchestrator.report_content import SPECIFIED, Report
from orchestrator.report_markup import Cell
from orchestrator.report_words import TAGS, beside, in_words

_LEAST_ZOOM_S = 2.5


def render(report: Report) -> str:
    """The whole page; equal for equal reports."""
    title = f"Fail-Storm {report.content['protocol']['name']}: {report.content['run_id']}"
    return markup.page(
        title,
        [
            _header(report),
            _headlines(report),
            _figures(report),
            _all_metrics(report),
            _sensitivity("recovery_ms", recovery_variants(report.evidence)),
            _sensitivity("steady_state_ms", steady_variants(report.evidence)),
            _settings(report),
        ],
    )


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
            f'<div class="card"><h2>{markup.named(name)}</h2>'
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
            "connectivity",
            "Connectivity",
            "Pairs of survivors that live links connect, over others too; before T0 the share just before it.",
            lambda: figures.connectivity(evidence, values, marks),
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
        sections.append(f"<section><h2>{title}</h2><p>{caption}</p>{_figure(name, caption, draw)}</section>")
    return "\n".join(sections)


def _figure(name: str, caption: str, draw: Callable[[], go.Figure | None]) -> str:
    try:
        figure = draw()
    # As with the metrics: a figure that breaks on unforeseen evidence does not cost the page.
    except (ArithmeticError, LookupError, ValueError) as error:
        return f'<p class="missing">This figure could not be drawn: {escape(repr(error))}</p>'
    if figure is None:
        return '<p class="missing">Nothing to show: see the reason in the table below.</p>'
    return markup.drawn(figure, name, caption)


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
    content = report.content
    rows = []
    for name, metric in registry().items():
        value = content[name]
        said = in_words(value, metric.unit) or "see the figures and the file"
        rows.append(
            (
                Cell(markup.named(name)),
                Cell(escape(said), "null" if value is None else ""),
                Cell(escape(beside(content, name))),
            )
        )
    head = ("metric (open for its definition)", "value", "beside it")
    return f"<section><h2>All metrics</h2>{markup.table(head, rows)}</section>"


def _sensitivity(metric: str, variants: Sequence[Variant]) -> str:
    """How a number moves with the choices of its definition, one at a time; nothing where a run has none."""
    if not variants:
        return ""
    rows = [
        (Cell(escape(found.name)), Cell("not reached" if found.ms is None else in_words(found.ms, "ms")))
        for found in variants
    ]
    shown = markup.table(("one choice made otherwise", metric), rows)
    return f"<section><h2>{metric}: how much it depends on its definition</h2>{shown}</section>"


def _settings(report: Report) -> str:
    content = report.content
    rows = [
        (Cell(escape(name)), Cell(escape(value)))
        for key in ("protocol", "scenario", "windows", "host", "versions", "journal", "expect")
        for name, value in _flat(key, content[key])
    ]
    command = f"make report RUN=results/{content['run_id']}"
    again = f"<p>Everything here comes from the journal alone: <code>{escape(command)}</code></p>"
    return f"<section><h2>Scenario, versions, host</h2>{markup.table((), rows)}{again}</section>"


def _flat(key: str, value: object) -> list[tuple[str, str]]:
    if isinstance(value, Mapping):
        return [row for name, item in value.items() for row in _flat(f"{key}.{name}", item)]
    return [(key, json.dumps(value, ensure_ascii=False))]
