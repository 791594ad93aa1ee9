"""Draws the live dashboard without a Grafana server: its own queries, a real run's Prometheus, a plain page.

``python -m grafana.page http://127.0.0.1:9090 docs/dashboard.png``, once a run is over and its Prometheus still up,
writes the picture of the README with a headless Chromium. Grafana's drawing differs; its numbers are these.
"""

import argparse
import html
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
from plotly.offline import get_plotlyjs
from rich.console import Console

from grafana.page_panels import Answer, View, draw
from grafana.queries import STEP_S, committed, filled
from grafana.source import Prometheus
from protocols.errors import LabError

NOTE = (
    "Drawn by <code>python -m grafana.page</code> from the dashboard's own queries and a real run's Prometheus. No "
    "Grafana server was involved: there the panels look different. Time in s after t = 0."
)
WIDTH, HEADER, ROW = 1440, 70, 30
"""Pixels: the page, its header, and a line of the dashboard's grid of 24 columns."""
STYLE = """
body { margin: 0; background: #f4f5f5; font: 13px system-ui, sans-serif; color: #1f2126; }
header { padding: 8px 12px; } h1 { font-size: 18px; margin: 0 0 2px; } header p { margin: 0; color: #555; }
section { position: absolute; background: #fff; border: 1px solid #dcdde0; overflow: hidden; box-sizing: border-box; }
h2 { font-size: 13px; margin: 6px 8px 0; font-weight: 600; }
.number { font-size: 28px; font-weight: 600; padding: 14px 8px; white-space: nowrap; }
.number small { font-size: 14px; font-weight: 400; color: #555; }
table { border-collapse: collapse; margin: 8px; width: calc(100% - 16px); }
td, th { text-align: center; padding: 7px; border: 1px solid #fff; font-weight: 400; }
.bar { display: flex; margin: 10px 8px; } .bar span { width: 92px; } .bar i { height: 18px; margin-right: 6px; }
"""


def main(arguments: Sequence[str], console: Console) -> int:
    """The command; exits with 3 when no Prometheus answers, it has no evaluated run, or Chromium fails."""
    parser = argparse.ArgumentParser(prog="python -m grafana.page", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("url", help="where Prometheus answers, e.g. http://127.0.0.1:9090")
    parser.add_argument("picture", type=Path, help="the PNG to write")
    parser.add_argument("--chromium", default="chromium", help="the browser that takes the picture")
    options = parser.parse_args(arguments)
    (live,) = (board for board in committed() if board["uid"] == "failstorm-live")
    try:
        with httpx.Client(base_url=options.url, timeout=10) as client:
            text = page(live, Prometheus(client))
        _photograph(text, HEADER + ROW * _lines(live), options.picture, options.chromium)
    except LabError as error:
        console.print(f"fail-storm: {error}", markup=False, highlight=False, soft_wrap=True)
        return 3
    return 0


def page(board: Mapping[str, Any], prometheus: Prometheus) -> str:
    """The dashboard as HTML, as it stood when the newest run was evaluated; LabError when there is no such run."""
    view = _view(board, prometheus)
    sections = []
    for panel in board["panels"]:
        answers = [Answer(target["legendFormat"], _ask(prometheus, target, view)) for target in panel["targets"]]
        place = panel["gridPos"]
        cell = WIDTH / 24
        box = (
            f"left:{place['x'] * cell:.0f}px;top:{HEADER + place['y'] * ROW}px;"
            f"width:{place['w'] * cell:.0f}px;height:{place['h'] * ROW}px"
        )
        size = (place["w"] * cell, place["h"] * ROW - 24)
        title = html.escape(panel["title"])
        sections.append(f'<section style="{box}"><h2>{title}</h2>{draw(panel, answers, view, size)}</section>')
    marks = "".join(f' <b style="color:{colour}">| {html.escape(name)}</b>' for _, name, colour in view.marks)
    head = f"<!doctype html><meta charset=utf-8><style>{STYLE}</style><script>{get_plotlyjs()}</script>"
    return (
        f"{head}<header><h1>{html.escape(board['title'])}</h1><p>{NOTE} Marks:{marks}</p></header>{''.join(sections)}"
    )


def _view(board: Mapping[str, Any], prometheus: Prometheus) -> View:
    """From just before t = 0 to the last scrape of the orchestrator, with the board's marks."""
    now = prometheus.now()
    back_s = 6 * 3600
    seen = prometheus.at(f'max_over_time(timestamp(failstorm_run_info{{job="orchestrator"}})[{back_s}s:1s])', now)
    end = max((series.points[0][1] for series in seen), default=now)
    started = prometheus.at('failstorm_t0_timestamp_seconds{job="orchestrator"} > 0', end)
    if not started:
        raise LabError(f"expected a run of the last {back_s // 3600} h in Prometheus, got none; run one, then draw it")
    t0 = started[0].points[0][1]
    marks = []
    for mark in board["annotations"]["list"]:
        for series in prometheus.at(mark["expr"], end):
            label = Answer(mark["titleFormat"], [series]).name(series)
            marks.append((series.points[0][1] / 1000 - t0, label, mark["iconColor"]))
    return View(t0, start=t0 - 2, end=end, marks=marks)


def _ask(prometheus: Prometheus, target: Mapping[str, Any], view: View) -> list[Any]:
    expr = filled(target["expr"], int(view.end - view.start), {})
    if target.get("instant"):
        return list(prometheus.at(expr, view.end))
    return list(prometheus.over(expr, view.start, view.end, STEP_S))


def _lines(board: Mapping[str, Any]) -> int:
    return max(int(panel["gridPos"]["y"] + panel["gridPos"]["h"]) for panel in board["panels"])


def _photograph(text: str, height: int, picture: Path, chromium: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "page.html"
        source.write_text(text, encoding="utf-8")
        command = [
            chromium,
            "--headless",
            "--no-sandbox",  # the page is our own, and root has no other way
            "--hide-scrollbars",
            f"--user-data-dir={folder}/profile",
            f"--window-size={WIDTH},{height}",
            f"--screenshot={picture.resolve()}",
            source.as_uri(),
        ]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=120)  # noqa: S603 - our own command
        except (OSError, subprocess.SubprocessError) as error:
            raise LabError(
                f"expected {chromium} to draw the page, got: {error}; name a browser by --chromium"
            ) from error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], Console()))
