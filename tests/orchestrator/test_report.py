"""Results are complete, honest about what is missing, and the same for the same journal."""

import inspect
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from orchestrator import report, report_docs, run_dir, verdict
from orchestrator.evidence import Evidence
from orchestrator.metrics import evaluate, registry
from orchestrator.report_content import SPECIFIED, Report, build
from orchestrator.report_words import TAGS, in_words
from protocols.errors import ConfigError, LabError

Event = dict[str, Any]
Build = Callable[..., list[Event]]
Write = Callable[[Path, list[Event]], None]


def _report(events: list[Event]) -> Report:
    return build(Path("results/example"), Evidence.from_events(events), None, 0)


def _with_expectations(events: list[Event], **bounds: str) -> list[Event]:
    """The same run with ``expect`` bounds; two underscores stand for a dot."""
    expect = {name.replace("__", "."): bound for name, bound in bounds.items()}
    return [
        {**event, "scenario": {**event["scenario"], "expect": expect}} if event["ev"] == "run_start" else event
        for event in events
    ]


def _summary(result: Report, width: int = 100) -> str:
    screen = io.StringIO()
    report.print_summary(result, Console(file=screen, width=width))
    return screen.getvalue()


def test_the_five_of_the_specification_come_first_as_plain_numbers(
    short_storm: Build, write_run: Write, tmp_path: Path
) -> None:
    """A reader of the file finds the five at its top, and each is a number."""
    write_run(tmp_path, short_storm())
    report.write_report(tmp_path)
    content = json.loads((tmp_path / "failstorm_metrics.json").read_text())
    assert list(content)[:5] == list(SPECIFIED)
    assert all(isinstance(content[name], int | float) for name in SPECIFIED)
    assert content["recovery_ms"] == 2080.0


def test_everything_a_reader_needs_stands_in_the_file(short_storm: Build) -> None:
    """Each metric has a unit, and the run can be told from its results alone."""
    content = _report(short_storm()).content
    assert list(content["units"]) == list(registry())
    assert content["verdict"] == {"status": "valid", "reasons": [], "tags": ["scaled"]}
    assert content["victims"] == ["agent_3", "agent_6"]
    assert content["effective_kill_fraction"] == 0.25
    assert content["starved"] is False
    assert content["windows"]["kill_at_s"] == 12.0
    assert (content["seed"], content["runtime"], content["partial"], content["scaled"]) == (1, "local", False, True)
    assert content["schema_version"] == "1.1"
    assert content["details"]["success_rate_drop"]["n_pre"] == 48


def test_every_null_has_a_reason_and_nothing_else_has(short_storm: Build) -> None:
    """In a control nothing recovers; the file says why for each null."""
    content = _report(short_storm(victims=())).content
    nulls = [name for name in registry() if content[name] is None]
    assert "recovery_ms" in nulls
    assert list(content["reasons"]) == nulls
    assert content["reasons"]["recovery_ms"] == "control: nothing was killed"


def test_the_sdk_is_named_with_the_version_it_had(short_storm: Build, write_run: Write, tmp_path: Path) -> None:
    """The version comes from the journal, not from what is installed when the report is made."""
    events = [{**event, "sdk": "httpx"} if event["ev"] == "run_start" else event for event in short_storm()]
    write_run(tmp_path, events)
    assert report.write_report(tmp_path).content["protocol"] == {
        "name": "json",
        "sdk": "httpx",
        "sdk_version": "0.28.1",
    }


def test_the_same_journal_gives_the_same_bytes(short_storm: Build, write_run: Write, tmp_path: Path) -> None:
    """Rebuilding changes nothing, with the workspaces or with the merged journal alone."""
    write_run(tmp_path / "run", short_storm())
    report.write_report(tmp_path / "run")
    names = ("failstorm_metrics.json", "report.html")
    first = [(tmp_path / "run" / name).read_bytes() for name in names]
    report.rebuild(tmp_path / "run", Console(file=io.StringIO()))
    assert [(tmp_path / "run" / name).read_bytes() for name in names] == first
    (tmp_path / "kept").mkdir()
    (tmp_path / "run" / "journal.jsonl").rename(tmp_path / "kept" / "journal.jsonl")
    (tmp_path / "latest").symlink_to("kept")
    assert report.rebuild(tmp_path / "latest", Console(file=io.StringIO())) == 0
    assert [(tmp_path / "kept" / name).read_bytes() for name in names] == first


def test_a_folder_without_a_journal_is_refused_in_one_line(
    short_storm: Build, write_run: Write, tmp_path: Path
) -> None:
    """The message names the folder and says what to do; the checkout, with its link to workspaces, is no run."""
    write_run(tmp_path, [event for event in short_storm() if event["node"] != "orchestrator"])
    with pytest.raises(ConfigError, match=rf"^expected a run with a journal, got {tmp_path} without one; see [^\n]*$"):
        report.rebuild(tmp_path)
    assert not (tmp_path / "journal.jsonl").exists()


def test_a_run_without_its_end_is_partial_and_unknown(short_storm: Build, write_run: Write, tmp_path: Path) -> None:
    """After a kill -9 of the orchestrator the agents' journals still give a report, marked partial."""
    write_run(tmp_path, [event for event in short_storm() if event["t"] < 1003 + 20])
    screen = io.StringIO()
    assert report.rebuild(tmp_path, Console(file=screen, width=100)) == 4
    content = json.loads((tmp_path / "failstorm_metrics.json").read_text())
    assert content["partial"] is True
    assert "partial" in content["verdict"]["tags"]
    assert "UNKNOWN" in screen.getvalue()
    assert content["recovery_ms"] == 2080.0


def test_torn_lines_are_counted(short_storm: Build, write_run: Write, tmp_path: Path) -> None:
    """A line that the kill tore is no error, but it is told."""
    write_run(tmp_path, short_storm())
    with (tmp_path / "workspaces" / "agent_3" / "journal.jsonl").open("a") as file:
        file.write('{"t": 1063.0, "no')
    assert report.write_report(tmp_path).content["journal"] == {"torn_lines": 1, "malformed_lines": 0}


def test_a_copy_of_the_numbers_goes_where_it_is_asked_for(short_storm: Build, write_run: Write, tmp_path: Path) -> None:
    """The root of the checkout gets the same file."""
    write_run(tmp_path / "run", short_storm())
    report.write_report(tmp_path / "run", copy_to=tmp_path)
    name = "failstorm_metrics.json"
    assert (tmp_path / name).read_bytes() == (tmp_path / "run" / name).read_bytes()


def test_a_file_that_cannot_be_replaced_is_one_clear_error(tmp_path: Path) -> None:
    """The old content stays, and the message says what to do."""
    (tmp_path / "taken").mkdir()
    with pytest.raises(LabError, match=r"expected to write .*taken, got: .*; make room or fix its rights"):
        run_dir.write_atomically(tmp_path / "taken", "text")


def test_numbers_without_a_finite_value_become_null(short_storm: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    """JSON has no NaN; a metric that finds one is null with a reason instead of an unreadable file."""
    evidence = Evidence.from_events(short_storm())
    values = evaluate(evidence)
    values["depth"] = replace(values["depth"], value=float("nan"))
    monkeypatch.setattr("orchestrator.report_content.evaluate", lambda _: values)
    content = build(Path(), evidence, None, 0).content
    assert content["depth"] is None
    assert content["reasons"]["depth"] == "the result is no finite number"
    json.loads(report.to_json(content), parse_constant=pytest.fail)


@pytest.mark.parametrize(
    ("bounds", "code"),
    [
        ({}, 0),
        ({"success_rate_drop": "<= 0.1", "detection_ms__p95": "< 2500"}, 0),
        ({"recovery_ms": "< 2000"}, 1),
        ({"detection_ms__p95": "< 2000"}, 1),
        ({"no_such_metric": "> 0"}, 1),
    ],
)
def test_the_exit_code_follows_the_expectations(short_storm: Build, bounds: dict[str, str], code: int) -> None:
    """A kept bound is fine, a broken one is 1; a metric that is not there keeps no bound."""
    assert _report(_with_expectations(short_storm(), **bounds)).exit_code == code


def test_an_invalid_run_is_worth_nothing_whatever_it_kept(short_storm: Build) -> None:
    """Without the proof of a death the verdict outweighs every expectation."""
    events = [event for event in short_storm() if event["ev"] != "death"]
    result = _report(_with_expectations(events, recovery_ms="< 2000"))
    assert result.verdict.status == "invalid"
    assert result.exit_code == 4


def test_the_summary_shows_what_counts(short_storm: Build) -> None:
    """Verdict, the five, the victims, the expectation and the files, all in one look."""
    text = _summary(_report(_with_expectations(short_storm(), recovery_ms="< 2000")))
    assert "VALID" in text
    assert all(f"{name} " in text for name in SPECIFIED)
    assert "2,080.0 ms" in text
    assert "agent_3, agent_6" in text
    assert "recovery_ms < 2000: 2080, BROKEN" in text
    assert "results/example/report.html" in text


def test_the_summary_gives_the_reason_of_a_null(short_storm: Build) -> None:
    """A control's recovery is null because nothing was killed, and that stands beside it."""
    text = _summary(_report(short_storm(victims=())))
    assert re.search(r"recovery_ms +null +control: nothing was killed", text)
    assert "control: nobody was to be killed" in text


def test_the_summary_fits_eighty_columns(short_storm: Build) -> None:
    """Every line but the headline and the paths stays inside a small terminal."""
    lines = _summary(_report(short_storm()), width=80).splitlines()
    assert max(len(line) for line in lines if "20300101" not in line) <= 80


def test_every_tag_of_a_verdict_is_explained() -> None:
    """Whatever the verdict may say, the reader is told what it means."""
    source = inspect.getsource(verdict)
    assert sorted(re.findall(r'yield "([a-z_]+)"', source)) == sorted(TAGS)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, "ms", "null"),
        (2080.0, "ms", "2,080.0 ms"),
        (1_500_000, "bytes", "1,500,000 bytes (1.50 MB)"),
        (0.0416667, "ratio", "0.0417"),
        (3, "count", "3"),
        ({"first": 1.0, "p50": 2.0, "p95": 3.0, "last": 4.0, "n": 2}, "ms", "p50 2.0 ms (1.0 to 4.0)"),
        ({"pre": {"n": 4, "rate": 0.5}, "curve": [1]}, "ratio", "pre 0.5000"),
        ({"count": 2, "mistake_max_ms": 31.25, "uncorrected": None}, "count", "count 2, mistake_max_ms 31.2"),
        ([1, 2], "bytes", ""),
    ],
)
def test_values_in_words(value: object, unit: str, text: str) -> None:
    """A number carries its unit; a spread is its median and range; what needs a figure is left to it."""
    assert in_words(value, unit) == text


def test_the_documentation_of_the_metrics_is_the_registry() -> None:
    """docs/metrics.md is generated; after a change run: python -m orchestrator.report_docs docs/metrics.md."""
    committed = Path(__file__).parents[2] / "docs" / "metrics.md"
    assert committed.read_text(encoding="utf-8") == report_docs.render(registry())
