"""Bounds on the results: what the baseline must keep before there is a storm, and what build servers are told."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from orchestrator import hypothesis, junit
from orchestrator.cli import main
from orchestrator.evidence import Evidence
from orchestrator.expectation import parse
from orchestrator.hypothesis import is_settled_before
from orchestrator.report_content import Report, build

Event = dict[str, Any]
Build = Callable[..., list[Event]]
Write = Callable[[Path, list[Event]], None]
NOW_S = 1003.0 + 12.0 - 0.5
"""Half a second before the storm of a made-up run of 24 s; its baseline arrives in [4 s, 10 s) after t0."""


@pytest.fixture(name="storm_events")
def short_storm_events(storm_events: Build) -> Build:
    """Storms of 24 s."""
    return partial(storm_events, duration_s=24.0)


def _expecting(events: list[Event], **bounds: str) -> list[Event]:
    """The same run with bounds; two underscores stand for a dot."""
    expect = {name.replace("__", "."): bound for name, bound in bounds.items()}
    return [
        {**event, "scenario": {**event["scenario"], "expect": expect}} if event["ev"] == "run_start" else event
        for event in events
    ]


def _report(events: list[Event]) -> Report:
    return build(Path("results/example"), Evidence.from_events(events), None, 0)


def _silent(events: list[Event]) -> list[Event]:
    """Nobody answers in the second half of the baseline."""
    return [event for event in events if event["ev"] != "answer" or event["t"] < 1003 + 7]


def _ended_before_the_storm(events: list[Event], **bounds: str) -> list[Event]:
    """A run whose baseline was found to break a bound: what the conductor journals then."""
    rest = [event for event in _expecting(_silent(events), **bounds) if event["t"] < NOW_S]
    row = {"t": NOW_S, "node": "orchestrator", "inc": 0}
    found = hypothesis.judge(rest, {"success.pre.rate": parse(">= 0.99")}, NOW_S)
    reason = "expected of the baseline success.pre.rate >= 0.99, got 0.4; there was no storm"
    end = [{**row, "ev": "baseline_check", "bounds": found}, {**row, "ev": "interrupted", "reason": reason}]
    return [*rest, *end]


@pytest.mark.parametrize(
    ("name", "before"),
    [
        ("success.pre.rate", True),
        ("latency_ms.pre.p95", True),
        ("goodput.baseline", True),
        ("cpu_percent.baseline.mean", True),
        ("success.post.rate", False),
        ("success_rate_drop", False),
        ("pre", False),
    ],
)
def test_what_the_storm_cannot_change_is_known_before_it(name: str, before: bool) -> None:  # noqa: FBT001
    """Only entries of the time before the storm can be checked before it."""
    assert is_settled_before(name) is before


def test_the_baseline_is_measured_by_the_definitions_of_the_report(storm_events: Build) -> None:
    """What is due when it is looked at counts as at the end; what comes later counts for nothing."""
    events = storm_events()
    bounds = {name: parse(">= 1") for name in ("success.pre.rate", "success.pre.n", "goodput.baseline", "no.pre")}
    found = {name: (value, met) for name, _, value, met in hypothesis.judge(events, bounds, NOW_S)}
    # 8 tasks a second: 48 arrive in the baseline, those of its last half second are not due yet.
    assert found == {
        "success.pre.rate": (1.0, True), "success.pre.n": (45, True), "goodput.baseline": (1.0, True),
        "no.pre": (None, False),
    }  # fmt: skip
    (_, bound, value, met), *_ = hypothesis.judge(_silent(events), {"success.pre.rate": parse(">= 0.99")}, NOW_S)
    assert (bound, met) == (">= 0.99", False)
    assert value == pytest.approx(0.5, abs=0.1)


def test_a_run_that_its_baseline_ended_broke_an_expectation(storm_events: Build) -> None:
    """Exit code 1, one bound named: what the storm would have shown was not measured, and is no finding."""
    bounds = {"success__pre__rate": ">= 0.99", "recovery_ms": "< 5000"}
    ended = _report(_ended_before_the_storm(storm_events(), **bounds))
    assert ended.exit_code == 1
    assert ended.verdict.status == "unknown"
    assert [line.partition(",")[0] for line in ended.broken] == ["success.pre.rate >= 0.99"]
    other = _report([event for event in _expecting(storm_events(), **bounds) if event["t"] < NOW_S])
    assert other.exit_code == 4


def _cases(content: Any) -> dict[str, tuple[str, str]]:
    """(outcome, message) of each test case."""
    suite = ET.fromstring(junit.render(content))  # noqa: S314 - our own
    cases = {}
    for case in suite.iter("testcase"):
        inner = list(case)
        cases[case.attrib["name"]] = (inner[0].tag, inner[0].attrib["message"]) if inner else ("passed", "")
    outcomes = [outcome for outcome, _ in cases.values()]
    assert suite.attrib["tests"] == str(len(cases))
    assert suite.attrib["failures"] == str(outcomes.count("failure"))
    assert suite.attrib["errors"] == str(outcomes.count("error"))
    assert suite.attrib["skipped"] == str(outcomes.count("skipped"))
    return cases


def test_a_build_server_sees_the_verdict_and_each_bound(storm_events: Build) -> None:
    """A kept bound passes, a broken one fails with what was expected and what came, a null with its reason."""
    bounds = {"success_rate_drop": "<= 0.1", "recovery_ms": "< 2000", "mttr_ms": "< 1"}
    events = [event for event in _expecting(storm_events(), **bounds) if event["ev"] not in ("task_start", "adopt")]
    cases = _cases(_report(events).content)
    assert cases["verdict"] == ("passed", "")
    assert cases["success_rate_drop <= 0.1"] == ("passed", "")
    assert cases["recovery_ms < 2000"] == ("failure", "expected < 2000, got 2080")
    outcome, message = cases["mttr_ms < 1"]
    assert outcome == "failure"
    assert message.startswith("expected < 1, got ")


def test_of_a_run_that_is_not_valid_no_number_is_a_pass(storm_events: Build) -> None:
    """An invalid run fails and its bounds are skipped; of one that was cut short nobody can tell."""
    bounds = {"success_rate_drop": "<= 0.1", "success__pre__rate": "> 1"}
    events = [event for event in _expecting(storm_events(), **bounds) if event["ev"] != "death"]
    cases = _cases(_report(events).content)
    assert cases["verdict"][0] == "failure"
    assert "no proof of death" in cases["verdict"][1]
    assert cases["success_rate_drop <= 0.1"][0] == "skipped"
    assert cases["success.pre.rate > 1"] == ("failure", "expected > 1, got 1")
    ended = _cases(_report(_ended_before_the_storm(storm_events(), recovery_ms="< 5000")).content)
    assert [outcome for outcome, _ in ended.values()] == ["error", "skipped"]


def test_the_file_is_written_where_it_is_asked_for(storm_events: Build, write_run: Write, tmp_path: Path) -> None:
    """By the command that computes an old run again; the exit code says the same."""
    write_run(tmp_path / "run", _expecting(storm_events(), recovery_ms="< 2000"))
    target = tmp_path / "junit.xml"
    assert main(["report", str(tmp_path / "run"), "--junit", str(target)], {}) == 1
    assert 'expected &lt; 2000, got 2080"' in target.read_text()
