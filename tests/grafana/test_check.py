"""The check of the dashboards against a Prometheus: what it asks, and what it calls a failure."""

import io
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from rich.console import Console

from grafana.check import check, main, report
from grafana.queries import committed, filled, queries
from grafana.source import Prometheus
from protocols.errors import LabError

NOW = 1_700_000_000.0
LIVE = next(board for board in committed() if board["title"] == "Fail-Storm live")
COMPARED = next(board for board in committed() if board["title"] == "Protocols compared")
Answer = Callable[[str], list[float]]
"""PromQL → the values of its one series; none for no series."""


class FakePrometheus:
    """Answers every query with one series, whose values ``answer`` gives, and remembers what was asked."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.prometheus = Prometheus(httpx.Client(base_url="http://fake", transport=httpx.MockTransport(self._serve)))

    def _serve(self, request: httpx.Request) -> httpx.Response:
        path, params = request.url.path.removeprefix("/api/v1/"), dict(request.url.params)
        self.asked.append((path, params))
        if path.startswith("label/"):
            return _success(["local", "docker"])
        query = params["query"]
        if query == "time()":
            return _success({"resultType": "scalar", "result": [NOW, str(NOW)]})
        if "broken" in query:
            return httpx.Response(400, json={"status": "error", "errorType": "bad_data", "error": "parse error"})
        points = [[NOW, str(value)] for value in self._answer(query)]
        labels = {"seconds": "120"} if query.startswith("count_values") else {"node": "agent_1"}
        shape = {"values": points} if path == "query_range" else {"value": points[0] if points else None}
        return _success({"result": [{"metric": labels, **shape}] if points else []})


def _success(data: Any) -> httpx.Response:
    return httpx.Response(200, json={"status": "success", "data": data})


def storm(query: str) -> list[float]:
    """A storm after its kill: instants are in Unix ms, and nothing was evaluated yet."""
    if "steady" in query or "failstorm_result" in query:
        return []
    return [1000 * NOW - 5000] if "* 1000 > 0" in query else [1.0]


def board(expr: str, *, instant: bool = True) -> dict[str, Any]:
    """A dashboard of one panel with one query."""
    target = {"refId": "A", "expr": expr, "instant": instant}
    return {
        "title": "board",
        "time": {"from": "now-2m", "to": "now"},
        "templating": {},
        "annotations": {},
        "panels": [{"title": "panel", "targets": [target]}],
    }


def test_every_query_of_every_panel_and_mark_is_executed() -> None:
    """Each query is asked for as its panel would: at one instant, or over the dashboard's range in steps of 1 s."""
    fake = FakePrometheus(storm)
    findings = list(check(fake.prometheus, LIVE, evaluated=False))
    asked = {(path, params["query"]) for path, params in fake.asked}
    targets = sum(len(panel["targets"]) for panel in LIVE["panels"])
    assert len(findings) == targets + len(LIVE["annotations"]["list"])
    for query in queries(LIVE):
        assert ("query" if query.instant else "query_range", filled(query.expr, 300, {})) in asked
    spans = {(params["start"], params["end"], params["step"]) for path, params in fake.asked if path == "query_range"}
    assert spans == {(str(NOW - 300), str(NOW), "1")}


def test_during_a_storm_only_the_evaluations_results_may_be_missing() -> None:
    """Steady state and results are allowed to come later; everything else has data."""
    fake = FakePrometheus(storm)
    findings = [item for each in (LIVE, COMPARED) for item in check(fake.prometheus, each, evaluated=False)]
    later = {item.query.where for item in findings if item.outcome == "later"}
    assert {item.outcome for item in findings} == {"data", "later"}
    assert "Fail-Storm live / mark steady state" in later
    assert all("teady" in where or where.startswith("Protocols compared") for where in later)
    assert report(findings, Console(file=io.StringIO())) == 0


def test_after_the_evaluation_missing_results_fail() -> None:
    """With ``evaluated`` an empty query is a failure, whatever it asks for."""
    findings = list(check(FakePrometheus(storm).prometheus, LIVE, evaluated=True))
    empty = {item.query.where for item in findings if item.outcome == "empty"}
    assert empty == {"Fail-Storm live / Steady again / A", "Fail-Storm live / mark steady state"}
    assert report(findings, Console(file=io.StringIO())) == 1


@pytest.mark.parametrize("values", [[], [float("nan")], [float("inf")]])
def test_an_answer_without_a_number_is_empty(values: list[float]) -> None:
    """No series, NaN and infinity draw nothing."""
    (finding,) = check(FakePrometheus(lambda _: values).prometheus, board("up{}"), evaluated=False)
    assert finding.outcome == "empty"


def test_a_refused_query_is_invalid_and_names_its_panel() -> None:
    """What Prometheus cannot parse fails, with Prometheus's own words."""
    findings = list(check(FakePrometheus(storm).prometheus, board("broken("), evaluated=False))
    console = Console(file=io.StringIO(), width=300)
    assert report(findings, console) == 1
    assert isinstance(console.file, io.StringIO)
    assert re.search(r"invalid board / panel / A: .*parse error", console.file.getvalue())


def test_a_mark_in_seconds_is_invalid() -> None:
    """A mark whose value is Unix seconds would stand in 1970."""
    findings = check(FakePrometheus(lambda _: [NOW - 5]).prometheus, LIVE, evaluated=True)
    marks = [item for item in findings if item.query.is_mark]
    assert [item.outcome for item in marks] == ["invalid"] * 4


def test_variables_take_the_first_option_that_prometheus_offers() -> None:
    """Values come from the variables' own queries, each filled with those before it."""
    fake = FakePrometheus(lambda _: [2.0])
    findings = list(check(fake.prometheus, COMPARED, evaluated=True))
    assert {item.outcome for item in findings} == {"data"}
    assert ("label/runtime/values", {"match[]": "failstorm_result"}) in fake.asked
    chosen = [params["query"] for _, params in fake.asked if "failstorm_result" in params.get("query", "")]
    assert all('runtime="docker"' in query for query in chosen)
    assert all(query.endswith("[900s]))") or "== 120" in query for query in chosen)


def test_a_variable_without_options_leaves_its_queries_empty() -> None:
    """No results, no drop-down: nothing is asked with a hole in it."""
    fake = FakePrometheus(lambda _: [])
    findings = list(check(fake.prometheus, COMPARED, evaluated=True))
    assert {item.outcome for item in findings} == {"empty"}
    assert all("$" not in params.get("query", "") for _, params in fake.asked)


def test_an_unknown_variable_is_no_query() -> None:
    """A query with a variable that nobody fills is not sent."""
    with pytest.raises(LookupError):
        filled("up{node='$nobody'}", 60, {})
    assert filled("rate(a[$__rate_interval]) + ${runtime}", 60, {"runtime": "x"}) == "rate(a[4s]) + x"


@pytest.mark.parametrize(
    "reply", [httpx.Response(200, text="<html>"), httpx.Response(200, json=[]), httpx.ConnectError("refused")]
)
def test_no_prometheus_is_one_clear_error(reply: httpx.Response | httpx.ConnectError) -> None:
    """Nobody there, or somebody else: the lab's error, with the address."""

    def serve(_: httpx.Request) -> httpx.Response:
        if isinstance(reply, httpx.ConnectError):
            raise reply
        return reply

    prometheus = Prometheus(httpx.Client(base_url="http://nobody:1", transport=httpx.MockTransport(serve)))
    with pytest.raises(LabError, match="http://nobody:1"):
        prometheus.now()


def test_the_command_exits_with_3_without_a_prometheus(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line and the exit code of a failed lab."""

    def refuse(_: Prometheus) -> float:
        raise LabError("expected a Prometheus")

    monkeypatch.setattr(Prometheus, "now", refuse)
    console = Console(file=io.StringIO())
    assert main(["http://127.0.0.1:1"], console) == 3
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == "fail-storm: expected a Prometheus\n"
