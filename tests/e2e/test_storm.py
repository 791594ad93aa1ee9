"""Real storms on local processes, seen from outside."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.lab import CHECKOUT, Lab, free, is_running

pytestmark = [pytest.mark.storm, pytest.mark.timeout(180)]

SEED_KEYS = ("recovery_ms", "steady_state_ms", "bytes_reconnect", "success_rate_drop", "duplicate_work_ratio")
StartLab = Callable[..., Lab]


def _number_or_censored(metrics: dict[str, Any], key: str) -> bool:
    if metrics[key] is None:
        return "censored_at_ms" in metrics["details"][key] and bool(metrics["reasons"][key])
    return isinstance(metrics[key], int | float)


@pytest.fixture(scope="module")
def storm(shared_lab: StartLab) -> tuple[Lab, str]:
    """The shortest storm that is judged, and what it printed; no Prometheus listens where one should."""
    run = shared_lab("--duration", "16", "--set", "output.prometheus_url=http://127.0.0.1:9")
    code, output = run.finish(120)
    assert code == 0, output
    return run, output


def test_a_storm_kills_two_and_every_seed_key_is_a_number(storm: tuple[Lab, str]) -> None:
    """A scaled storm ends with exit 0, two victims dead by SIGKILL, and the numbers of the specification."""
    run, _ = storm
    metrics = run.metrics()
    assert metrics["verdict"]["status"] == "valid", metrics["verdict"]
    assert len(metrics["victims"]) == 2
    deaths = [event for event in run.journal() if event["ev"] == "death"]
    assert sorted(event["victim"] for event in deaths) == sorted(metrics["victims"])
    assert {event["signal"] for event in deaths} == {signal.SIGKILL}
    assert all(_number_or_censored(metrics, key) for key in SEED_KEYS), metrics
    assert metrics["recovery_ms"] > 0
    assert metrics["bytes_by_class"].get("unclassified", 0) == 0
    assert metrics["protocol"]["name"] == "json"
    assert metrics["protocol"]["sdk_version"]
    assert metrics["scaled"] is True
    for name in ("report.html", "scenario.yaml", "journal.jsonl", "failstorm_metrics.json"):
        assert (run.run_dir / name).stat().st_size > 0
    assert (run.folder / "workspaces" / "agent_1" / "answers.jsonl").exists()
    assert list((run.folder / "logs").glob("fail_storm_*.log"))


def test_a_prometheus_that_never_was_is_named_and_costs_no_metric(storm: tuple[Lab, str]) -> None:
    """Nothing listens at the address: the run is as valid as ever, and the results say what is missing."""
    run, output = storm
    content = run.metrics()
    assert content["prometheus"]["status"] == "missing"
    assert content["checks"]["status"] == "not made"
    assert content["recovery_ms"] is not None
    assert "prometheus  missing: expected an answer from http://127.0.0.1:9" in output


def test_a_baseline_that_breaks_what_was_expected_of_it_ends_the_run(lab: StartLab) -> None:
    """Nobody can succeed more than always: exit code 1, one line, no storm; the build server's file says it too."""
    run = lab(
        "--duration", "4", "--kill-fraction", "0", "--junit", "junit.xml",
        "--set", 'expect={success.pre.rate: "> 1", success.post.rate: ">= 0", latency_ms.pre.p50: "> 0"}',
    )  # fmt: skip
    code, output = run.finish(60)
    assert code == 1, output
    lines = [line for line in output.splitlines() if line.startswith("fail-storm: ")]
    assert lines == ["fail-storm: expected of the baseline success.pre.rate > 1, got 1.0; there was no storm"]
    (checked,) = (event for event in run.journal() if event["ev"] == "baseline_check")
    assert [(name, met) for name, _, _, met in checked["bounds"]] == [
        ("success.pre.rate", False), ("latency_ms.pre.p50", True),
    ]  # fmt: skip
    assert run.metrics()["partial"] is True
    assert 'failures="1" errors="1" skipped="2"' in (run.folder / "junit.xml").read_text()


def test_the_report_is_recomputed_from_the_journal_alone(lab: StartLab) -> None:
    """After a run, deleting every result but the journals and rebuilding gives the same JSON, byte for byte."""
    run = lab("--duration", "8", "--kill-fraction", "0")
    code, output = run.finish(100)
    assert code == 0, output
    before = (run.run_dir / "failstorm_metrics.json").read_bytes()
    for name in ("failstorm_metrics.json", "report.html", "journal.jsonl"):
        (run.run_dir / name).unlink()
    command = [sys.executable, "-m", "orchestrator", "report", str(run.run_dir)]
    rebuilt = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=False)
    assert rebuilt.returncode == 0, rebuilt.stdout + rebuilt.stderr
    assert (run.run_dir / "failstorm_metrics.json").read_bytes() == before
    # The same run is the control: nobody was killed, nobody was suspected, nothing was done twice.
    metrics = json.loads(before)
    assert "control" in metrics["verdict"]["tags"]
    assert "control" in output
    assert metrics["recovery_ms"] is None
    assert metrics["reasons"]["recovery_ms"]
    assert metrics["false_suspicions"]["count"] == 0
    assert metrics["duplicate_work_ratio"] == 0
    low, high = metrics["details"]["success_rate_drop"]["interval"]
    assert low <= 0 <= high


def test_without_recovery_there_is_no_number_but_a_real_drop(lab: StartLab) -> None:
    """Switching recovery off in the agents gives null with a reason, and tasks of the dead are lost."""
    off = [
        flag for part in ("republish", "reconnect", "takeover", "adopt") for flag in ("--set", f"recovery.{part}=false")
    ]
    run = lab("--duration", "16", *off)
    run.finish(120)
    metrics = run.metrics()
    assert metrics["recovery_ms"] is None
    assert "no " in metrics["reasons"]["recovery_ms"]
    assert metrics["success_rate_drop"] > 0
    assert metrics["lost_tasks"] > 0


def test_crash_recovery_brings_the_victims_back_over_full_connects(lab: StartLab) -> None:
    """With a scheduled heal the victims serve again, their neighbours link to them anew, and they are trusted."""
    run = lab("--duration", "24", "--scenario", "crash-recovery")
    code, output = run.finish(120)
    assert code == 0, output
    journal, metrics = run.journal(), run.metrics()
    healed = [event["victim"] for event in journal if event["ev"] == "heal_done"]
    assert sorted(healed) == sorted(metrics["victims"])
    rejoined = [event for event in journal if event["ev"] == "link_up" and event["reason"] == "rejoin"]
    assert {event["node"] for event in rejoined} | {event["peer"] for event in rejoined} >= set(healed)
    assert any(event["peer"] in healed and event["node"] not in healed for event in rejoined)
    survivors = {event["node"] for event in journal if event["ev"] == "agent_start"} - set(healed)
    believing = {(event["node"], event["peer"]) for event in journal if event["ev"] == "alive"}
    assert believing >= {(survivor, victim) for survivor in survivors for victim in healed}


def test_one_agent_is_a_control_and_works(lab: StartLab) -> None:
    """The specification's own single-agent run ends well: all tools are adopted, nobody is killed."""
    run = lab("--agent-count", "1", "--duration", "8")
    code, output = run.finish(100)
    assert code == 0, output
    metrics = run.metrics()
    assert "control" in metrics["verdict"]["tags"]
    assert metrics["success"]["pre"]["rate"] >= 0.95
    adopted = {event["tool"] for event in run.journal() if event["ev"] == "adopt"}
    assert adopted == {"extract", "triple", "reason"}


def _detection_of_a_frozen_peer_ms(start: StartLab, interval_s: float, timeout_s: float) -> float:
    run = start(
        *("--duration", "60", "--kill-fraction", "0", "--detector-mode", "probe", "--agent-count", "5"),
        *("--set", f"detector.interval_s={interval_s}", "--set", f"detector.timeout_s={timeout_s}"),
    )
    agents = run.wait_for(lambda event: event["ev"] == "agent_start", count=5)
    run.wait_for(lambda event: event["ev"] == "started", count=5)
    victim = next(event["pid"] for event in agents if event["node"] == "agent_3")
    frozen_at = time.clock_gettime(time.CLOCK_MONOTONIC)
    os.kill(victim, signal.SIGSTOP)
    suspicions = run.wait_for(
        lambda event: event["ev"] == "suspect" and event["peer"] == "agent_3" and event["mechanism"] == "probe"
    )
    run.process.send_signal(signal.SIGINT)
    os.kill(victim, signal.SIGCONT)
    code, output = run.finish(30)
    assert code == 130, output
    return (float(suspicions[0]["t"]) - frozen_at) * 1000


def test_detection_of_a_frozen_peer_moves_with_the_detector(lab: StartLab) -> None:
    """A peer frozen by SIGSTOP gives no signal: its detection takes as long as the detector's constants say."""
    short_ms = _detection_of_a_frozen_peer_ms(lab, 1.0, 0.25)
    long_ms = _detection_of_a_frozen_peer_ms(lab, 3.0, 0.25)
    # Two probes an interval apart go unanswered. The first can have been under way at the freeze, up to its timeout
    # before, or goes out up to an interval after it. Grace for late beats of the machine.
    assert 1000 - 100 <= short_ms <= 2 * 1000 + 250 + 300
    assert 3000 - 100 <= long_ms <= 2 * 3000 + 250 + 300


def test_a_killed_orchestrator_leaves_nothing_behind(lab: StartLab) -> None:
    """Two seconds after a kill -9 of the orchestrator no agent lives, all ports are free, the report says partial."""
    run = lab("--duration", "60")
    pids = run.agent_pids()
    run.wait_for(lambda event: event["ev"] == "answer", count=3)
    run.process.send_signal(signal.SIGKILL)
    assert run.wait_until(lambda: not any(is_running(pid) for pid in pids), 2)
    assert run.wait_until(lambda: all(free(port) for port in run.ports), 1)
    command = [sys.executable, "-m", "orchestrator", "report", str(run.run_dir)]
    report = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=False)
    assert report.returncode == 4, report.stdout + report.stderr
    metrics = json.loads((run.run_dir / "failstorm_metrics.json").read_text())
    assert metrics["partial"] is True
    assert "partial" in metrics["verdict"]["tags"]


def test_ctrl_c_ends_at_once_and_keeps_what_was_measured(lab: StartLab) -> None:
    """An interrupted run ends with 130, leaves nothing behind, and reports what it has as partial; told twice too."""
    run = lab("--duration", "60")
    pids = run.agent_pids()
    run.wait_for(lambda event: event["ev"] == "answer", count=3)
    run.process.send_signal(signal.SIGINT)
    assert run.wait_until(lambda: not all(map(is_running, pids)), 10)
    run.process.send_signal(signal.SIGTERM)
    code, output = run.finish(10)
    assert code == 130, output
    assert not any(is_running(pid) for pid in pids)
    assert all(free(port) for port in run.ports)
    assert run.metrics()["partial"] is True


def test_a_taken_port_is_named_before_anything_starts(lab: StartLab) -> None:
    """A port in use is refused by number and holder with exit 2, and no run folder appears."""
    base = next(base for base in range(25_000, 30_000, 200) if all(map(free, range(base, base + 200))))
    port = base + 3
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", port))
        holder.listen()
        run = lab("--set", f"network.base_port={base}", "--set", f"network.admin_base_port={base + 100}")
        code, output = run.finish(30)
    assert code == 2
    assert f"port {port}" in output
    assert str(os.getpid()) in output
    assert not (run.folder / "results").exists() or not any((run.folder / "results").iterdir())
