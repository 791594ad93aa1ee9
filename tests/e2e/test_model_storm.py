"""Real storms whose agents reason with a real endpoint: an OpenAI-compatible process of our own with an echo model."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.lab import CHECKOUT, Lab
from tests.models.endpoint_process import EndpointProcess

pytestmark = [pytest.mark.storm, pytest.mark.timeout(240)]

KEY = "sk-not-to-be-seen"
StartLab = Callable[..., Lab]


@pytest.fixture
def endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EndpointProcess]:
    """An endpoint, and its key in the environment."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with EndpointProcess(tmp_path / "endpoint.log") as process:
        yield process


def flags(endpoint: EndpointProcess) -> list[str]:
    """A model behind the endpoint, at a price."""
    values = {"type": "openai", "name": "echo", "base_url": endpoint.base_url, "price.prompt": 2}
    return [part for key, value in values.items() for part in ("--set", f"llm.model.{key}={value}")]


def answers(run: Lab) -> dict[str, Any]:
    """Task → first committed answer."""
    found: dict[str, Any] = {}
    for event in run.journal():
        if event["ev"] == "answer":
            found.setdefault(event["task"], event["answer"])
    return found


def test_a_storm_outlives_the_death_of_its_model(lab: StartLab, endpoint: EndpointProcess) -> None:
    """The endpoint is killed in mid-run, two agents as well: faults have names, no task is lost, the budget is kept."""
    run = lab("--duration", "16", *flags(endpoint))
    run.wait_for(lambda event: event["ev"] == "death", count=2)
    endpoint.process.kill()
    code, output = run.finish(120)
    assert code == 0, output
    metrics, calls = run.metrics(), [event for event in run.journal() if event["ev"] == "model_call"]
    assert metrics["verdict"]["status"] == "valid", metrics["verdict"]
    assert metrics["lost_tasks"] == 0
    used = metrics["model_calls"]
    assert used["by_outcome"]["ok"] >= 40
    assert used["by_outcome"]["unreachable"] >= 20
    assert set(used["by_outcome"]) <= {"ok", "unreachable", "cut", "timeout"}
    assert used["fallbacks"] == used["calls"] - used["by_outcome"]["ok"]
    assert used["prompt_tokens"] > 1000
    assert used["cost"] == pytest.approx(used["prompt_tokens"] * 2e-6, abs=1e-6)
    for node in {call["node"] for call in calls}:
        own = [call for call in calls if call["node"] == node]
        retries = sum(call["attempts"] for call in own) - len(own)
        assert retries <= 10 + 0.1 * sum(call["outcome"] == "ok" for call in own)
    assert metrics["bytes_by_class"].keys() & {"model", "unclassified"} == set()
    written = (path for path in run.folder.rglob("*") if path.is_file())
    assert [path for path in written if KEY.encode() in path.read_bytes()] == []


def test_a_recording_repeats_a_run_without_its_model(lab: StartLab, endpoint: EndpointProcess) -> None:
    """``record`` keeps what was answered; with the endpoint gone, the same seed gives the same answers and grades."""
    first = lab("--duration", "8", "--kill-fraction", "0", *flags(endpoint))
    code, output = first.finish(100)
    assert code == 0, output
    endpoint.process.kill()
    recording = first.folder / "recording.jsonl"
    command = [sys.executable, "-m", "orchestrator", "record", str(first.run_dir), "--out", str(recording)]
    subprocess.run(command, cwd=CHECKOUT, check=True, timeout=60, stdout=subprocess.DEVNULL)
    assert len(recording.read_text().splitlines()) == first.metrics()["model_calls"]["calls"]
    second = lab(
        *("--duration", "8", "--kill-fraction", "0"),
        *("--set", "llm.model.type=replay", "--set", f"llm.model.recording={json.dumps(str(recording))}"),
    )
    code, output = second.finish(100)
    assert code == 0, output
    assert answers(second) == answers(first)
    again, before = second.metrics(), first.metrics()
    assert again["answer_f1"] == before["answer_f1"]
    assert again["success"] == before["success"]
    assert set(again["model_calls"]["by_outcome"]) == {"ok"}
