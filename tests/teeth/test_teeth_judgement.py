"""How broken agents are judged: intervals, directions, what never came, starved machines, controls, A/A."""

import json
import math
from pathlib import Path
from random import Random
from typing import Any

import pytest

from orchestrator import timeline
from orchestrator.report import METRICS_FILE
from orchestrator.workload.placement import place
from protocols.errors import LabError
from tests.teeth import cli, controls, real_storm, same
from tests.teeth.cli import SEEDS, STORM
from tests.teeth.judging import Interval, difference, failures, interval, judge, number, unclaimed
from tests.teeth.real_storm import Place, Run, scenario, unbroken
from tests.teeth.table import BY_NAME, Tooth


def results(**changed: Any) -> dict[str, Any]:
    """What a calm storm says, with the numbers that the tests look at."""
    return {
        "recovery_ms": 100.0,
        "steady_state_ms": 200.0,
        "bytes_reconnect": 1000,
        "success_rate_drop": 0.0,
        "duplicate_work_ratio": 0.0,
        "duplicate_effects": 0,
        "false_suspicions": {"count": 0},
        "details": {"success_rate_drop": {"interval": [-0.1, 0.1]}},
        "reasons": {},
        "verdict": {"status": "valid", "reasons": [], "tags": []},
        "starved": False,
        "runtime": "local",
        "host": {"system": "Linux", "cpu_count": 2, "memory_bytes": 2**33, "python": "3.11.9"},
        "scenario": {"scenario": {"agent_count": 8, "duration": 16.0}, "detector": {"mode": "common"}},
        **changed,
    }


def never(name: str) -> dict[str, Any]:
    """Changes for a time that never came."""
    return {name: None, "details": {name: {"censored_at_ms": 8000.0}}}


CALM = {seed: [results(), results()] for seed in (1, 2, 3)}
TOOTH = Tooth("t", "t", moves={"steady_state_ms": "up"}, keeps=("recovery_ms", "false_suspicions.count"))


def test_the_interval_is_how_far_runs_of_one_seed_lie_apart_widened_by_the_resolution() -> None:
    """Seeds may differ as they like; times are widened by 50 ms, bytes by 5 %, counts by nothing."""
    whole = {
        1: [results(), results(recovery_ms=130.0, bytes_reconnect=1100)],
        2: [results(recovery_ms=900.0, bytes_reconnect=9000), results(recovery_ms=890.0, bytes_reconnect=9000)],
    }
    assert interval(BY_NAME["recovery_ms"], whole) == Interval(80.0)
    assert interval(BY_NAME["bytes_reconnect"], whole).high == pytest.approx(0.15)
    assert interval(BY_NAME["false_suspicions.count"], whole) == Interval(0)


@pytest.mark.parametrize(("value", "where"), [(-80.0, "kept"), (-80.1, "down"), (80.0, "kept"), (80.1, "up")])
def test_the_bounds_of_an_interval_are_inside(value: float, where: str) -> None:
    """Only what lies beyond a bound has moved."""
    assert Interval(80.0).place(value) == where


def test_a_difference_is_taken_from_the_unbroken_runs_of_the_same_seed() -> None:
    """A seed whose storms are slow by nature does not make a broken run look slow, nor hide one that is."""
    whole = {1: [results(), results()], 2: [results(recovery_ms=900.0), results(recovery_ms=900.0)]}
    kept = Tooth("t", "t", moves={}, keeps=("recovery_ms",))
    (row,) = judge(kept, whole, {1: results(recovery_ms=140.0), 2: results(recovery_ms=940.0)})
    assert (row.values, row.unbroken, row.holds) == ((40.0, 40.0), 500.0, True)
    (row,) = judge(kept, whole, {1: results(recovery_ms=400.0), 2: results(recovery_ms=1200.0)})
    assert not row.holds


def test_bytes_are_compared_by_shares_and_never_with_never() -> None:
    """Half of the bytes is -50 %; two times that never came do not differ; anything is infinitely more than no byte."""
    bytes_of, time_of = BY_NAME["bytes_reconnect"], BY_NAME["recovery_ms"]
    assert difference(bytes_of, 500, 1000) == -0.5
    assert difference(bytes_of, 1, 0) == math.inf
    assert difference(time_of, math.inf, math.inf) == 0
    assert difference(time_of, math.inf, 100.0) == math.inf
    assert difference(time_of, 100.0, math.inf) == -math.inf


def test_what_never_came_is_longer_than_everything_and_what_is_missing_is_an_error() -> None:
    """A censored time moves up; a number that is null for another reason cannot be judged."""
    assert number(results(**never("recovery_ms")), "recovery_ms") == math.inf
    assert number(results(), "false_suspicions.count") == 0
    with pytest.raises(LookupError, match="expected recovery_ms in the results"):
        number(results(recovery_ms=None), "recovery_ms")


def test_a_tooth_that_bites_and_nothing_else_holds() -> None:
    """The declared time never came again, the others are where they were."""
    rows = list(judge(TOOTH, CALM, dict.fromkeys((1, 2, 3), results(**never("steady_state_ms")))))
    assert failures(rows) == []
    assert [(row.measure, row.agreeing) for row in rows] == [
        ("steady_state_ms", 3), ("recovery_ms", 3), ("false_suspicions.count", 3),
    ]  # fmt: skip


def test_a_tooth_that_does_not_bite_or_bites_elsewhere_fails_by_name() -> None:
    """The median decides: one run of three is not enough to move, and two of three that stray are too many."""
    blunt = judge(TOOTH, CALM, {1: results(), 2: results(), 3: results(**never("steady_state_ms"))})
    assert [line.partition(",")[0] for line in failures(list(blunt))] == ["t: expected steady_state_ms up"]
    wild = results(**{**never("steady_state_ms"), "false_suspicions": {"count": 1}})
    astray = judge(TOOTH, CALM, {1: wild, 2: wild, 3: results(**never("steady_state_ms"))})
    assert [line.partition(",")[0] for line in failures(list(astray))] == ["t: expected false_suspicions.count kept"]


def test_a_kept_time_is_not_held_against_a_starved_machine() -> None:
    """A starved run's times are shown, not judged; what had to move and what is no time is judged all the same."""
    slow = results(**{**never("steady_state_ms"), "recovery_ms": 900.0, "starved": True})
    rows = {row.measure: row for row in judge(TOOTH, CALM, {1: slow})}
    assert rows["recovery_ms"].holds
    assert rows["recovery_ms"].starved
    assert not rows["steady_state_ms"].starved
    assert not rows["false_suspicions.count"].starved


@pytest.mark.parametrize("seed", SEEDS)
def test_the_default_seeds_leave_every_shard_a_holder(seed: int) -> None:
    """Otherwise an unbroken mesh would not become steady either, and nothing could be said of a broken one."""
    planned = scenario(seed, STORM)
    plan = timeline.plan(planned)
    names = [agent.node_id for agent in plan.agents]
    placed = place(len(names), names, planned.replication, seed)
    assert all(any(name not in plan.victims for name in holders) for holders in placed)


def test_the_unclaimed_are_neither_moved_nor_kept() -> None:
    """A tooth says nothing about the rest of the judged numbers."""
    assert set(unclaimed(TOOTH)) == set(BY_NAME) - {"steady_state_ms", "recovery_ms", "false_suspicions.count"}


def test_controls_that_show_nothing_pass_and_have_a_null_distribution() -> None:
    """Zero suspicions and duplicates, intervals with 0 in them, and the spread of steady_state_ms."""
    runs = [results(steady_state_ms=value) for value in (0.0, 40.0, None, 10.0)]
    summary = controls.sum_up(runs)
    assert controls.failures(summary) == []
    assert (summary.steady_ms, summary.never_steady) == ((0.0, 10.0, 40.0), 1)
    assert "median 10, from 0 to 40, 0 in 1; not steady to the end in 1" in controls.table(summary, runs)


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"false_suspicions": {"count": 2}}, "expected 0 suspicions, got 2"),
        ({"duplicate_work_ratio": 0.01}, "expected 0 runs with duplicates, got 1"),
        ({"duplicate_effects": 1}, "expected 0 runs with duplicates, got 1"),
        ({"details": {"success_rate_drop": {"interval": [0.01, 0.2]}}}, "excludes 0, got 1"),
        ({"details": {"success_rate_drop": {"interval": [-0.2, -0.01]}}}, "excludes 0, got 1"),
        ({"verdict": {"status": "invalid", "reasons": ["thin"], "tags": []}}, "expected a valid run, got: thin"),
    ],
)
def test_a_control_that_shows_something_fails(changed: dict[str, Any], line: str) -> None:
    """Each thing that a control must not show fails by name."""
    (failed,) = controls.failures(controls.sum_up([results(), results(**changed)]))
    assert line in failed


def noise(seeds: int, repeats: int, drift: float = 0.0) -> dict[int, list[dict[str, Any]]]:
    """A pool of made-up runs; with ``drift`` every repeat of a seed is so much slower than the one before."""
    rng = Random("pool")
    return {
        seed: [results(recovery_ms=rng.gauss(100, 10) + drift * repeat) for repeat in range(repeats)]
        for seed in range(seeds)
    }


def test_a_protocol_against_itself_differs_as_seldom_as_the_test_allows() -> None:
    """Of 20 comparisons drawn from a pool of 8 seeds and 4 runs each, at most 2 are significant, and all could be."""
    outcome = same.compare_all(noise(8, 4), 20)
    assert (len(outcome.comparisons), outcome.able) == (20, 20)
    assert len(outcome.significant) <= 2
    assert same.failures(outcome) == []
    # Two different runs of each seed, and others in each comparison.
    assert len({tests["recovery_ms"].p for tests in outcome.comparisons} - {1.0}) > 5


def test_too_few_pairs_prove_nothing() -> None:
    """With six seeds no p-value can pass Holm's bound over five metrics: that no difference is found says nothing."""
    (failed,) = same.failures(same.compare_all(noise(6, 4), 20))
    assert "20 of 20 with too few pairs" in failed
    starved = {seed: [{**run, "starved": True} for run in runs] for seed, runs in noise(8, 2).items()}
    assert same.compare_all(starved, 1).comparisons[0]["recovery_ms"].n == 0
    with pytest.raises(ValueError, match="two runs of each seed"):
        same.compare_all({1: [results()]}, 20)


def test_a_difference_between_the_arms_would_be_found() -> None:
    """The same test finds one arm slower in every seed: that it finds nothing in an A/A means something."""
    arms = {seed: [results(recovery_ms=100.0 + seed), results(recovery_ms=300.0 + seed)] for seed in range(8)}
    outcome = same.Outcome((same._compare(arms),))
    assert outcome.significant == (0,)
    assert same.failures(outcome) == ["same: expected at most 0.1 of 1 significant, got 1"]
    assert "`recovery_ms` | 8 to 8 | 0.008 | 1 of 1" in same.table(outcome, [results()])


def test_what_has_run_is_not_run_again_and_what_was_stopped_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole results stand; those of a run that broke off, or none, make the run begin anew; none again is an error."""
    runs = [unbroken(seed, 1, STORM) for seed in (1, 2, 3)]
    for run, partial in zip(runs, (False, True), strict=False):
        (tmp_path / run.name).mkdir()
        (tmp_path / run.name / METRICS_FILE).write_text(json.dumps({"partial": partial, "is": "old"}))
    started = []

    def start(run: Run, home: Path, site: Path, port: int) -> None:
        assert "json-zombie = tests.teeth.sabotage:Zombie" in next(site.glob("*/entry_points.txt")).read_text()
        started.append((run.seed, port, home.exists()))
        home.mkdir()
        (home / "console.log").write_text("one\nno disk left\n")
        if run.seed == 2:
            (home / METRICS_FILE).write_text(json.dumps({"partial": False, "is": "new"}))

    monkeypatch.setattr(real_storm, "_start", start)
    found = real_storm.play(runs[:2], Place(tmp_path, 15_000), 1)
    assert [found[run.name]["is"] for run in runs[:2]] == ["old", "new"]
    with pytest.raises(LabError, match="no disk left"):
        real_storm.play(runs, Place(tmp_path, 15_000), 1)
    assert started == [(2, 15_000, False), (3, 15_000, False)]


@pytest.mark.parametrize(("suspicions", "code"), [(0, 0), (1, 1)])
def test_the_command_fills_in_its_table_and_says_what_failed(
    suspicions: int, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 0 when all is as declared, 1 and a line when not; the table is written either way."""
    found = results(false_suspicions={"count": suspicions})
    monkeypatch.setattr(cli, "play", lambda runs, *_: {run.name: found for run in runs})
    page = tmp_path / "teeth.md"
    page.write_text("<!-- controls -->\n<!-- end of controls -->\n")
    assert cli.main(["controls", "--count", "3", "--docs", str(page), "--folder", str(tmp_path)]) == code
    assert "| valid | 3 of 3 |" in page.read_text()
    assert ("expected 0 suspicions, got 3" in capsys.readouterr().out) is bool(suspicions)


def test_a_run_without_results_ends_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 3 and one line."""

    def play(*_: object) -> None:
        raise LabError("expected results of control-1, got: no disk left; see it")

    monkeypatch.setattr(cli, "play", play)
    assert cli.main(["controls", "--folder", str(tmp_path)]) == 3
    assert capsys.readouterr().out.startswith("teeth: expected results of control-1")
