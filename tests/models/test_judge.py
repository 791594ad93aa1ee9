"""A model says afterwards which answers mean the same as their key; by itself nothing asks it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.cli import main
from orchestrator.phases import Wishes, fit
from tests.models.endpoint import completion
from tests.models.endpoint_process import EndpointProcess

KEY = "sk-not-to-be-seen"
ANSWERS = {
    "task-1": ("Who built it?", "Mira Holt", "Mira Holt"),
    "task-2": ("Where is it?", "Karsund", "in the old town of Karsund"),
    "task-3": ("When?", "4 May 1911", "the first week"),
    "task-4": ("Where is it?", "Karsund", "in the old town of Karsund"),
}
"""Task → question, key, answer."""


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EndpointProcess]:
    """An endpoint of this file's own."""
    with EndpointProcess(tmp_path_factory.mktemp("endpoint") / "log") as process:
        yield process


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """What a run of four answered tasks leaves behind."""
    windows = fit(Wishes(16.0)).model_dump(mode="json")
    plain = {"run_id": "r", "protocol": "json", "runtime": "local", "seed": 1, "scenario": {}, "host": {}}
    agent = {"node_id": "agent_1", "tool": "reason", "neighbours": []}
    lines = [
        {
            "t": 0.0,
            "node": "orchestrator",
            "ev": "run_start",
            "windows": windows,
            "victims": [],
            "versions": {},
            **plain,
        },
        {"t": 0.1, "node": "orchestrator", "ev": "roster", "agents": [agent]},
        {"t": 1.0, "node": "orchestrator", "ev": "t0", "t0": 1.0},
        {"t": 17.0, "node": "orchestrator", "ev": "run_end"},
    ]
    for number, (task, (_, key, answer)) in enumerate(ANSWERS.items()):
        plan = {"task": task, "at_s": float(number), "answer": key, "shards": []}
        lines.append({"t": 0.5, "node": "orchestrator", "ev": "task", **plan})
        lines.append({"t": 2.0 + number, "node": "agent_1", "ev": "answer", "task": task, "answer": answer})
    (tmp_path / "journal.jsonl").write_text("".join(json.dumps({"inc": 0, **line}) + "\n" for line in lines))
    folder = tmp_path / "workspaces" / "agent_1"
    folder.mkdir(parents=True)
    kept = [{"task": task, "question": question, "answer": answer} for task, (question, _, answer) in ANSWERS.items()]
    (folder / "answers.jsonl").write_text("".join(json.dumps(one) + "\n" for one in kept))
    return tmp_path


def judge(run_dir: Path, endpoint: EndpointProcess, key: str | None = KEY) -> int:
    """The command; returns its exit code."""
    flags = ["--model", "echo", "--base-url", endpoint.base_url, "--timeout", "2"]
    return main(["judge", str(run_dir), *flags], {} if key is None else {"OPENAI_API_KEY": key})


def verdicts(run_dir: Path) -> list[str]:
    """What was written, in the order of the tasks."""
    return [json.loads(line)["verdict"] for line in (run_dir / "judged.jsonl").read_text().splitlines()]


def test_only_what_is_not_exact_is_asked_about_and_once(
    run_dir: Path, endpoint: EndpointProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    """Four answers, one exact, two of the same words: two requests; the journal stays as it was, the key unseen."""
    endpoint.switch()
    before = (run_dir / "journal.jsonl").read_bytes()
    assert judge(run_dir, endpoint) == 0
    assert verdicts(run_dir) == ["exact", "same", "other", "same"]
    assert endpoint.seen()["requests"] == 2
    assert "right by the model: 75.0%" in capsys.readouterr().out
    assert (run_dir / "journal.jsonl").read_bytes() == before
    assert KEY not in (run_dir / "judged.jsonl").read_text()


def test_a_reply_that_is_no_verdict_is_unknown(run_dir: Path, endpoint: EndpointProcess) -> None:
    """Prose, JSON of another kind: unknown, with a reason; what can be judged is judged."""
    said = completion({"messages": [], "model": "echo"}, '{"same": "yes"}')
    for fault in ({"kind": "prose"}, {"kind": "other", "body": said}, {"kind": "other", "body": {"choices": []}}):
        endpoint.switch(fault)
        assert judge(run_dir, endpoint) == 0
        assert "unknown" in verdicts(run_dir)


def test_a_judge_that_never_answers_is_an_error_in_one_line(
    run_dir: Path, endpoint: EndpointProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 3 with the kind of error; without a key exit code 2, and nobody is asked."""
    endpoint.switch(always={"kind": "status", "status": 400})
    assert judge(run_dir, endpoint) == 3
    assert "BadRequestError" in capsys.readouterr().err
    endpoint.switch()
    assert judge(run_dir, endpoint, key=None) == 2
    assert endpoint.seen()["requests"] == 0
