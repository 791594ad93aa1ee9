"""Freezes and cuts of real containers, and who heals them when chaos, or its orchestrator, is killed."""

import json
import time

import pytest

from tests.containers.container_lab import ContainerLab, until

pytestmark = [pytest.mark.storm, pytest.mark.timeout(240)]
HEALED_WITHIN_S = 5.0
FREEZE_AND_CUT = "[{fault: pause, for_s: 25%, victims: {count: 1}}, {fault: cut, for_s: 25%, victims: {count: 1}}]"


def hurt(lab: ContainerLab) -> set[str]:
    """Agents that the engine calls paused, or that are on no network."""
    found = set()
    for node, state in lab.states("agent").items():
        networks = lab.engine.run("inspect", "--format", "{{json .NetworkSettings.Networks}}", state["id"])
        if state["status"] == "paused" or not json.loads(networks):
            found.add(node)
    return found


def test_a_freeze_and_a_cut_land_and_heal(lab: ContainerLab) -> None:
    """The run is valid, both are detected, nobody is hurt afterwards, and no container has ended."""
    with lab.run("--protocol", "agora", "--set", f"chaos={FREEZE_AND_CUT}", "--duration", "20") as run:
        run.wait_for(lambda event: event["ev"] == "fault_done", count=2, timeout_s=120)
        found = run.wait_for(lambda event: event["ev"] == "fault_call", count=2)
        assert hurt(lab) == {event["victim"] for event in found}
        run.wait_for(lambda event: event["ev"] == "heal_done", count=2)
        assert hurt(lab) == set()
        code, output = run.finish(120)
        assert code == 0, output
        metrics = run.metrics()
    assert metrics["verdict"]["status"] == "valid"
    assert metrics["detection_ms"]["undetected"] == []
    assert {state["exit_code"] for state in lab.states("agent").values()} == {0}


def test_the_guardian_heals_when_chaos_is_killed(lab: ContainerLab) -> None:
    """Five seconds after chaos's end nobody is frozen or cut off, and the run ends with the lab's own error."""
    with lab.run("--protocol", "a2a-rest", "--set", f"chaos={FREEZE_AND_CUT}", "--duration", "20") as run:
        run.wait_for(lambda event: event["ev"] == "fault_done", count=2, timeout_s=120)
        assert len(hurt(lab)) == 2
        lab.engine.run("kill", lab.states("chaos")["chaos"]["id"])
        killed_at = time.monotonic()
        assert until(lambda: not hurt(lab), HEALED_WITHIN_S), lab.compose("logs", "guardian")
        assert time.monotonic() - killed_at < HEALED_WITHIN_S
        code, output = run.finish(120)
    assert code == 3, output
    assert "expected chaos to answer" in output
