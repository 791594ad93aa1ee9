"""The command ``ask``: every question once, and what the mesh may cost of the answers."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import ask, timeline
from orchestrator.ask import Worth, broken, settings_for, worth
from orchestrator.cli import main
from orchestrator.events.agents import Answer
from orchestrator.events.conductor import Scheduled
from orchestrator.settings_load import build, flag_layer, read_value
from orchestrator.tasks import Task

SOUND = Worth(
    asked=4, unanswered=0, open_questions=3, in_evidence=1.0, exact=0.5, f1=0.6, single_exact=0.5, single_f1=0.6
)


def asked(task: str, key: str, answer: str | None, reference: str | None, evidence: tuple[str, ...] | None) -> Task:
    """A task of real text, whose key stands in f-1, with its first answer; none without ``evidence``."""
    plan = Scheduled(
        t=0.0, node="orchestrator", inc=0, task=task, at_s=0.0, answer=key, shards=(), success_by="reference",
        reference=reference, sources=("f-1",),
    )  # fmt: skip
    commits = () if evidence is None else (Answer(1.0, "agent_1", 0, task, answer, evidence),)
    return Task(
        task=task, at_s=0.0, arrival=0.0, phase="pre", plan=plan, key=key, shards=(), fragments=(), commits=commits,
        success=False, decided=True,
    )  # fmt: skip


@given(count=st.integers(1, 2000), task_rate=st.floats(0.2, 50))
def test_each_question_arrives_once(count: int, task_rate: float) -> None:
    """Whatever their number and the rate: as many arrivals as questions, nobody killed, the rate about as wished."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ask, "load_document", lambda _: SimpleNamespace(questions=range(count), is_generated=False))
        pairs = [pair.partition("=") for pair in settings_for(Path("x.json"), task_rate)]
    layers = [flag_layer("--set", key, read_value("--set", text)) for key, _, text in pairs]
    planned = timeline.plan(build(layers, {}))
    assert len(planned.arrivals_s) == count
    assert planned.is_control
    assert planned.windows.duration_s < 24 + 1.1 * count / task_rate


def test_answers_are_graded_beside_those_of_one_process() -> None:
    """Exact match, F1 and evidence by hand; an unanswered question is wrong, yes and no are no open questions."""
    found = worth(
        [
            asked("q1", "Nive River", "the Nive River", "Nive River", ("f-1", "f-2")),
            asked("q2", "Mira Holt", "Mira", "Mira Holt", ("f-2",)),
            asked("q3", "yes", "yes", "no", ("f-2",)),
            asked("q4", "1911", None, "1911", None),
        ]
    )
    assert (found.asked, found.unanswered, found.open_questions) == (4, 1, 3)
    assert found.in_evidence == pytest.approx(1 / 3)
    assert (found.exact, found.single_exact) == (0.5, 0.75)
    assert found.f1 == pytest.approx((1 + 2 / 3 + 1 + 0) / 4)
    assert found.single_f1 == 0.75
    assert found.points_lost == pytest.approx(25.0)


def test_without_open_questions_no_evidence_is_missing() -> None:
    """Of questions that are answered by yes or no nobody asks where the key stands."""
    assert worth([asked("q1", "yes", "yes", "yes", ("f-2",))]).in_evidence == 1.0


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({}, ""),
        ({"exact": 0.481, "f1": 0.62}, ""),
        ({"exact": 0.479}, "the mesh loses 2.1 points (at most 2)"),
        ({"f1": 0.57}, "the mesh loses 3.0 points (at most 2)"),
        ({"unanswered": 1}, "1 of 4 questions were not answered"),
    ],
)
def test_what_the_mesh_may_cost(change: dict[str, Any], complaint: str) -> None:
    """Two points of either figure, and not one question."""
    assert broken(replace(SOUND, **change)) == complaint


def test_what_no_single_process_can_answer_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A generated document, which has keys instead, and a model behind an endpoint; nothing is started."""
    (tmp_path / "config.yaml").write_text("")
    sample = Path(__file__).parents[2] / "docs" / "gaia_document.jsonl"
    for document, flags, words in (
        (sample, [], "expected real text"),
        (notes(tmp_path), ["--set", "llm.model.type=openai"], "expected local or replay for ask, got openai"),
        (notes(tmp_path), ["--task-rate", "0"], "--task-rate: expected questions per second"),
        (notes(tmp_path), ["--runtime", "docker"], "--runtime: expected local for ask"),
        (notes(tmp_path), ["--duration", "60"], "--duration"),
    ):
        line = ["ask", str(document), "--config", str(tmp_path / "config.yaml"), *flags]
        assert main([*line, "--results-dir", str(tmp_path / "results")], {"OPENAI_API_KEY": "sk-x"}) == 2
        complaint = capsys.readouterr().err
        assert complaint.count("\n") == 1
        assert words in complaint
        assert list(tmp_path.glob("results/*")) == []


def notes(folder: Path) -> Path:
    """A little real text."""
    (folder / "notes.md").write_text("# A\n\nMira Holt built it.\n")
    (folder / "notes.questions.jsonl").write_text('{"question": "Who built it?", "answer": "Mira Holt"}\n')
    return folder / "notes.md"
