"""A comparison goes on where it was left, runs nothing twice, and repeats nothing silently."""

import json
import os
from collections import Counter
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from orchestrator.compare import plan as plans
from orchestrator.compare import table
from orchestrator.compare.conduct import ATTEMPTS, conduct
from orchestrator.compare.files import locked
from orchestrator.compare.plan import Plan, Slot
from orchestrator.compare.progress import Display, in_time, run_s
from orchestrator.compare.result import build
from orchestrator.compare.state import aside_counts, scan
from protocols.clock import MonotonicClock
from protocols.errors import ConfigError, LabError
from tests.orchestrator.compare_lab import (
    STAGES,
    Killed,
    MadeUpLab,
    a_plan,
    compared,
    go,
    leave_half,
    results,
    scenario,
    write_plan,
)


def _numbers(comparison: dict[str, Any]) -> list[Any]:
    tables = [table.specification(comparison, mode) for mode in comparison["modes"]]
    return [comparison[key] for key in ("cells", "pairs", "log_rank", "survival", "finished", "missing")] + tables


@pytest.mark.parametrize("stage", STAGES)
def test_a_comparison_that_was_killed_anywhere_ends_with_the_same_table(tmp_path: Path, stage: str) -> None:
    """Killed in any run at any stage and started again: equal numbers, and no finished run is run twice."""
    plan = a_plan()
    undisturbed = _numbers(compared(tmp_path / "undisturbed", plan))
    for place in range(1, len(plan.slots) + 1):
        root = tmp_path / f"killed-{place}"
        first, second = MadeUpLab(root, kill_at=(place, stage)), MadeUpLab(root)
        with pytest.raises(Killed):
            go(plan, root, first)
        state, said = go(plan, root, second)
        assert _numbers(build(plan, root, state)) == undisturbed
        assert first.finished + second.finished == Counter(plan.slots)
        assert second.played == list(plan.slots[place - 1 :])
        halves = 0 if stage == "nothing" else 1
        assert sum(aside_counts(root).values()) == halves
        assert said.count("was stopped half way") == halves


def test_a_run_with_results_is_never_repeated_whatever_its_verdict(tmp_path: Path) -> None:
    """An invalid run, and one that broke off by itself, stay; the comparison says why they do not count."""

    def values(slot: Slot) -> dict[str, Any]:
        if slot.seed == 1:
            return {"verdict": {"status": "invalid", "reasons": ["agent_2 ended without being killed"], "tags": []}}
        broke = {"status": "unknown", "reasons": ["the run broke off: no engine"], "tags": ["partial"]}
        return {"partial": True, "verdict": broke} if slot.seed == 2 else {}

    class Mishap(MadeUpLab):
        def finish(self, run_dir: Path, slot: Slot) -> None:
            super().finish(run_dir, slot)
            if slot.seed == 2:
                with (run_dir / "conductor.jsonl").open("a") as file:
                    row = {"t": 9.0, "node": "orchestrator", "ev": "interrupted", "reason": "no engine"}
                    file.write("\n" + json.dumps(row) + "\n")

    plan = a_plan()
    lab = Mishap(tmp_path, values)
    state, _ = go(plan, tmp_path, lab)
    state, _ = go(plan, tmp_path, lab)
    assert lab.played == list(plan.slots)
    comparison = build(plan, tmp_path, state)
    assert [row["excluded"] for row in comparison["runs"] if row["seed"] == 1] == [
        "invalid: agent_2 ended without being killed"
    ] * 2
    text = table.render(comparison)
    assert text.count("unknown: the run broke off: no engine") == 2
    assert "4 of 6 runs are not valid and count for nothing" in text


def test_a_slot_without_results_is_given_up_and_the_next_one_run(tmp_path: Path) -> None:
    """A lab that fails for one protocol costs its runs, not the comparison; what is missing is said."""

    class Failing(MadeUpLab):
        def finish(self, run_dir: Path, slot: Slot) -> None:
            if slot.protocol == "a2a":
                leave_half(run_dir, slot, "journal")
            else:
                super().finish(run_dir, slot)

    plan, lab = a_plan(repeats=2), Failing(tmp_path)
    state, said = go(plan, tmp_path, lab)
    assert [lab.played.count(slot) for slot in plan.slots if slot.protocol == "a2a"] == [ATTEMPTS] * 2
    assert [slot.name for slot in state.open(plan)] == ["a2a-common-seed1", "a2a-common-seed2"]
    assert "no results (exit code 0): expected more disk, got none" in said
    comparison = build(plan, tmp_path, state)
    assert comparison["set_aside"] == {"a2a-common-seed1": ATTEMPTS, "a2a-common-seed2": ATTEMPTS}
    assert "2 of 4 planned runs are missing" in table.render(comparison)


def test_a_lab_that_fails_for_every_protocol_ends_the_comparison(tmp_path: Path) -> None:
    """Hundreds of runs that leave nothing would tell nobody anything."""

    class Broken(MadeUpLab):
        def finish(self, run_dir: Path, slot: Slot) -> None:
            leave_half(run_dir, slot, "journal")

    lab = Broken(tmp_path)
    with pytest.raises(LabError, match=r"4 runs of every protocol left none, .*: expected more disk"):
        go(a_plan(repeats=9), tmp_path, lab)
    assert len(lab.played) == ATTEMPTS + 1


def test_a_refused_run_ends_the_comparison_with_its_own_words(tmp_path: Path) -> None:
    """A taken port would refuse every run: the first one says so."""

    class Refusing(MadeUpLab):
        def play(self, slot: Slot, tick: Callable[[], None]) -> int:
            tick()
            self.played.append(slot)
            return 2

    lab = Refusing(tmp_path)
    with pytest.raises(ConfigError, match="was refused: expected more disk, got none"):
        go(a_plan(), tmp_path, lab)
    assert len(lab.played) == 1


def test_a_run_that_is_not_the_plans_is_not_taken_for_it(tmp_path: Path) -> None:
    """Other scenario, other runtime, one too many: foreign, with the reason; the code changed: the comparison ends."""
    plan = a_plan(repeats=1)
    slot = plan.slots[0]
    other = scenario(slot.protocol)
    other["scenario"]["task_rate"] = 4.0
    for name, content in {
        "1-other": results(slot, {"scenario": other}),
        "2-docker": results(slot, {"runtime": "docker"}),
        "3-good": results(slot, {}),
        "4-again": results(slot, {}),
    }.items():
        write_plan(tmp_path / "runs" / name, slot)
        (tmp_path / "runs" / name / "failstorm_metrics.json").write_text(json.dumps(content))
    state = scan(plan, tmp_path)
    assert [run.path.name for run in state.done.values()] == ["3-good"]
    assert {path.name: reason for path, reason in state.foreign} == {
        "1-other": "its scenario differs from the plan's in scenario.task_rate",
        "2-docker": "expected runtime local, got docker; the two never share a table",
        "4-again": "the plan has no place for it",
    }
    changed = MadeUpLab(tmp_path, lambda _: {"scenario": {**scenario("a2a"), "expect": {"depth": "< 1"}}})
    with pytest.raises(LabError, match="expect"):
        go(plan, tmp_path, changed)
    assert len(changed.played) == 1


def test_the_sections_of_the_runtime_do_not_make_a_run_foreign(tmp_path: Path) -> None:
    """A container has other ports and another results folder than the plan was made with."""
    plan = a_plan(repeats=1)
    slot = plan.slots[0]
    moved = {**scenario(slot.protocol), "network": {"base_port": 1}, "output": {"results_dir": "/results"}}
    write_plan(tmp_path / "runs" / "1", slot)
    (tmp_path / "runs" / "1" / "failstorm_metrics.json").write_text(json.dumps(results(slot, {"scenario": moved})))
    assert list(scan(plan, tmp_path).done) == [slot]


def test_the_plan_is_blocks_in_an_order_of_chance_that_repeats() -> None:
    """Each block is one seed with every arm and mode once; the same wishes give the same order, not always one."""
    plan = a_plan(("json", "a2a", "acp"), 4, ("common", "native"))
    blocks = [[slot for slot in plan.slots if slot.block == number] for number in range(1, 5)]
    assert plan.slots == tuple(slot for block in blocks for slot in block)
    for number, block in enumerate(blocks, 1):
        assert {slot.seed for slot in block} == {number}
        assert sorted((slot.arm, slot.mode) for slot in block) == [
            (arm, mode) for arm in ("a2a", "acp", "json") for mode in ("common", "native")
        ]
    assert len({tuple((slot.arm, slot.mode) for slot in block) for block in blocks}) > 1
    assert plan == a_plan(("json", "a2a", "acp"), 4, ("common", "native"))


def test_the_plan_survives_the_disk_and_names_what_differs(tmp_path: Path) -> None:
    """What is read back is what was written; another comparison is told apart by the names of what differs."""
    plan = a_plan()
    plans.save(plan, tmp_path)
    assert plans.load(tmp_path) == plan
    longer: Plan = plan.model_copy(update={"base": {**plan.base, "expect": {"depth": "< 1"}}})
    assert plan.differences(longer) == ["expect.depth"]
    assert plan.differences(a_plan(repeats=2)) == ["seeds"]
    (tmp_path / "plan.json").write_text('{"comparison_id": "x"}')
    with pytest.raises(ConfigError, match="expected a plan of this version"):
        plans.load(tmp_path)


def test_two_comparisons_never_share_a_folder(tmp_path: Path) -> None:
    """Whoever comes second is told, after waiting for what may still be ending."""
    said: list[str] = []
    with (
        locked(tmp_path, said.append),
        pytest.raises(LabError, match="a comparison is running there"),
        locked(tmp_path, said.append, wait_s=0.0),
    ):
        pass
    assert said == ["waiting for the run that is still ending there"]
    with locked(tmp_path, said.append, wait_s=0.0):
        pass


def test_the_time_left_follows_from_the_runs_there_are(tmp_path: Path) -> None:
    """The plan's length until there is one; then the median of theirs, from the first file to the last."""
    plan = a_plan()
    assert run_s(plan, {}) == pytest.approx(16 + 12)
    state, said = go(plan, tmp_path, MadeUpLab(tmp_path))
    assert said.splitlines()[0] == f"1 of 6: {plan.slots[0].name}, about 3 min left"
    for run in state.done.values():
        os.utime(run.path / "scenario.yaml", (1000.0, 1000.0))
        os.utime(run.path / "failstorm_metrics.json", (1040.0, 1040.0))
    assert run_s(plan, state.done) == pytest.approx(40.0)
    assert in_time(40.0) == "about 1 min"
    assert in_time(3.1 * 3600) == "about 3 h 06 min"


def test_a_terminal_has_a_bar(tmp_path: Path) -> None:
    """With how many of how many, which run, and the time left."""
    plan, screen = a_plan(repeats=1), StringIO()
    console = Console(file=screen, width=100, force_terminal=True, color_system=None)
    with Display(plan, console, MonotonicClock()) as display:
        conduct(plan, tmp_path, MadeUpLab(tmp_path), display)
    assert f"{plan.slots[1].name}, about 1 min left" in screen.getvalue()
    assert f"{plan.slots[0].name}: valid (scaled)" in screen.getvalue()
