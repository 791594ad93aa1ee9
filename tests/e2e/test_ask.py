"""Questions about real text over a real mesh, and in one process."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.lab import Lab

pytestmark = [pytest.mark.storm, pytest.mark.timeout(120)]

MAKERS = {
    "Aurora Bridge": ("Mira Holt", "1911", "a bridge of iron over the Nive River"),
    "Tavel Lighthouse": ("Jon Pell", "1874", "a lighthouse on the rocks of Karsund"),
    "Lund Observatory": ("Ada Brandt", "1926", "an observatory above the city of Lund"),
    "Orsa Windmill": ("Per Falk", "1803", "a windmill with six sails near Orsa"),
    "Vida Theatre": ("Ines Moro", "1958", "a theatre with nine hundred seats in Vida"),
}
"""What was made, by whom, when, and what it is."""


def write(folder: Path) -> Path:
    """A Markdown file with a section for each, and two questions about each."""
    sections, questions = [], []
    for name, (maker, year, what) in MAKERS.items():
        sections.append(f"# {name}\n\nThe {name} is {what}. {maker} drew the plans. Visitors first came in {year}.\n")
        questions.append(
            {"question": f"In what year did visitors first come to the {name}?", "answer": year, "fragments": [name]}
        )
        questions.append({"question": f"Who drew the plans of the {name}?", "answer": maker, "fragments": [name]})
    (folder / "notes.questions.jsonl").write_text("".join(json.dumps(one) + "\n" for one in questions))
    (folder / "notes.md").write_text("\n".join(sections))
    return folder / "notes.md"


def test_a_mesh_answers_what_one_process_answers(lab: Callable[..., Lab], tmp_path: Path) -> None:
    """Ten questions, each once, over eight agents: all answered, from evidence that holds the key, nothing lost."""
    run = lab(str(write(tmp_path)), "--task-rate", "2", command="ask")
    code, output = run.finish(100)
    assert code == 0, output
    assert "10 questions, 0 unanswered" in output
    journal = run.journal()
    tasks = {event["task"]: event for event in journal if event["ev"] == "task"}
    answers = {event["task"]: event for event in journal if event["ev"] == "answer"}
    assert len(tasks) == len(answers) == 10
    assert all(set(plan["sources"]) & set(answers[task]["evidence"]) for task, plan in tasks.items())
    assert all(answers[task]["answer"] == plan["reference"] == plan["answer"] for task, plan in tasks.items())
    rows = [line.split() for line in output.splitlines() if line.startswith(("│ exact", "│ F1"))]
    assert [row.count("100.00%") for row in rows] == [2, 2]
