"""What the orchestrator shows to Prometheus is what the journals say, as they grow."""

import asyncio
import json
import math
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from agent.instruments import AGENT
from chaos.telemetry import Telemetry as ChaosTelemetry
from orchestrator.live_state import LiveState
from orchestrator.telemetry import docs, results
from orchestrator.telemetry.exporter import Exporter, serve
from orchestrator.telemetry.instruments import ORCHESTRATOR
from orchestrator.telemetry.targets import write_targets
from orchestrator.windows import Windows
from protocols.errors import LabError

Event = dict[str, Any]
Build = Callable[..., list[Event]]
T0_S, OFFSET_S = 1003.0, 1_000_000.0
KILL_S = 60.0
CHECKOUT = Path(__file__).parents[2]
Samples = dict[tuple[str, ...], float]


class _Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def now(self) -> float:
        return self.now_s

    async def sleep(self, duration_s: float) -> None:
        raise AssertionError(duration_s)


def _samples(exporter: Exporter) -> Samples:
    """Name and label values, in the order of the labels' names → value."""
    return {
        (sample.name, *dict(sorted(sample.labels.items())).values()): sample.value
        for family in text_string_to_metric_families(exporter.exposition().decode())
        for sample in family.samples
    }


def _played(events: list[Event], until_s: float, earlier: dict[tuple[str, ...], float] | None = None) -> Exporter:
    """An exporter that was fed what happened until then, seconds after t0."""
    start = next(event for event in events if event["ev"] == "run_start")
    names = next([row["node_id"] for row in event["agents"]] for event in events if event["ev"] == "roster")
    state = LiveState(Windows(**start["windows"]), names, lambda task, answer: task["answer"] == answer["answer"])
    clock = _Clock()
    exporter = Exporter(state, clock, OFFSET_S, earlier)
    for event in events:
        if event["t"] <= T0_S + until_s:
            state.tick(event["t"])
            state.apply(event)
            exporter.follow(event)
    state.tick(T0_S + until_s)
    clock.now_s = T0_S + until_s + 0.25  # it shows what is a quarter of a second old
    return exporter


def _seen(events: list[Event], until_s: float) -> Samples:
    return _samples(_played(events, until_s))


def test_before_the_run_every_family_is_there() -> None:
    """A scrape that comes first finds no panel empty but those that a run cannot fill yet."""
    names = ["agent_1", "agent_2"]
    windows = Windows(
        scale=1, duration_s=120, warmup_s=25, kill_at_s=60, task_deadline_s=5, rate_window_s=30, byte_window_s=30,
        steady_window_s=5, steady_hold_s=10,
    )  # fmt: skip
    found = _samples(
        Exporter(LiveState(windows, names, lambda task, answer: task["answer"] == answer["answer"]), _Clock(), OFFSET_S)
    )
    later = {"failstorm_run_info", "failstorm_detection_ms", "failstorm_result"}
    assert {key[0] for key in found} == {instrument.name for instrument in ORCHESTRATOR} - later
    assert found["failstorm_kill_timestamp_seconds", "agent_2"] == 0
    assert found["failstorm_phase", "start"] == 1
    assert found["failstorm_agents_alive",] == 0
    assert math.isnan(found["failstorm_goodput_per_s",])


def test_phase_and_countdown_follow_the_plan(storm_events: Build) -> None:
    """Each phase in its turn, exactly one at a time; the countdown ends at the kill, the elapsed time at the end."""
    events = storm_events()
    turns = {-0.5: "start", 1.0: "warmup", 26.0: "pre", 56.0: "inflight", 61.0: "post", 91.0: "tail", 121.0: "over"}
    for at_s, name in turns.items():
        found = _seen(events, at_s)
        assert [key[1] for key, value in found.items() if key[0] == "failstorm_phase" and value] == [name]
        assert found["failstorm_countdown_seconds",] == pytest.approx(min(KILL_S, max(0, KILL_S - at_s)))
        assert found["failstorm_elapsed_seconds",] == pytest.approx(min(max(0, at_s), 120))
    assert found["failstorm_planned_kill_timestamp_seconds",] == T0_S + KILL_S + OFFSET_S
    assert found["failstorm_t0_timestamp_seconds",] == T0_S + OFFSET_S
    assert found["failstorm_end_timestamp_seconds",] == T0_S + 120 + OFFSET_S
    assert found["failstorm_run_info", "json", "20300101-000000-json-1", "local", "1"] == 1


def test_nobody_is_named_before_the_kill(storm_events: Build) -> None:
    """Who will die stands in no series until it happens; the times of the kill are exact from then on."""
    events = storm_events()
    before, after = _seen(events, KILL_S - 0.1), _seen(events, KILL_S + 0.1)
    kills = {key[1]: value for key, value in before.items() if key[0] == "failstorm_kill_timestamp_seconds"}
    assert set(kills.values()) == {0}
    assert len(kills) == 8
    assert before["failstorm_planned_victims",] == 2
    assert after["failstorm_kill_timestamp_seconds", "agent_3"] == T0_S + KILL_S + OFFSET_S
    assert after["failstorm_death_timestamp_seconds", "agent_3"] == pytest.approx(T0_S + KILL_S + OFFSET_S + 0.004)
    assert after["failstorm_kill_timestamp_seconds", "agent_1"] == 0
    assert (before["failstorm_agents_alive",], after["failstorm_agents_alive",]) == (8, 6)
    assert (before["failstorm_expected_pairs",], after["failstorm_expected_pairs",]) == (0, 12)


def test_detection_and_recovery_appear_as_they_happen(storm_events: Build) -> None:
    """Pair by pair with time and mechanism; agreement with the last pair; recovery with the first message.

    What an agent does itself after all is a repair, but no message.
    """
    alone = {"t": T0_S + KILL_S + 2.051, "node": "agent_1", "inc": 0, "ev": "repair", "cause": ["agent_3", "r0"],
             "kind": "request", "peer": "agent_1", "link": "self"}  # fmt: skip
    events = sorted([*storm_events(), alone], key=lambda event: event["t"])
    first = _seen(events, KILL_S + 2.06)
    assert first["failstorm_detection_ms", "probe", "agent_1", "agent_3"] == pytest.approx(2050)
    assert first["failstorm_detected_pairs",] == 2
    assert first["failstorm_agreement_timestamp_seconds",] == 0
    assert first["failstorm_agent_suspicions", "agent_3"] == 1
    assert first["failstorm_recovery_timestamp_seconds",] == pytest.approx(0)
    later = _seen(events, KILL_S + 2.4)
    assert later["failstorm_detected_pairs",] == 12
    assert later["failstorm_agreement_timestamp_seconds",] == pytest.approx(T0_S + KILL_S + 2.3 + OFFSET_S)
    firsts = [event["t"] for event in events if event["ev"] == "repair" and event["link"] != "self"]
    assert later["failstorm_recovery_timestamp_seconds",] == pytest.approx(min(firsts) + OFFSET_S)
    assert later["failstorm_repairs_total", "edge"] == 2


def test_the_state_of_an_agent(storm_events: Build) -> None:
    """Alive, dead from the kill on, recovering for two seconds from the notice, suspected if it runs all the same."""
    events = storm_events()
    wrong = {"t": T0_S + 40, "node": "agent_1", "inc": 0, "ev": "suspect", "peer": "agent_2", "peer_inc": 0,
             "mechanism": "probe"}  # fmt: skip
    events = sorted([*events, wrong], key=lambda event: event["t"])
    state = "failstorm_agent_state"
    assert _seen(events, 39)[state, "agent_2"] == 3
    assert _seen(events, 41)[state, "agent_2"] == 1
    assert _seen(events, 41)["failstorm_false_suspicions_total",] == 1
    found = _seen(events, KILL_S + 1)
    assert (found[state, "agent_3"], found[state, "agent_1"]) == (0, 3)
    found = _seen(events, KILL_S + 2.31)
    assert (found[state, "agent_3"], found[state, "agent_8"], found["failstorm_false_suspicions_total",]) == (0, 2, 1)
    assert _seen(events, KILL_S + 8)[state, "agent_8"] == 3


def test_a_restarted_victim_keeps_its_detections_and_recovers(storm_events: Build) -> None:
    """What was detected before the restart stays; it is recovering once it serves, then alive, and counts as up."""
    events = storm_events(victims=(3,))
    heal_s = T0_S + KILL_S + 15
    more = [{"t": heal_s, "node": "orchestrator", "inc": 0, "ev": "heal_call", "victim": "agent_3"},
            {"t": heal_s + 0.9, "node": "agent_3", "inc": 1000, "ev": "agent_start", "tool": "triple"},
            {"t": heal_s + 1.0, "node": "orchestrator", "inc": 0, "ev": "heal_done", "victim": "agent_3"}]  # fmt: skip
    back = [{"t": heal_s + 1.5, "node": f"agent_{number}", "inc": 0, "ev": "alive", "peer": "agent_3"}
            for number in (1, 2, 4, 5, 6, 7, 8)]  # fmt: skip
    events = sorted([*events, *more, *back], key=lambda event: event["t"])
    assert _seen(events, KILL_S + 14)["failstorm_detected_pairs",] == 7
    found = _seen(events, KILL_S + 17)
    assert found["failstorm_detected_pairs",] == 7
    assert found["failstorm_agents_alive",] == 8
    assert found["failstorm_agent_state", "agent_3"] == 2
    assert _seen(events, KILL_S + 20)["failstorm_agent_state", "agent_3"] == 3


def test_goodput_stands_in_its_baseline_band(storm_events: Build) -> None:
    """8 per second before the storm, inside a band that is known from the first whole window on; a dip after it."""
    events = storm_events()
    bounds = ("failstorm_baseline_goodput_per_s",)
    assert math.isnan(_seen(events, 29)[*bounds, "low"])
    before, after, late = (_seen(events, at_s) for at_s in (54, KILL_S + 2.2, 110))
    assert before["failstorm_goodput_per_s",] == pytest.approx(8, abs=0.4)
    for found in (before, after, late):
        low, mean, high = (found[*bounds, bound] for bound in ("low", "mean", "high"))
        assert 7.5 <= low <= mean <= high <= 8.5
        assert mean == pytest.approx(8, abs=0.3)
    assert after["failstorm_goodput_per_s",] < low
    assert late["failstorm_success_ratio",] == 1
    assert late["failstorm_baseline_success_ratio",] == 1


def test_tasks_are_graded_once_and_by_the_phase_of_their_arrival(storm_events: Build) -> None:
    """Right, wrong and unanswered; what was scheduled is shown beside, and at the end both agree."""
    events = storm_events()
    answers = [event for event in events if event["ev"] == "answer"]
    answers[0]["answer"] = "Bob"
    silent = [event for event in events if event is not answers[1]]
    found = _seen(silent, 121)
    graded = {key[1:]: value for key, value in found.items() if key[0] == "failstorm_graded_tasks_total"}
    assert graded["wrong", "warmup"] == 1
    assert graded["expired", "warmup"] == 1
    assert graded["correct", "pre"] == 240
    scheduled = {key[1]: value for key, value in found.items() if key[0] == "failstorm_scheduled_tasks"}
    assert scheduled == {"warmup": 200, "pre": 240, "inflight": 40, "post": 240, "tail": 200}
    for phase, count in scheduled.items():
        assert sum(graded[outcome, phase] for outcome in ("correct", "wrong", "expired")) == count


def test_work_done_again_is_counted(storm_events: Build) -> None:
    """Take-overs, attempts beyond the first, and starts of a step beyond its first, as the journal has them."""
    events = storm_events()
    found = _seen(events, 121)
    steps = [(event["task"], event["step"]) for event in events if event["ev"] == "step_start"]
    assert found["failstorm_duplicates_total",] == len(steps) - len(set(steps)) > 0
    retries = sum(event["ev"] == "request" and event["attempt"] > 1 for event in events)
    assert found["failstorm_retries_total",] == retries > 0
    takeovers = sum(event["ev"] == "task_start" and event["takeover"] for event in events)
    assert found["failstorm_takeovers_total",] == takeovers > 0
    assert found["failstorm_host_cpu_percent",] == 30


CONTENT: Event = {
    "recovery_ms": 2120.0, "steady_state_ms": 4000.0, "bytes_reconnect": None, "success_rate_drop": 0.1,
    "duplicate_work_ratio": 0.0, "detection_ms": {"p50": 2150.0, "pairs": [1], "by_mechanism": {"probe": 1}},
    "verdict": {"status": "valid"}, "protocol": {"name": "json"}, "run_id": "r9", "seed": 4, "runtime": "local",
    "scaled": True, "windows": {"duration_s": 120.0},
}  # fmt: skip


def test_results_appear_after_the_evaluation_beside_those_of_earlier_runs(storm_events: Build) -> None:
    """Numbers by metric, protocol and run, nested ones by their dotted name; a null has no series."""
    about: dict[tuple[str, ...], float] = {("recovery_ms", "anp", "r1", "1", "local", "valid"): 900.0}
    exporter = _played(storm_events(), 121, about)
    assert _samples(exporter)["failstorm_steady_timestamp_seconds",] == 0
    exporter.evaluated(CONTENT)
    found = _samples(exporter)
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


def test_metrics_are_served_over_http_until_the_block_ends(storm_events: Build) -> None:
    """One port, one path; afterwards the port is free again."""
    exporter = _played(storm_events(duration_s=24.0), 1)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]

    async def ask() -> httpx.Response:
        async with serve(exporter, "127.0.0.1", port), httpx.AsyncClient(trust_env=False) as client:
            return await client.get(f"http://127.0.0.1:{port}/metrics")

    answer = asyncio.run(ask())
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert b"failstorm_agents 8.0" in answer.content
    with socket.create_server(("127.0.0.1", port)):
        pass


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
