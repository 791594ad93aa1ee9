"""Faults other than the kill on real local processes, and what heals them when whoever ordered them is killed."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.lab import Lab, free, is_running

pytestmark = [pytest.mark.storm, pytest.mark.timeout(180)]
StartLab = Callable[..., Lab]
HEALED_WITHIN_S = 5.0


def _children(pid: int, module: str) -> list[int]:
    """Children of a process that run a Python module."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found if module.encode() in Path(f"/proc/{child}/cmdline").read_bytes()]


def test_a_split_brain_heals_and_the_mesh_is_whole_again(lab: StartLab) -> None:
    """Both sides give each other up, the run is valid, and in the end all believe in all."""
    run = lab("--scenario", "split-brain", "--duration", "24")
    code, output = run.finish(120)
    assert code == 0, output
    metrics, journal = run.metrics(), run.journal()
    assert metrics["verdict"]["status"] == "valid", metrics["verdict"]
    assert len(metrics["victims"]) == 3
    assert metrics["detection_ms"]["undetected"] == []
    assert metrics["details"]["agreement_ms"]["lasting_ms"] is not None
    held: set[tuple[str, str]] = set()
    [over_at] = [event["t"] for event in journal if event["ev"] == "run_end"]
    for event in (event for event in journal if event["t"] < over_at):
        if event["ev"] == "suspect":
            held.add((event["node"], event["peer"]))
        if event["ev"] == "alive":
            held.discard((event["node"], event["peer"]))
    assert held == set()
    accused = {(event["node"] in metrics["victims"], event["peer"] in metrics["victims"])
               for event in journal if event["ev"] == "suspect" and event["mechanism"] != "gossip"}  # fmt: skip
    assert accused >= {(True, False), (False, True)}


def test_frozen_agents_die_with_a_killed_orchestrator(lab: StartLab) -> None:
    """Within five seconds after its kill -9 no agent is left, those that could not act for themselves included."""
    run = lab("--scenario", "zombie", "--duration", "16")
    pids = run.agent_pids()
    run.wait_for(lambda event: event["ev"] == "fault_done", count=2)
    states = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] for pid in pids]
    assert states.count("T") == 2
    run.process.send_signal(signal.SIGKILL)
    assert run.wait_until(lambda: not any(is_running(pid) for pid in pids), HEALED_WITHIN_S)
    assert run.wait_until(lambda: all(free(port) for port in run.ports), 1)


def test_a_killed_proxy_heals_the_cut_and_spoils_the_run(lab: StartLab) -> None:
    """Within five seconds the links are whole, and the verdict says why the run means nothing."""
    run = lab("--scenario", "split-brain", "--duration", "16")
    run.wait_for(lambda event: event["ev"] == "fault_done", count=3)
    [proxy] = _children(run.process.pid, "chaos.links")
    os.kill(proxy, signal.SIGKILL)
    killed_at = time.clock_gettime(time.CLOCK_MONOTONIC)
    healed = run.wait_for(lambda event: event["ev"] == "heal_done", count=3)
    assert all(event["t"] - killed_at < HEALED_WITHIN_S for event in healed)
    code, output = run.finish(60)
    assert code == 4, output
    assert any("the proxy ended" in reason for reason in run.metrics()["verdict"]["reasons"])
