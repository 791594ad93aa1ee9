"""Storms in real containers on a real engine, as a user starts them, and the bad days of such a lab."""

import json
import re
import signal
import socket
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console

from agent.models.replay import Recorded
from grafana.check import main as dashboards_have_data
from orchestrator import settings_load, timeline
from orchestrator.workload.assignment import assign
from tests.containers.container_lab import ADMIN_BASE_PORT, BASE_PORT, PROMETHEUS_PORT, ContainerLab, until
from tests.e2e.small_disk import small_disk
from tests.models.endpoint_process import EndpointProcess

SEED_METRICS = ("recovery_ms", "steady_state_ms", "bytes_reconnect", "success_rate_drop", "duplicate_work_ratio")
KEY = "sk-not-to-be-seen"
pytestmark = [pytest.mark.storm, pytest.mark.timeout(240)]


@pytest.mark.parametrize("protocol", ["json", "anp"])
def test_a_storm_as_a_user_starts_it(lab: ContainerLab, protocol: str) -> None:
    """Exit code 0, victims killed by SIGKILL and proven so, every seed metric a number or null with its reason.

    The other protocols are spoken in the tests below, and in those of the faults.
    """
    with lab.run("--protocol", protocol, "--duration", "30" if protocol == "json" else "16") as run:
        code, output = run.finish(200)
        found = run.metrics()
        journal = run.journal()
        logs = {path.name: path.read_text() for path in (run.run_dir / "logs").iterdir()}
    assert code == 0, output
    assert (found["runtime"], found["protocol"]["name"], found["verdict"]["status"]) == ("docker", protocol, "valid")
    for metric in SEED_METRICS:
        assert isinstance(found[metric], int | float) or found["reasons"][metric]
    states = lab.states("agent")
    assert len(states) == 8
    killed = {node for node, state in states.items() if state["exit_code"] == 128 + signal.SIGKILL}
    assert killed == set(found["victims"])
    assert len(killed) == 2
    assert {state["exit_code"] for node, state in states.items() if node not in killed} == {0}
    assert {event["victim"] for event in journal if event["ev"] == "death" and event["signal"] == 9} == killed
    assert {event["node"] for event in journal if event["ev"] == "agent_start"} == set(states)
    [order] = [event for event in journal if event["ev"] == "order"]
    assert order["victims"] == found["victims"]
    assert order["t"] <= min(event["t"] for event in journal if event["ev"] == "kill_call")
    assert "inject kill" in logs["chaos.log"]
    for node in states:
        assert "the clock runs" in logs[f"{node}.log"]
        assert logs[f"{node}.log"].endswith("  ends\n") == (node not in killed)
    for node in killed:
        [sample] = lab.ask_prometheus(f'up{{node="{node}"}}')
        assert sample["value"][1] == "0"
    if protocol == "json":  # what Prometheus saw has no protocol's name on it
        assert found["checks"]["flagged"] == [], found["checks"]["rows"]
        assert dashboards_have_data([f"http://127.0.0.1:{PROMETHEUS_PORT}", "--evaluated"], Console()) == 0


def record_answers(path: Path, **storm: float) -> None:
    """A recording that has the right answer to every question of a run with these wishes."""
    scenario = settings_load.build([settings_load.Layer("test", {"scenario": storm})], {})
    tasks = assign(scenario, timeline.plan(scenario)).tasks
    recorded = (
        Recorded(task=task.task_id, question=task.question, answer=task.answer, chain=(), ms=5.0) for task in tasks
    )
    path.write_text("".join(one.model_dump_json() + "\n" for one in recorded))


def test_twelve_agents_with_everything_a_user_tries(lab: ContainerLab, tmp_path: Path) -> None:
    """The override makes the four beyond compose.yaml; `ps`, `logs` and curl know them, and `down` leaves nothing.

    They reason with recorded answers, a file of the host's that each of them has in its workspace.
    """
    record_answers(tmp_path / "answers.jsonl", agent_count=12, duration=20.0, kill_fraction=0.25)
    replay = ("--set", "llm.model.type=replay", "--set", f"llm.model.recording={tmp_path}/answers.jsonl")
    with lab.run("--agent-count", "12", "--duration", "20", "--kill-fraction", "0.25", *replay) as run:
        run.wait_for(lambda event: event["ev"] == "t0", timeout_s=120)
        listed = lab.compose("ps", "--format", "{{.Service}} {{.Ports}}")
        for number in (3, 12):
            assert f"agent-{number} 127.0.0.1:{BASE_PORT + number}->{BASE_PORT + number}/tcp" in listed
            hello = httpx.get(f"http://127.0.0.1:{BASE_PORT + number}/hello", trust_env=False).json()
            assert hello == {"node_id": f"agent_{number}", "incarnation": 0}
        assert "agent_12       start  linked to agent_" in lab.compose("logs", "agent-12")
        code, output = run.finish(150)
        found = run.metrics()
    assert code == 0, output
    assert len(found["victims"]) == 3
    assert set(found["model_calls"]["by_outcome"]) == {"ok"}
    assert found["model_calls"]["calls"] > 50
    lab.compose("down")
    assert lab.leftovers() == []


def test_a_disk_that_fills_in_mid_storm_under_three_agents(lab: ContainerLab, tmp_path: Path) -> None:
    """Services of compose.yaml that a run does not have are not started.

    The journals fill the disk after the kill: one clear line, exit code 3, agents gone, and a report of the storm.
    """
    with small_disk(tmp_path / "small" / "results", 24) as disk:
        wish = ("--agent-count", "3", "--duration", "16", "--kill-fraction", "0.34")
        with lab.run(*wish, "--results-dir", str(disk.folder)) as started:
            run = replace(started, folder=disk.folder.parent)
            run.wait_for(lambda event: event["ev"] == "death", timeout_s=120)
            assert set(lab.states("agent")) == {"agent_1", "agent_2", "agent_3"}
            disk.fill(leave=32 * 1024)
            code, output = run.finish(60)
        assert code == 3, output
        [line] = [line for line in output.splitlines() if "free the disk" in line or "could not go on" in line]
        assert line.startswith("fail-storm: ")
        states = lab.states("agent")
        assert {state["status"] for state in states.values()} == {"exited"}
        found = run.metrics()
        assert (found["partial"], found["verdict"]["status"], len(found["victims"])) == (True, "unknown", 1)
        assert found["detection_ms"] is not None
        for node in {*states} - {*found["victims"]}:
            end = (run.run_dir / "logs" / f"{node}.log").read_text().splitlines()[-1]
            gave_up = rf"fail-storm agent: {node}: expected to (append to|write) /workspace/\w+\.jsonl, got: "
            assert re.match(gave_up if states[node]["exit_code"] == 3 else r".*  ends$", end), end


def test_plain_compose_up(lab: ContainerLab) -> None:
    """Without make: a one-shot service lays out results/compose, and the run goes through by itself."""
    lab.write_override()  # for the ports of this test only; the agents are the eight of compose.yaml
    lab.compose("up", "--detach", DURATION="8", KILL_FRACTION="0", PROTOCOL="acp")
    assert until(lambda: lab.states("orchestrator")["orchestrator"]["status"] == "exited", 90)
    assert lab.states("orchestrator")["orchestrator"]["exit_code"] == 0, lab.compose("logs", "orchestrator")
    found = json.loads((lab.folder / "results" / "compose" / "failstorm_metrics.json").read_text())
    assert (found["protocol"]["name"], found["scenario"]["scenario"]["agent_count"]) == ("acp", 8)


def test_ctrl_c_reports_what_there_is(lab: ContainerLab, tmp_path: Path) -> None:
    """Exit code 130, a report marked as cut short, and no agent that still runs.

    They reason with an endpoint on this machine; its key is in the agents' environment, and nowhere else.
    """
    with EndpointProcess(tmp_path / "endpoint.log", lab.host_address()) as endpoint:
        values = {"type": "openai", "name": "echo", "base_url": f"http://host.docker.internal:{endpoint.port}/v1"}
        model = (part for key, value in values.items() for part in ("--set", f"llm.model.{key}={value}"))
        with lab.run("--protocol", "a2a", "--duration", "40", *model, OPENAI_API_KEY=KEY) as run:
            run.wait_for(lambda event: event["ev"] == "model_call" and event["outcome"] == "ok", 20, timeout_s=120)
            run.process.send_signal(signal.SIGINT)
            code, output = run.finish(60)
            assert code == 130, output
            assert run.metrics()["verdict"]["status"] == "unknown"
        assert endpoint.seen()["authorised"] >= 20
    assert {state["status"] for state in lab.states("agent").values()} == {"exited"}
    assert lab.environment_of("agent").count(KEY) == 8
    assert [role for role in ("prepare", "orchestrator", "chaos") if KEY in lab.environment_of(role)] == []
    assert KEY not in output + lab.compose("logs") + lab.compose("config")
    written = (path for path in lab.folder.rglob("*") if path.is_file())
    assert [path for path in written if KEY.encode() in path.read_bytes()] == []


def test_agents_end_soon_after_a_killed_orchestrator(lab: ContainerLab) -> None:
    """Nobody renews their leases: chaos thaws the frozen within 5 s, soon all are gone, and the host reports."""
    with lab.run("--scenario", "zombie", "--duration", "16") as run:
        run.wait_for(lambda event: event["ev"] == "fault_done", count=2, timeout_s=120)
        lab.engine.run("kill", lab.states("orchestrator")["orchestrator"]["id"])
        thawed = until(lambda: all(state["status"] != "paused" for state in lab.states("agent").values()), 5)
        assert thawed, lab.states("agent")
        code, output = run.finish(60)
        assert code == 3
        assert "fail-storm: the orchestrator's container was killed in mid-run" in output
        assert run.metrics()["verdict"]["status"] == "unknown"
    killed_at = ended_at(lab.states("orchestrator")["orchestrator"])
    agents = lab.states("agent")
    # By the engine's own clock, since asking it takes long on a busy machine; one that the host had stopped has 143.
    assert {node: state["exit_code"] for node, state in agents.items()} == dict.fromkeys(agents, 0)
    silent_s = [(ended_at(state) - killed_at).total_seconds() for state in agents.values()]
    assert 5 < min(silent_s) <= max(silent_s) <= 18, silent_s


def ended_at(state: dict[str, Any]) -> datetime:
    """When the engine saw a container end."""
    return datetime.fromisoformat(state["ended"][:26] + "+00:00")


def test_a_taken_port_is_named_before_anything_starts(lab: ContainerLab) -> None:
    """Exit code 2 and one line about it, also for Prometheus's port; no container was made."""
    with socket.create_server(("127.0.0.1", ADMIN_BASE_PORT + 4)):
        said = refused(lab)
    assert f"fail-storm: expected port {ADMIN_BASE_PORT + 4} to be free, but process" in said
    assert lab.leftovers() == []


def test_an_override_of_the_users_own_stops_the_run(lab: ContainerLab) -> None:
    """One clear line, and the file stays as it is."""
    path = lab.folder / "compose.override.yaml"
    path.write_text("services: {}\n")
    try:
        assert "got one that is not generated; move it away" in refused(lab)
        assert path.read_text() == "services: {}\n"
    finally:
        path.unlink()


def refused(lab: ContainerLab) -> str:
    """What a run says that must end with exit code 2."""
    with lab.run("--duration", "16") as run:
        code, output = run.finish(60)
    assert code == 2, output
    return output
