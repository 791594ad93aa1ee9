"""Results of this run and of earlier ones stand beside the series; targets keep their names, the documents are true."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from agent.instruments import AGENT
from chaos.telemetry import Telemetry as ChaosTelemetry
from orchestrator.telemetry import docs, results
from orchestrator.telemetry.instruments import ORCHESTRATOR
from orchestrator.telemetry.targets import write_targets
from protocols.errors import LabError
from tests.orchestrator.exporting import KILL_S, OFFSET_S, played, samples
from tests.orchestrator.live_play import T0_S

Event = dict[str, Any]
Build = Callable[..., list[Event]]
CHECKOUT = Path(__file__).parents[2]
CONTENT: Event = {
    "recovery_ms": 2120.0, "steady_state_ms": 4000.0, "bytes_reconnect": None, "success_rate_drop": 0.1,
    "duplicate_work_ratio": 0.0, "detection_ms": {"p50": 2150.0, "pairs": [1], "by_mechanism": {"probe": 1}},
    "verdict": {"status": "valid"}, "protocol": {"name": "json"}, "run_id": "r9", "seed": 4, "runtime": "local",
    "scaled": True, "windows": {"duration_s": 120.0},
}  # fmt: skip


def test_results_appear_after_the_evaluation_beside_those_of_earlier_runs(storm_events: Build) -> None:
    """Numbers by metric, protocol and run, nested ones by their dotted name; a null has no series."""
    about: dict[tuple[str, ...], float] = {("recovery_ms", "anp", "r1", "1", "local", "valid"): 900.0}
    exporter = played(storm_events(), 121, about)
    assert samples(exporter)["failstorm_steady_timestamp_seconds",] == 0
    exporter.evaluated(CONTENT)
    found = samples(exporter)
    shown = {key[1:]: value for key, value in found.items() if key[0] == "failstorm_result"}
    assert shown == {
        ("recovery_ms", "anp", "r1", "local", "1", "valid"): 900,
        ("recovery_ms", "json", "r9", "local", "4", "valid"): 2120,
        ("steady_state_ms", "json", "r9", "local", "4", "valid"): 4000,
        ("success_rate_drop", "json", "r9", "local", "4", "valid"): 0.1,
        ("duplicate_work_ratio", "json", "r9", "local", "4", "valid"): 0,
        ("detection_ms.p50", "json", "r9", "local", "4", "valid"): 2150,
        ("windows.duration_s", "json", "r9", "local", "4", "valid"): 120,
    }
    assert found["failstorm_steady_timestamp_seconds",] == T0_S + KILL_S + 4 + OFFSET_S


def test_earlier_runs_are_read_as_far_as_they_can_be(tmp_path: Path) -> None:
    """Not this run, not through the link to the latest, and no foreign or broken file stops the others."""
    for name, text in {
        "r1": json.dumps({**CONTENT, "run_id": "r1"}), "r2": "{", "r3": "[]", "r4": "{}", "own": json.dumps(CONTENT),
    }.items():  # fmt: skip
        (tmp_path / name).mkdir()
        (tmp_path / name / "failstorm_metrics.json").write_text(text)
    (tmp_path / "latest").symlink_to("own")
    assert (
        {key[2] for key in results.earlier(tmp_path, without="own")}
        == {"r1"}
        == {labels[2] for labels in results.rows({**CONTENT, "run_id": "r1"})}
    )
    assert results.earlier(tmp_path / "nowhere", without="own") == {}


def test_only_the_newest_runs_are_shown(tmp_path: Path) -> None:
    """A folder of a thousand runs does not make a thousand times the series."""
    for number in range(103):
        folder = tmp_path / f"2030-{number:03}"
        folder.mkdir()
        (folder / "failstorm_metrics.json").write_text(json.dumps({**CONTENT, "run_id": folder.name}))
    shown = {key[2] for key in results.earlier(tmp_path, without="")}
    assert (len(shown), min(shown)) == (100, "2030-003")


def test_targets_keep_everybody_by_name(tmp_path: Path) -> None:
    """A fixed list with job, run and name, so that a killed agent shows ``up == 0``; nothing else lies beside it."""
    write_targets(tmp_path, "r1", {"agent_1": "agent-1:10001"}, "orchestrator:10000", "chaos:8000")
    assert [path.name for path in (tmp_path / "prometheus").iterdir()] == ["targets.json"]
    groups = json.loads((tmp_path / "prometheus" / "targets.json").read_text())
    assert groups == [
        {"targets": ["agent-1:10001"],
         "labels": {"job": "agent", "instance": "agent_1", "run": "r1", "node": "agent_1"}},
        {"targets": ["orchestrator:10000"],
         "labels": {"job": "orchestrator", "instance": "orchestrator", "run": "r1"}},
        {"targets": ["chaos:8000"], "labels": {"job": "chaos", "instance": "chaos", "run": "r1"}},
    ]  # fmt: skip
    write_targets(tmp_path, "r1", {}, "127.0.0.1:10000")
    assert len(json.loads((tmp_path / "prometheus" / "targets.json").read_text())) == 1
    with pytest.raises(LabError, match=r"expected to make .*nowhere.prometheus, got: No such file"):
        write_targets(tmp_path / "nowhere", "r1", {}, "127.0.0.1:10000")


def test_the_documentation_is_generated() -> None:
    """docs/telemetry.md lists the instruments as they are: run ``make docs`` after a change."""
    text = (CHECKOUT / "docs" / "telemetry.md").read_text(encoding="utf-8")
    assert text == docs.render()
    for instrument in (*AGENT, *ORCHESTRATOR, *docs.CHAOS):
        assert f"| `{instrument.name}` | {instrument.kind} |" in text
        assert instrument.name.endswith("_total") == (instrument.kind == "counter")


def test_chaos_declares_what_the_documentation_says() -> None:
    """The service has instruments of its own; names, types and labels are those of the table."""
    registry = CollectorRegistry()
    telemetry = ChaosTelemetry(registry, 0.0)
    telemetry.observe("kill_call", 1.0, {"victim": "agent_1"})
    telemetry.observe("death", 1.0, {"victim": "agent_1"})
    declared = {
        (sample.name, family.type, tuple(sample.labels))
        for family in registry.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    }
    assert declared == {(found.name, found.kind, found.labels) for found in docs.CHAOS}
