"""A disk that fills up in the middle of a storm: one clear line, nobody left behind, and the report all the same."""

import re
import resource
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.lab import Lab, free, is_running
from tests.e2e.small_disk import small_disk

pytestmark = [pytest.mark.storm, pytest.mark.timeout(120)]

StartLab = Callable[..., Lab]


def the_one_line(output: str) -> str:
    """What the lab printed of the disk; fails when it said it twice."""
    [line] = [line for line in output.splitlines() if "free the disk" in line]
    return line


def test_a_disk_that_fills_in_mid_storm_is_one_line_and_costs_no_evidence(lab: StartLab, tmp_path: Path) -> None:
    """The journals fill it after the kill: exit code 3, agents gone, each said why, and the report has the storm."""
    with small_disk(tmp_path / "small" / "results", 24) as disk:
        run = replace(lab("--duration", "16", "--results-dir", str(disk.folder)), folder=disk.folder.parent)
        pids = run.agent_pids()
        run.wait_for(lambda event: event["ev"] == "death", count=2)
        disk.fill(leave=96 * 1024)
        code, output = run.finish(30)
        assert code == 3, output
        line = the_one_line(output)
        assert re.fullmatch(rf"fail-storm: .*expected to (append to|write) {disk.folder}/.*, got: .*", line)
        assert not any(is_running(pid) for pid in pids)
        assert all(free(port) for port in run.ports)
        metrics, journal = run.metrics(), run.journal()
        assert (metrics["partial"], metrics["verdict"]["status"]) == (True, "unknown")
        assert len(metrics["victims"]) == 2
        assert metrics["detection_ms"] is not None
        [interrupted] = [event for event in journal if event["ev"] == "interrupted"]
        assert f"fail-storm: {interrupted['reason']}" == line
        assert (run.run_dir / "report.html").stat().st_size > 1_000_000
        written = sum(path.read_bytes().count(b"\n") for path in run.run_dir.glob("workspaces/*/journal.jsonl"))
        assert len(journal) >= written - 8, "each agent may have left one torn line"
        survivors = {f"agent_{n}" for n in range(1, 9)} - set(metrics["victims"])
        logs = {node: (run.run_dir / "logs" / f"{node}.log").read_text() for node in survivors}
        assert not [node for node, log in logs.items() if "Traceback" in log], logs
        ends = {node: log.splitlines()[-1] for node, log in logs.items()}
        gave_up = {node for node, end in ends.items() if end.startswith(f"fail-storm agent: {node}: expected to ")}
        assert gave_up, ends
        assert all(ends[node].endswith("  ends") for node in survivors - gave_up), ends


def test_an_agent_whose_files_have_no_room_ends_the_run(lab: StartLab) -> None:
    """A limit on one agent's files, whichever is full first: its log and the conductor's one line say so alike."""
    run = lab("--duration", "16", "--kill-fraction", "0")
    starts = run.wait_for(lambda event: event["ev"] == "agent_start", count=8)
    run.wait_for(lambda event: event["ev"] == "started", count=8)
    pids = {event["node"]: event["pid"] for event in starts}
    victim = "agent_3"
    size = (run.run_dir / "workspaces" / victim / "journal.jsonl").stat().st_size
    resource.prlimit(pids[victim], resource.RLIMIT_FSIZE, (size + 2000, size + 2000))
    code, output = run.finish(20)
    assert code == 3, output
    said = (run.run_dir / "logs" / f"{victim}.log").read_text().splitlines()[-1]
    assert re.match(rf"fail-storm agent: {victim}: expected to (append to|write) \S+\.jsonl, got: ", said)
    words = said.removeprefix(f"fail-storm agent: {victim}: ")
    assert the_one_line(output) == f"fail-storm: {victim} could not go on: {words}"
    assert not any(is_running(pid) for pid in pids.values())
    assert run.metrics()["verdict"]["status"] == "unknown"
