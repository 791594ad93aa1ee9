"""What the orchestrator shows to Prometheus is what the journals say, as they grow."""

import asyncio
import math
import socket
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from orchestrator.live_state import LiveState
from orchestrator.telemetry.exporter import Exporter, serve
from orchestrator.telemetry.instruments import ORCHESTRATOR
from orchestrator.windows import Windows
from tests.orchestrator.exporting import KILL_S, OFFSET_S, StillClock, played, samples, seen
from tests.orchestrator.live_play import T0_S

Event = dict[str, Any]
Build = Callable[..., list[Event]]


def test_before_the_run_every_family_is_there() -> None:
    """A scrape that comes first finds no panel empty but those that a run cannot fill yet."""
    names = ["agent_1", "agent_2"]
    windows = Windows(
        scale=1, duration_s=120, warmup_s=25, kill_at_s=60, task_deadline_s=5, rate_window_s=30, byte_window_s=30,
        steady_window_s=5, steady_hold_s=10,
    )  # fmt: skip
    found = samples(
        Exporter(
            LiveState(windows, names, lambda task, answer: task["answer"] == answer["answer"]), StillClock(), OFFSET_S
        )
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
        found = seen(events, at_s)
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
    before, after = seen(events, KILL_S - 0.1), seen(events, KILL_S + 0.1)
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
    first = seen(events, KILL_S + 2.06)
    assert first["failstorm_detection_ms", "probe", "agent_1", "agent_3"] == pytest.approx(2050)
    assert first["failstorm_detected_pairs",] == 2
    assert first["failstorm_agreement_timestamp_seconds",] == 0
    assert first["failstorm_agent_suspicions", "agent_3"] == 1
    assert first["failstorm_recovery_timestamp_seconds",] == pytest.approx(0)
    later = seen(events, KILL_S + 2.4)
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
    assert seen(events, 39)[state, "agent_2"] == 3
    assert seen(events, 41)[state, "agent_2"] == 1
    assert seen(events, 41)["failstorm_false_suspicions_total",] == 1
    found = seen(events, KILL_S + 1)
    assert (found[state, "agent_3"], found[state, "agent_1"]) == (0, 3)
    found = seen(events, KILL_S + 2.31)
    assert (found[state, "agent_3"], found[state, "agent_8"], found["failstorm_false_suspicions_total",]) == (0, 2, 1)
    assert seen(events, KILL_S + 8)[state, "agent_8"] == 3


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
    assert seen(events, KILL_S + 14)["failstorm_detected_pairs",] == 7
    found = seen(events, KILL_S + 17)
    assert found["failstorm_detected_pairs",] == 7
    assert found["failstorm_agents_alive",] == 8
    assert found["failstorm_agent_state", "agent_3"] == 2
    assert seen(events, KILL_S + 20)["failstorm_agent_state", "agent_3"] == 3


def test_goodput_stands_in_its_baseline_band(storm_events: Build) -> None:
    """8 per second before the storm, inside a band that is known from the first whole window on; a dip after it."""
    events = storm_events()
    bounds = ("failstorm_baseline_goodput_per_s",)
    assert math.isnan(seen(events, 29)[*bounds, "low"])
    before, after, late = (seen(events, at_s) for at_s in (54, KILL_S + 2.2, 110))
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
    found = seen(silent, 121)
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
    found = seen(events, 121)
    steps = [(event["task"], event["step"]) for event in events if event["ev"] == "step_start"]
    assert found["failstorm_duplicates_total",] == len(steps) - len(set(steps)) > 0
    retries = sum(event["ev"] == "request" and event["attempt"] > 1 for event in events)
    assert found["failstorm_retries_total",] == retries > 0
    takeovers = sum(event["ev"] == "task_start" and event["takeover"] for event in events)
    assert found["failstorm_takeovers_total",] == takeovers > 0
    assert found["failstorm_host_cpu_percent",] == 30


def test_metrics_are_served_over_http_until_the_block_ends(storm_events: Build) -> None:
    """One port, one path; afterwards the port is free again."""
    exporter = played(storm_events(duration_s=24.0), 1)
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
