"""Storms in real containers on a real engine, as a user starts them, and the bad days of such a lab."""

import json
import signal
import socket
import time

import httpx
import pytest
from rich.console import Console

from grafana.check import main as dashboards_have_data
from protocols import registry
from tests.containers.container_lab import ADMIN_BASE_PORT, BASE_PORT, PROMETHEUS_PORT, ContainerLab, until

SEED_METRICS = ("recovery_ms", "steady_state_ms", "bytes_reconnect", "success_rate_drop", "duplicate_work_ratio")
OURS = [name for name in registry.names() if registry.load(name).__module__.startswith("protocols.")]
pytestmark = [pytest.mark.storm, pytest.mark.timeout(240)]


@pytest.mark.parametrize("protocol", OURS)
def test_a_storm_over_each_protocol(lab: ContainerLab, protocol: str) -> None:
    """Exit code 0, victims killed by SIGKILL and proven so, every seed metric a number or null with its reason."""
    with lab.run("--protocol", protocol, "--duration", "30") as run:
        code, output = run.finish(200)
        found = run.metrics()
        journal = run.journal()
        logs = {path.name for path in (run.run_dir / "logs").iterdir()}
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
    assert {*(f"agent_{n}.log" for n in range(1, 9)), "chaos.log"} <= logs
    for node in killed:
        [sample] = lab.ask_prometheus(f'up{{node="{node}"}}')
        assert sample["value"][1] == "0"
    if protocol == "json":  # what Prometheus saw has no protocol's name on it
        assert found["checks"]["flagged"] == [], found["checks"]["rows"]
        assert dashboards_have_data([f"http://127.0.0.1:{PROMETHEUS_PORT}", "--evaluated"], Console()) == 0


def test_twelve_agents_with_everything_a_user_tries(lab: ContainerLab) -> None:
    """The override makes the four beyond compose.yaml; `ps`, `logs` and curl know them, and `down` leaves nothing."""
    with lab.run("--agent-count", "12", "--duration", "20", "--kill-fraction", "0.25") as run:
        run.wait_for(lambda event: event["ev"] == "t0", timeout_s=120)
        listed = lab.compose("ps", "--format", "{{.Service}} {{.Ports}}")
        for number in (3, 12):
            assert f"agent-{number} 127.0.0.1:{BASE_PORT + number}->{BASE_PORT + number}/tcp" in listed
            hello = httpx.get(f"http://127.0.0.1:{BASE_PORT + number}/hello", trust_env=False).json()
            assert hello == {"node_id": f"agent_{number}", "incarnation": 0}
        assert "agent_12       start  linked to agent_" in lab.compose("logs", "agent-12")
        code, output = run.finish(150)
        assert len(run.metrics()["victims"]) == 3
    assert code == 0, output
    lab.compose("down")
    assert lab.leftovers() == []


def test_three_agents_switch_the_others_off(lab: ContainerLab) -> None:
    """Services of compose.yaml that a run does not have are not started."""
    with lab.run("--agent-count", "3", "--duration", "8", "--kill-fraction", "0") as run:
        code, output = run.finish(120)
    assert code == 0, output
    assert set(lab.states("agent")) == {"agent_1", "agent_2", "agent_3"}


def test_plain_compose_up(lab: ContainerLab) -> None:
    """Without make: a one-shot service lays out results/compose, and the run goes through by itself."""
    lab.write_override()  # for the ports of this test only; the agents are the eight of compose.yaml
    lab.compose("up", "--detach", DURATION="8", KILL_FRACTION="0", PROTOCOL="acp")
    assert until(lambda: lab.states("orchestrator")["orchestrator"]["status"] == "exited", 90)
    assert lab.states("orchestrator")["orchestrator"]["exit_code"] == 0, lab.compose("logs", "orchestrator")
    found = json.loads((lab.folder / "results" / "compose" / "failstorm_metrics.json").read_text())
    assert (found["protocol"]["name"], found["scenario"]["scenario"]["agent_count"]) == ("acp", 8)


def test_ctrl_c_reports_what_there_is(lab: ContainerLab) -> None:
    """Exit code 130, a report marked as cut short, and no agent that still runs."""
    with lab.run("--duration", "40") as run:
        run.wait_for(lambda event: event["ev"] == "task_start", count=20, timeout_s=120)
        run.process.send_signal(signal.SIGINT)
        code, output = run.finish(60)
        assert code == 130, output
        assert run.metrics()["verdict"]["status"] == "unknown"
    assert {state["status"] for state in lab.states("agent").values()} == {"exited"}


def test_agents_end_soon_after_a_killed_orchestrator(lab: ContainerLab) -> None:
    """Nobody renews their lease: within 15 s all are gone, and the host reports what was journaled."""
    with lab.run("--duration", "60") as run:
        run.wait_for(lambda event: event["ev"] == "task_start", count=20, timeout_s=120)
        lab.engine.run("kill", lab.states("orchestrator")["orchestrator"]["id"])
        killed_at = time.monotonic()

        def all_gone() -> bool:
            return all(state["status"] == "exited" for state in lab.states("agent").values())

        assert until(all_gone, 15), lab.states("agent")
        assert time.monotonic() - killed_at > 5
        code, output = run.finish(60)
        assert code == 3
        assert "fail-storm: the orchestrator's container was killed in mid-run" in output
        assert run.metrics()["verdict"]["status"] == "unknown"


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
