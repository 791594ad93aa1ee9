"""The benchmark of scenarios: what it takes out of a run, and which runs it lets pass."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from benchmarks.command import EXIT_CONFIG
from benchmarks.scenario_results import Outcome, Outcomes, broken_bounds, cells, read, refused
from benchmarks.scenarios import main
from orchestrator.evidence import Evidence
from orchestrator.journal import load
from orchestrator.report_content import build

STORM = Path(__file__).parent.parent / "journals" / "storm.jsonl"


def content() -> dict[str, Any]:
    """Of the golden journal, whose numbers are computed by hand beside it."""
    evidence = Evidence.from_events(load(STORM))
    return dict(build(STORM.parent, evidence, None, 0).content)


def broken(run: Outcome) -> list[str]:
    """What is said of it."""
    made_at = datetime(2026, 11, 28, tzinfo=UTC)
    return list(broken_bounds(Outcomes(made_at=made_at, host={}, runtime="local", duration_s=40.0, runs=[run])))


def test_figures_of_one_run() -> None:
    """As its report has them; the golden storm has lost a task."""
    run = read("storm", "json", content() | {"expect": {"lost_tasks": {"bound": "== 0", "value": 1, "met": False}}})
    assert (run.status, run.recovery_ms, run.lost_tasks, run.starved) == ("valid", 120, 1, False)
    assert run.expected == {"lost_tasks == 0": False}
    assert cells(run)[:4] == ("storm", "json", "valid", "120")
    assert cells(run)[-1] == "lost_tasks == 0 BROKEN"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, []),
        ({"status": "refused", "reasons": ["no netem here"]}, []),
        ({"status": "missing"}, ["zombie (json): missing"]),
        ({"status": "invalid", "reasons": ["no baseline", "no kill"]}, ["zombie (json): invalid no baseline no kill"]),
        ({"lost_tasks": 2, "duplicate_effects": 1}, ["zombie (json): 2 tasks lost, 1 tasks committed twice"]),
        ({"connectivity_end": 0.75}, ["zombie (json): the mesh is not whole at the end"]),
        ({"connectivity_end": None}, ["zombie (json): the mesh is not whole at the end"]),
        ({"expected": {"a == 0": True, "b <= 1": False}}, ["zombie (json): expected b <= 1"]),
    ],
)
def test_run_that_did_not_end_well_is_named(changes: dict[str, Any], words: list[str]) -> None:
    """A fault that the runtime does not have breaks nothing."""
    sound = Outcome(
        scenario="zombie", protocol="json", status="valid", reasons=[], lost_tasks=0, duplicate_effects=0,
        connectivity_end=1.0,
    )  # fmt: skip
    assert broken(sound.model_copy(update=changes)) == words


def test_report_shows_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing runs with --report; what is not there is told, and the exit code says so."""
    line = ["--report", "--id", "t", "--results-dir", str(tmp_path), "--scenario", "zombie", "--protocol", "json"]
    assert main(line) == 1
    assert "zombie (json): missing" in capsys.readouterr().err
    kept = json.loads((tmp_path / "bench-scenarios-t" / "scenarios.json").read_text())
    assert [run["status"] for run in kept["runs"]] == ["missing"]


@pytest.mark.parametrize(
    "line", [["--scenario", "none"], ["--duration", "3", "--scenario", "storm"], ["--runtime", "x"]]
)
def test_bad_arguments_get_one_line(line: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And exit code 2."""
    assert main([*line, "--report", "--results-dir", str(tmp_path)]) == EXIT_CONFIG
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_refused_scenario_keeps_its_reason() -> None:
    """The table shows it."""
    run = refused("lossy-links", "json", "expected a kernel with netem")
    assert (run.status, run.reasons, cells(run)[3]) == ("refused", ["expected a kernel with netem"], "-")
