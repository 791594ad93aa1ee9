"""What Prometheus has is taken home, whatever it answers; the results say what is missing, and never lack the rest."""

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from orchestrator import report
from orchestrator.report import Report
from orchestrator.telemetry import export, prometheus, section
from orchestrator.telemetry.prometheus import Prometheus
from orchestrator.telemetry.tally import Tally
from protocols.errors import LabError
from tests.orchestrator.fake_prometheus import OFFSET_S, Reply, miscounting, scraped_of, serving, truthful

Event = dict[str, Any]
Build = Callable[..., list[Event]]
Write = Callable[[Path, list[Event]], None]
RUN = "20300101-000000-json-1"


class _Clock:
    """The journal's clock, a moment after the run."""

    def now(self) -> float:
        return 1003.0 + 26

    async def sleep(self, duration_s: float) -> None:
        raise AssertionError(duration_s)


@pytest.fixture
def events(storm_events: Build) -> list[Event]:
    """A storm of 24 s."""
    return storm_events(duration_s=24.0)


@pytest.fixture
def written(events: list[Event], write_run: Write, tmp_path: Path) -> Report:
    """Its report, as it stands before Prometheus is asked."""
    write_run(tmp_path, events)
    return report.write_report(tmp_path)


@pytest.fixture
def reply(events: list[Event], written: Report) -> Reply:
    """What a flawless Prometheus answers."""
    return truthful(scraped_of(Tally(events), written.evidence), RUN)


def _export(written: Report, reply: Reply, slow: str | None = None) -> dict[str, Any]:
    async def ask() -> dict[str, Any]:
        async with serving(reply, slow) as url:
            return await _ask(written, url)

    return asyncio.run(ask())


async def _ask(written: Report, url: str) -> dict[str, Any]:
    async with httpx.AsyncClient(trust_env=False) as client:
        return await export.export(written.run_dir, written.evidence, url, _Clock(), OFFSET_S, client)


def test_everything_is_exported_and_agrees(written: Report, reply: Reply) -> None:
    """Final values, all series, and checks that are all ok; ``prometheus.json`` holds the same."""
    content = _export(written, reply)
    assert (content["status"], content["missing"], content["interval_s"]) == ("exported", {}, 1)
    assert content["checks"]["flagged"] == []
    assert json.loads((written.run_dir / "prometheus.json").read_text()) == content
    assert content["series"]["goodput_per_s"] == [[0, 1], [26, 2]]
    assert content["series"]["bytes_per_s_by_class"] == {"task": [[0, 1], [26, 2]]}
    assert set(content["series"]) == {
        "goodput_per_s", "baseline_goodput_per_s", "success_ratio", "bytes_per_s_by_class", "agents_alive", "agents_up",
    }  # fmt: skip
    final = content["final"]
    assert final["failstorm_agents"] == [[{"job": "orchestrator", "instance": "any"}, 8]]
    assert final["failstorm_success_ratio"][0][1] is None
    assert "failstorm_idle_total" not in final


def test_the_results_get_what_was_scraped_and_the_checks(written: Report, reply: Reply) -> None:
    """Agents' counters summed over the agents, the orchestrator's apart from them; a later report says the same."""
    before = json.loads((written.run_dir / report.METRICS_FILE).read_text())
    assert before["prometheus"]["status"] == "off"
    complete = report.add_export(written, _export(written, reply))
    content = json.loads((written.run_dir / report.METRICS_FILE).read_text())
    assert content["prometheus"]["final"]["failstorm_bytes_total"] == [[{"job": "agent", "traffic": "task"}, 11]]
    assert content["prometheus"]["final"]["failstorm_retries_total"] == [
        [{"job": "agent"}, 2], [{"job": "orchestrator"}, 3],
    ]  # fmt: skip
    assert content["checks"]["status"] == "ok"
    assert content["prometheus"]["series"]["agents_alive"] == [[0, 1], [26, 2]]
    assert {key: value for key, value in content.items() if key not in ("prometheus", "checks")} == {
        key: value for key, value in before.items() if key not in ("prometheus", "checks")
    }
    assert report.write_report(written.run_dir).content == complete.content
    assert (written.run_dir / report.METRICS_FILE).read_text() == report.to_json(complete.content)


def test_a_counter_that_loses_bytes_is_flagged_in_the_results(written: Report, events: list[Event]) -> None:
    """In the file, by name, and in the line for the terminal."""
    half = miscounting(scraped_of(Tally(events), written.evidence), 0.5)
    complete = report.add_export(written, _export(written, truthful(half, RUN)))
    assert complete.content["checks"]["status"] == "flagged"
    assert "bytes/task" in complete.content["checks"]["flagged"]
    line = section.in_a_line(complete.content)
    assert line is not None
    assert "FLAGGED: bytes/" in line


def test_a_prometheus_that_is_down_costs_nothing_but_its_own_part(written: Report) -> None:
    """The journal gives every metric; the results say what is missing and why."""
    content = asyncio.run(_ask(written, "http://127.0.0.1:9"))
    assert content["status"] == "missing"
    assert "expected an answer from http://127.0.0.1:9, got ConnectError" in content["missing"]["all"]
    complete = report.add_export(written, content)
    stored = json.loads((written.run_dir / report.METRICS_FILE).read_text())
    assert stored["recovery_ms"] == written.content["recovery_ms"] is not None
    assert stored["checks"] == {"status": "not made", "reason": content["missing"]["all"]}
    line = section.in_a_line(complete.content)
    assert line is not None
    assert line.startswith("missing: expected an answer from http://127.0.0.1:9")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((200, b"<html>hello"), "is it a Prometheus?"),
        ((503, b'{"status": "error", "error": "starting up"}'), "got status 503: starting up"),
        ((200, b"[]"), "got status 200: []"),
        ((200, b'{"status": "success"}'), "expected an answer of the Prometheus API, got"),
        ({"activeTargets": [{"labels": {}}]}, "activeTargets.0.scrapeInterval: Field required"),
        ({"activeTargets": []}, "it knows 0 targets and none of them is this run's"),
        ({"activeTargets": [{"labels": {"run": RUN}, "scrapeInterval": "often"}]}, "such as 1s, got 'often'"),
    ],
)
def test_answers_that_are_none_are_named(written: Report, answer: Any, said: str) -> None:
    """Something else on the port, a server that is starting, one that scrapes others: one line each, no exception."""
    content = _export(written, lambda _path, _parameters: answer)
    assert content["status"] == "missing"
    assert said in content["missing"]["all"]
    assert "\n" not in content["missing"]["all"]


def test_what_some_queries_lack_the_others_still_give(written: Report, reply: Reply) -> None:
    """An error in one query, an empty answer in another: both are named, the rest is exported and checked."""

    def broken(path: str, parameters: Mapping[str, str]) -> Any:
        query = parameters.get("query", "")
        if path == "query_range" and "goodput" in query:
            return 422, b'{"status": "error", "error": "too many samples"}'
        if path == "query_range" and "success" in query:
            return {"resultType": "matrix", "result": []}
        return reply(path, parameters)

    content = _export(written, broken)
    assert content["status"] == "partial"
    names = ["series.baseline_goodput_per_s", "series.goodput_per_s", "series.success_ratio"]
    assert sorted(content["missing"]) == names
    assert "too many samples" in content["missing"]["series.goodput_per_s"]
    assert "got none" in content["missing"]["series.success_ratio"]
    assert "agents_alive" in content["series"]
    assert content["checks"]["status"] == "ok"


def test_without_any_series_of_the_run_the_checks_flag_everything(written: Report, reply: Reply) -> None:
    """A Prometheus that was started too late has the targets and no past."""

    def empty(path: str, parameters: Mapping[str, str]) -> Any:
        return reply(path, parameters) if path == "targets" else {"resultType": "matrix", "result": []}

    content = _export(written, empty)
    assert content["status"] == "partial"
    assert "was it scraping meanwhile?" in content["missing"]["final"]
    assert len(content["checks"]["flagged"]) == len(content["checks"]["rows"]) > 0


def test_a_slow_prometheus_does_not_hold_up_the_run(
    written: Report, reply: Reply, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it has a limit; what came in time stays."""
    monkeypatch.setattr(export, "_LIMIT_S", 3.0)
    content = _export(written, reply, slow="query_range")
    assert content["status"] == "partial"
    assert "to answer everything within 3 s" in content["missing"]["rest"]
    assert content["checks"]["status"] == "ok"
    assert "failstorm_agents" in content["final"]


def test_a_query_that_takes_too_long_is_given_up_and_the_others_asked(
    written: Report, reply: Reply, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each question has a limit of its own."""
    monkeypatch.setattr(prometheus, "_TIMEOUT_S", 0.3)
    content = _export(written, reply, slow="query_range")
    assert content["status"] == "partial"
    assert set(content["missing"]) >= {f"series.{name}" for name in ("goodput_per_s", "agents_up")}
    assert "ReadTimeout" in content["missing"]["series.goodput_per_s"]


def test_an_export_that_cannot_be_read_counts_as_none(written: Report) -> None:
    """Half a file, or something else under its name, is nothing that was exported."""
    for text in ("{", "[]", "{}", '{"missing": []}'):
        (written.run_dir / export.FILE).write_text(text)
        assert section.read(written.run_dir) is None
        assert report.write_report(written.run_dir).content["prometheus"]["status"] == "off"


def test_without_a_prometheus_one_reason_is_given_and_the_terminal_says_nothing(written: Report) -> None:
    """Local processes often have none; that is no error."""
    assert written.content["checks"]["status"] == "not made"
    assert "output.prometheus_url" in written.content["prometheus"]["reason"]
    assert section.in_a_line(written.content) is None
    asked = section.sections(None, "http://127.0.0.1:9090")
    assert asked["prometheus"] == {
        "status": "missing", "url": "http://127.0.0.1:9090", "reason": "the run ended before Prometheus was asked",
    }  # fmt: skip


def test_intervals_are_read_as_prometheus_writes_them() -> None:
    """The slowest of the run's own targets; others do not matter."""
    ways = (("a", "1s"), ("a", "1m30s"), ("a", "500ms"), ("b", "1h"))
    targets = {"activeTargets": [{"labels": {"run": run}, "scrapeInterval": text} for run, text in ways]}

    async def ask(run: str) -> float:
        async with serving(lambda _path, _parameters: targets) as url, httpx.AsyncClient(trust_env=False) as client:
            return await Prometheus(client, url).scrape_interval_s(run)

    assert asyncio.run(ask("a")) == 90
    assert asyncio.run(ask("b")) == 3600
    with pytest.raises(LabError, match="it knows 4 targets"):
        asyncio.run(ask("c"))
