"""A real storm, captured packet by packet: its journal is true, and one that was doctored is found out."""

import json
import os
from pathlib import Path

import pytest

from benchmarks.command import EXIT_CONFIG
from benchmarks.truth import capture, owners
from benchmarks.truth.cli import main
from benchmarks.truth.results import Check, Truth, broken_bounds
from orchestrator.journal import MERGED_FILE
from protocols.errors import ConfigError

from .lab import CHECKOUT

_LATENESS = ("watched connections told", "the p95 of these gaps")
"""What a busy machine may do to a time, and what says nothing about the truth of a journal."""


def _obstacle() -> str | None:
    reason = capture.obstacle()
    if reason is None:
        try:
            with owners.tracing({1}):
                pass
        except ConfigError as error:
            return str(error)
    return reason


def _found(results: Path) -> Truth:
    """What the latest call has written."""
    (storm,) = Check.model_validate_json(max(results.glob("truth-*.json")).read_bytes()).storms
    return storm


def _lies(results: Path) -> list[str]:
    storm = _found(results)
    words = broken_bounds(Check.model_validate_json(max(results.glob("truth-*.json")).read_bytes()))
    assert storm.dropped == storm.missing == 0
    return [said for said in words if not any(late in said for late in _LATENESS)]


def test_journal_is_true_and_a_doctored_one_is_not(tmp_path: Path, port_block: range) -> None:
    """Bytes of every agent and of the recovery window, and the order of each death; then 2 % less, at one agent."""
    reason = _obstacle()
    if reason is not None:
        pytest.skip(reason)
    ports = ["--set", f"network.base_port={port_block[0]}", "--set", f"network.admin_base_port={port_block[100]}"]
    config = ["--config", str(CHECKOUT / "config.yaml")]
    results = tmp_path / "true"
    main(["--protocol", "json", "--mode", "tcp", "--duration", "16", *config, *ports, "--results-dir", str(results)])
    assert _lies(results) == []
    storm = _found(results)
    assert storm.packets > 1000
    assert len(storm.nodes) == 8
    assert len(storm.victims) == 2
    assert storm.window.wire > 100_000
    assert storm.unowned_bytes == 0
    (kept,) = results.glob("truth-*/json-tcp-seed1")
    merged = (kept / "results" / "latest").resolve() / MERGED_FILE
    _doctor(merged, "agent_1", 0.98)
    again = tmp_path / "doctored"
    assert main(["--load", str(kept), "--results-dir", str(again)]) == 1
    assert any("agent_1 counted -" in said for said in _lies(again))


def _doctor(merged: Path, liar: str, told: float) -> None:
    """Have one agent tell less than it counted."""
    lines = [json.loads(line) for line in merged.read_text().splitlines()]
    for line in lines:
        if line["ev"] == "bytes" and line["node"] == liar:
            line["rows"] = [[*row[:3], round(row[3] * told), round(row[4] * told)] for row in line["rows"]]
    merged.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_without_a_capture_tool_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, before any storm."""
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    arguments = ["--protocol", "json", "--config", str(CHECKOUT / "config.yaml")]
    assert main([*arguments, "--results-dir", str(tmp_path)]) == EXIT_CONFIG
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == "truth: expected dumpcap and tshark to be installed; on Debian: apt-get install tshark"
