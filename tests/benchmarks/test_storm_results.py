"""The benchmark of storms: what it takes out of one run, how it pools, and which bounds it holds."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks.command import EXIT_CONFIG
from benchmarks.storm_results import StormRun, Storms, broken_bounds, figures, read
from benchmarks.storms import main, planned
from orchestrator.compare import plan as plans
from orchestrator.evidence import Evidence
from orchestrator.journal import load
from orchestrator.report_content import build

STORM = Path(__file__).parent.parent / "journals" / "storm.jsonl"


def a_storm(**changes: object) -> StormRun:
    """One that keeps every bound."""
    sound = StormRun(
        seed=1,
        obstacle=None,
        starved=False,
        floor_ms=6.0,
        detection_ms=[20.0, 40.0],
        recovery_ms=60.0,
        repaired_ms=[80.0],
        agreement_ms=50.0,
        lost_tasks=0,
        before=(100, 100),
        after=(100, 99),
        unanswerable=0,
        amplification_peak=1.5,
        amplification_allowed=5.0,
        amplification_after=1.0,
    )
    return sound.model_copy(update=changes)


def storms(runs: list[StormRun], *, judged: bool = True) -> Storms:
    """As one benchmark."""
    return Storms(made_at=datetime(2026, 11, 27, tzinfo=UTC), host={}, protocol="json", judged=judged, runs=runs)


def test_the_figures_of_one_storm() -> None:
    """Of the golden journal, whose numbers are computed by hand beside it."""
    evidence = Evidence.from_events(load(STORM))
    run = read(evidence, build(STORM.parent, evidence, None, 0).content)
    # A full mesh of five: every survivor was linked to both victims.
    assert sorted(after for after in run.detection_ms if after is not None) == [50, 350, 500, 800, 1200, 1500]
    assert (run.recovery_ms, run.agreement_ms, run.floor_ms) == (120, 1500, 11)
    # What was sent to others for a cause that its sender knew; what an agent does itself is no message.
    assert run.repaired_ms == [120, 620, 1300]
    assert (run.before, run.after, run.unanswerable, run.lost_tasks) == ((12, 12), (12, 8), 2, 1)
    assert (run.amplification_peak, run.amplification_after) == (1.615385, 0.923077)
    # Five agents, ten tokens and 5 a second over 2 + 3 * 2 s; 36 tasks in 18 s make 4 in 2 s, with 13/12 attempts each.
    assert run.amplification_allowed == pytest.approx(1.2 + 5 * (10 + 5 * 8) / (13 / 12 * 4))
    assert run.obstacle is None


def test_only_linked_pairs_count() -> None:
    """Who had no link to the victim learns of its death from others, which is not what the detector is judged by."""
    events = [json.loads(line) for line in STORM.read_text().splitlines()]
    (roster,) = (event for event in events if event["ev"] == "roster")
    first = roster["agents"][0]
    first["neighbours"] = [name for name in first["neighbours"] if name != "agent_4"]
    evidence = Evidence.from_events(events)
    run = read(evidence, build(STORM.parent, evidence, None, 0).content)
    # Without agent_1's 50 ms about agent_4.
    assert sorted(after for after in run.detection_ms if after is not None) == [350, 500, 800, 1200, 1500]


def test_sound_storms_break_nothing() -> None:
    """Ten of them with a thousand tasks are judged, and pooled over all."""
    found = {figure.name: figure for figure in figures(storms([a_storm() for _ in range(10)]))}
    assert list(broken_bounds(storms([a_storm() for _ in range(10)]))) == []
    assert all(figure.judged for figure in found.values())
    assert found["detection, p95 over linked pairs"].of == "20 pairs"
    assert found["excess drop, pooled"].value == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"detection_ms": [150.0] * 2}, "detection"),
        ({"detection_ms": [20.0, None]}, "detection"),
        ({"recovery_ms": 300.0}, "recovery_ms"),
        ({"recovery_ms": None}, "recovery_ms"),
        ({"repaired_ms": [1200.0]}, "repaired requests"),
        ({"agreement_ms": 1100.0}, "agreement_ms"),
        ({"lost_tasks": 1}, "answerable tasks lost"),
        ({"after": (100, 97)}, "excess drop"),
        ({"amplification_peak": 5.1}, "retry amplification, peak"),
        ({"amplification_after": 1.06}, "retry amplification after steady state"),
    ],
)
def test_each_bound_can_break(changes: dict[str, object], name: str) -> None:
    """And only that one is complained of."""
    (complaint,) = broken_bounds(storms([a_storm(**changes) for _ in range(10)]))
    assert complaint.startswith(f"json: {name}")


def test_what_was_unanswerable_is_not_held_against_the_mesh() -> None:
    """Excess drop is what is left of the drop."""
    assert list(broken_bounds(storms([a_storm(after=(100, 95), unanswerable=5) for _ in range(10)]))) == []


@pytest.mark.parametrize("runs", [[a_storm(recovery_ms=900.0)] * 9, [a_storm(obstacle="invalid: x")] * 12])
def test_too_little_is_not_judged(runs: list[StormRun]) -> None:
    """Nine storms, or twelve that are not valid, are shown and say nothing; nor does another protocol's."""
    assert list(broken_bounds(storms(runs))) == []
    assert list(broken_bounds(storms([a_storm(recovery_ms=900.0)] * 10, judged=False))) == []


def test_half_of_the_storms_without_a_recovery_have_no_median() -> None:
    """What never came is longer than all that did."""

    def recovery(values: list[float | None]) -> float | None:
        found = figures(storms([a_storm(recovery_ms=value) for value in values]))
        return next(figure.value for figure in found if figure.name == "recovery_ms")

    assert recovery([50.0, None, 70.0]) == 70.0
    assert recovery([50.0, None]) is None


def test_the_plan_is_one_storm_a_seed() -> None:
    """The default scenario, shorter, in mode tcp."""
    plan = planned("json", 3, 16.0)
    assert [(slot.seed, slot.mode) for slot in plan.slots] == [(1, "tcp"), (2, "tcp"), (3, "tcp")]
    assert plan.base["scenario"]["kill_fraction"] == 0.3


def test_bad_arguments_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, and nothing is left behind."""
    for line in (
        ["--repeats", "0"], ["--protocol", "smtp"], ["--report"], ["--report", "--id", "none"]
    ):  # fmt: skip
        assert main([*line, "--results-dir", str(tmp_path)]) == EXIT_CONFIG
    assert len(capsys.readouterr().err.strip().splitlines()) == 4
    assert list(tmp_path.iterdir()) == []


def test_a_report_is_of_the_plan_that_was_played(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Another protocol and number than the command's own defaults; a report of nothing says so in its table."""
    root = tmp_path / "bench-storms-mine"
    root.mkdir()
    plans.save(planned("a2a", 32, 16.0), root)
    assert main(["--report", "--id", "mine", "--results-dir", str(tmp_path)]) == 0
    assert "a2a: 0 storms" in " ".join(capsys.readouterr().out.split())
