"""The long journals of the benchmark: a real storm that is stretched, not another one."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import journals
from orchestrator import journal
from orchestrator.evidence import Evidence
from orchestrator.metrics import evaluate


def _measured(folder: Path, lines: int, groups: int) -> tuple[int, Evidence, dict[str, Any]]:
    count = journals.write(folder, lines, groups)
    evidence = Evidence.from_events(journal.load(journal.merge(folder)))
    return count, evidence, {name: value.value for name, value in evaluate(evidence).items()}


def test_stretched_storm_keeps_its_rates(tmp_path: Path) -> None:
    """Twice as long and as wide: durations double, shares and rates stay, and everybody knows of every death."""
    _, one, plain = _measured(tmp_path / "plain", 1, 1)
    count, two, long = _measured(tmp_path / "long", 14_000, 2)
    assert not one.malformed + two.malformed
    assert count == pytest.approx(14_000, rel=0.1)
    assert (len(one.agents), len(two.agents)) == (8, 16)
    assert (len(one.victims), len(two.victims)) == (2, 4)
    assert two.windows.duration_s == journals.duration_s(14_000, 2) == 2 * one.windows.duration_s
    assert len(two.tasks) == 2 * len(one.tasks)
    assert long["recovery_ms"] == pytest.approx(2 * plain["recovery_ms"], abs=1)
    assert long["detection_ms"]["p50"] == pytest.approx(2 * plain["detection_ms"]["p50"], abs=1)
    assert long["agreement_ms"] == pytest.approx(2 * plain["agreement_ms"], abs=1)
    assert long["bytes_reconnect"] == pytest.approx(4 * plain["bytes_reconnect"], rel=0.05)
    assert [long["detection_ms"]["undetected"], long["false_suspicions"]["count"], long["lost_tasks"]] == [[], 0, 0]
    assert long["success"]["post"]["rate"] == plain["success"]["post"]["rate"] == 1


def test_each_file_is_in_the_order_of_time(tmp_path: Path) -> None:
    """As an agent writes it; a victim's ends with its death."""
    journals.write(tmp_path, 30_000, 1)
    for path in [tmp_path / "conductor.jsonl", *tmp_path.glob("workspaces/*/journal.jsonl")]:
        times = [json.loads(line)["t"] for line in path.read_text().splitlines()]
        assert times == sorted(times)
