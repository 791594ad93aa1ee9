"""GAIA (Mialon et al., ICLR 2024): ``metadata.jsonl`` of the validation set, with the attachments beside it."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from orchestrator.workload.document import GaiaDocument
from orchestrator.workload.loaders.builder import DocumentBuilder
from orchestrator.workload.loaders.contract import Loader, Peek
from orchestrator.workload.loaders.records import Record, json_lines, problem, read_text

_TEXT_SUFFIXES = (".csv", ".html", ".json", ".jsonld", ".md", ".pdb", ".py", ".txt", ".xml")
_WITHHELD = "?"


class GaiaTask(Record):
    """One question; the annotator's steps are left unread, since they give the answer away."""

    task_id: str = Field(min_length=1)
    question: str = Field(alias="Question")
    level: Literal[1, 2, 3, "1", "2", "3"] = Field(alias="Level")
    answer: str = Field(alias="Final answer")
    file_name: str = ""


def _claims(peek: Peek) -> bool:
    return {"task_id", "Question", "Final answer"} <= peek.keys


def _load(path: Path) -> GaiaDocument:
    """Attachments that are text are the fragments; most questions have none and ask for what the model knows."""
    builder = DocumentBuilder(path)
    for line, task in json_lines(path, GaiaTask):
        if task.answer == _WITHHELD:
            raise problem(path, line, "Final answer", "expected an answer, got '?', as in the test set; use validation")
        fragments = []
        if task.file_name:
            attachment = path.parent / task.file_name
            if attachment.parent != path.parent:
                raise problem(path, line, "file_name", f"expected the name of a file beside, got {task.file_name!r}")
            if attachment.suffix.lower() in _TEXT_SUFFIXES and attachment.exists():
                fragments.append(builder.fragment(task.file_name, read_text(attachment)))
        builder.question(line, task.task_id, task.question, task.answer, fragments, int(task.level))
    return builder.build(grader="gaia")


LOADER = Loader("gaia-benchmark", _claims, _load)
