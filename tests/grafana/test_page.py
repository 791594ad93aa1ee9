"""The page that draws the live dashboard without a Grafana server."""

import io
from pathlib import Path

import httpx
import pytest
from rich.console import Console

from grafana import page_panels
from grafana.page import main, page
from grafana.page_panels import Answer, View, amount, draw
from grafana.queries import committed
from grafana.source import Prometheus, Series
from protocols.errors import LabError

ROOT = Path(__file__).parents[2]
T0 = 1_700_000_000.0
LIVE = next(board for board in committed() if board["title"] == "Fail-Storm live")
PANELS = {panel["title"]: panel for panel in LIVE["panels"]}
VIEW = View(T0, start=T0 - 2, end=T0 + 30, marks=[(12.5, "kill agent_5", "#D55E00")])
SIZE = (600.0, 200.0)


def one(value: float, **labels: str) -> Series:
    """A series of one point at the end of the view."""
    return Series(labels, ((VIEW.end, value),))


def prometheus(*, has_run: bool) -> Prometheus:
    """A Prometheus that knows t = 0, and says 42 of everything else; or nothing at all."""

    def serve(request: httpx.Request) -> httpx.Response:
        query = request.url.params["query"]
        if query == "time()":
            return httpx.Response(200, json={"status": "success", "data": {"result": [T0 + 60, str(T0 + 60)]}})
        value = T0 + 30 if "timestamp(" in query else 1000 * (T0 + 12) if "* 1000 > 0" in query else 42.0
        value = T0 if query.startswith("failstorm_t0") and "1000" not in query else value
        labels = {"node": "agent_1", "victim": "agent_5", "survivor": "agent_1", "traffic": "task"}
        point = [T0 + 30, str(value)]
        shape = {"values": [point]} if request.url.path.endswith("range") else {"value": point}
        result = [{"metric": labels, **shape}] if has_run else []
        return httpx.Response(200, json={"status": "success", "data": {"result": result}})

    return Prometheus(httpx.Client(base_url="http://fake", transport=httpx.MockTransport(serve)))


def test_the_page_shows_every_panel_and_says_how_it_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each panel's title and answer are there, the marks by name, and that no Grafana server drew it."""
    monkeypatch.setattr("grafana.page.get_plotlyjs", str)
    text = page(LIVE, prometheus(has_run=True))
    assert all(f"<h2>{title}</h2>" in text for title in PANELS)
    assert "No Grafana server was involved" in text
    assert "kill agent_5" in text
    assert "42 ms" in text


def test_without_a_run_there_is_one_clear_error() -> None:
    """A Prometheus that never scraped an orchestrator gives no picture, and the command exits with 3."""
    with pytest.raises(LabError, match="expected a run"):
        page(LIVE, prometheus(has_run=False))
    console = Console(file=io.StringIO())
    assert main(["http://127.0.0.1:1", "unused.png"], console) == 3
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().startswith("fail-storm: expected a Prometheus at http://127.0.0.1:1")


def test_a_number_stands_with_its_name_and_unit() -> None:
    """Alive of N shows both names; a query without an answer shows that it is not known yet."""
    alive = [Answer("alive", [one(6)]), Answer("of", [one(8)])]
    text = draw(PANELS["Alive"], alive, VIEW, SIZE)
    assert text.index("alive") < text.index(">6<") < text.index("of") < text.index(">8<")
    assert "not yet" in draw(PANELS["Recovery"], [Answer("", [])], VIEW, SIZE)
    assert "json · local" in draw(
        PANELS["Run"], [Answer("{{protocol}} · {{runtime}}", [one(1, protocol="json", runtime="local")])], VIEW, SIZE
    )


def test_the_matrix_has_a_line_a_survivor_and_a_column_a_victim() -> None:
    """An undetected pair is a dash, the latest detection the darkest."""
    pairs = [one(50, survivor="agent_1", victim="agent_5"), one(100, survivor="agent_2", victim="agent_7")]
    text = draw(PANELS["Who noticed whom, and when"], [Answer("", pairs)], VIEW, SIZE)
    lines = text.split("<tr>")[1:]
    assert [line.count("<td") for line in lines] == [0, 2, 2]
    assert lines[1].index("50 ms") < lines[1].index("<td>-</td>")
    assert "rgba(0,114,178,1.00)" in lines[2]


def test_curves_keep_the_colours_and_the_band_of_the_dashboard() -> None:
    """The upper bound fills down to the lower one; the mark stands at its second."""
    names = ["goodput", "baseline low", "baseline high", "baseline mean"]
    figure = page_panels._curves(PANELS["Goodput"], [Answer(name, [one(8)]) for name in names], VIEW)
    fills = {trace.name: trace.fill for trace in figure.data}
    assert fills == {"goodput": None, "baseline low": None, "baseline high": "tonexty", "baseline mean": None}
    assert figure.data[0].line.color == "#0072B2"
    assert list(figure.data[0].x) == [30.0]
    page_panels._div(figure, VIEW, SIZE)
    assert figure.layout.shapes[0].x0 == 12.5


def test_states_take_their_words_and_colours_from_the_dashboard() -> None:
    """A second in state 0 is a bar of the word dead, at its second after t = 0."""
    figure = page_panels._states(PANELS["Agents"], [Answer("{{node}}", [one(0, node="agent_5")])], VIEW)
    (dead,) = (trace for trace in figure.data if len(trace.y))
    assert (dead.name, list(dead.y), list(dead.base)) == ("dead", ["agent_5"], [30.0])


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (36.4, "ms", "36 ms"),
        (9070.0, "ms", "9.07 s"),
        (6.0, "none", "6"),
        (5800, "bytes", "5.8 kB"),
        (1.05e6, "bytes", "1.05 MB"),
    ],
)
def test_amounts_are_written_with_their_unit(value: float, unit: str, text: str) -> None:
    """Milliseconds turn into seconds, bytes into kB and MB."""
    assert amount(value, unit) == text


def test_the_committed_picture_is_small() -> None:
    """The README loads it."""
    picture = ROOT / "docs/dashboard.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size < 300_000
