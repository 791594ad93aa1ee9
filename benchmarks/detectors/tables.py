"""The tables and the picture of the detectors' bench."""

from collections.abc import Iterator
from html import escape
from statistics import median

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from benchmarks.detectors.results import MAX_DETECTION_RATIO, Calm, Report, alike, linked_ms, p95
from benchmarks.figures import CONFIG, STYLE, drawn, styled
from benchmarks.tables import Table, as_markdown
from orchestrator.report_figures import BLACK, BLUE, GREEN, ORANGE

_COLOURS = {"fixed": BLUE, "phi": ORANGE, "swim": GREEN}


def tables(report: Report) -> Iterator[Table]:
    """Those for which something was measured."""
    if report.silences:
        yield _silences(report)
    if report.calms:
        yield _calms(report)
    if report.prices:
        yield _prices(report)


def markdown(report: Report) -> str:
    """All tables, with what they hold for; ends in a newline."""
    length = "long form" if report.full else "short form"
    host = f"{report.host['cpu_count']} cores, Python {report.host['python']}"
    head = f"Measured on {report.made_at:%d %b %Y} on a host of {host}; {length}."
    return "\n\n".join([head, *(as_markdown(table) for table in tables(report))]) + "\n"


def page(report: Report) -> str:
    """Picture and tables, without any need of a network."""
    figure = _curve(report).to_html(full_html=False, include_plotlyjs=False, config=CONFIG, div_id="figure-0")
    title = f"Fail-Storm: what the failure detectors are worth, {report.made_at:%d %b %Y}"
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title><style>{STYLE}</style><script>{get_plotlyjs()}</script>",
            f"</head><body><h1>{escape(title)}</h1>",
            figure,
            *(drawn(table) for table in tables(report)),
            "</body></html>\n",
        ]
    )


def _curve(report: Report) -> go.Figure:
    figure = go.Figure()
    for kind, colour in _COLOURS.items():
        points = [price for price in report.prices if price.kind == kind and not price.adaptive and not price.slow]
        figure.add_scatter(
            x=[price.cost_bytes_per_s for price in points], y=[p95(price.detection_ms) for price in points],
            text=[f"{price.interval_s:g} s" for price in points], mode="lines+markers+text", name=kind,
            textposition="top right", line={"color": colour},
        )  # fmt: skip
    for price in report.prices:
        if price.adaptive and not price.slow:
            figure.add_scatter(
                x=[price.cost_bytes_per_s], y=[p95(price.detection_ms)], mode="markers",
                name="fixed, adaptive interval", marker={"color": BLACK, "symbol": "x"},
            )  # fmt: skip
    figure.update_xaxes(title="bytes a second and agent while nothing happens", type="log")
    figure.update_yaxes(title="detection of a freeze, ms (p95)", rangemode="tozero")
    figure.update_layout(title="Simulated: what a detector costs, and how fast it is, at four intervals")
    return styled(figure)


def _silences(report: Report) -> Table:
    rows = []
    for runs in alike(report):
        found = [detection for run in runs for detection in run.detections]
        own = [
            item.taken_ms for item in found if item.linked and item.mechanism == "probe" and item.taken_ms is not None
        ]
        others = [item.taken_ms for item in found if not item.linked and item.taken_ms is not None]
        linked = linked_ms(runs)
        bound_ms = max(run.bound_ms for run in runs)
        rows.append(
            (
                runs[0].kind,
                runs[0].fault,
                f"{bound_ms:.0f}",
                f"{median(linked):.0f} / {p95(linked):.0f}",
                f"{p95(linked) / bound_ms:.2f}",
                _spread(own),
                _spread(others),
                f"{sum(item.taken_ms is None for item in found)}",
                f"{len(linked)}",
            )
        )
    return Table(
        f"An agent that is frozen (SIGSTOP) or cut off, mode probe: ms until it is held for dead, p50 / p95 (bound: "
        f"p95 of the linked pairs at most {MAX_DETECTION_RATIO:.1f} times the documented one)",
        ("detector", "fault", "documented", "linked pairs", "p95 / documented", "of them by own probes",
         "others, by news", "never", "pairs"),
        tuple(rows),
    )  # fmt: skip


def _spread(taken_ms: list[float]) -> str:
    return f"{median(taken_ms):.0f} / {p95(taken_ms):.0f} ({len(taken_ms)})" if taken_ms else "none"


def _calms(report: Report) -> Table:
    return Table(
        "Nobody is hurt: false suspicions (bound: 0), and what the detector costs",
        ("detector", "cores", "s", "false suspicions", "doubts", "excused", "bytes a second and agent", "CPU %"),
        tuple(_calm(calm) for calm in report.calms),
    )


def _calm(calm: Calm) -> tuple[str, ...]:
    return (
        calm.kind,
        "all taken by another program" if calm.loaded else "free",
        f"{calm.duration_s:.0f}",
        f"{calm.suspicions}",
        f"{calm.doubts}",
        f"{calm.excused}",
        f"{calm.cost_bytes_per_s:.0f}",
        f"{calm.cpu_percent:.0f}",
    )


def _prices(report: Report) -> Table:
    return Table(
        "Simulated: cost while nothing happens, detection of a freeze by linked agents, and who is wronged in two "
        "minutes in which 5 % of the probes get lost",
        (
            "detector",
            "interval",
            "round trip, ms",
            "bytes a second and agent",
            "p50 / p95, ms",
            "never",
            "documented, ms",
            "wronged",
        ),
        tuple(
            (
                price.kind,
                "adaptive" if price.adaptive else f"{price.interval_s:g} s",
                "200" if price.slow else "2",
                f"{price.cost_bytes_per_s:.0f}",
                f"{median(price.detection_ms):.0f} / {p95(price.detection_ms):.0f}",
                f"{price.undetected}",
                f"{price.bound_ms:.0f}",
                f"{price.wronged}",
            )
            for price in report.prices
        ),
    )
