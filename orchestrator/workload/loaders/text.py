"""Plain text and Markdown with a question file beside it: ``notes.md`` and ``notes.questions.jsonl``.

Each line of the question file has ``question``, ``answer`` and, if known, ``fragments``: the titles of the parts that
are needed. A part is a section of Markdown under its heading, or a paragraph of plain text under its first words.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from orchestrator.workload.document import GaiaDocument
from orchestrator.workload.loaders.builder import DocumentBuilder
from orchestrator.workload.loaders.contract import Loader, Peek
from orchestrator.workload.loaders.records import json_lines, problem, read_text

_MARKDOWN = (".md", ".markdown")
_SUFFIXES = (*_MARKDOWN, ".txt")
_HEADING = re.compile(r"^#{1,6}\s+(?P<title>.+?)\s*#*$")
_LONGEST_PART = 1500
_TITLE_WORDS = 8


class TextQuestion(BaseModel):
    """One line of the question file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    question: str
    answer: str
    fragments: tuple[str, ...] = ()


def _claims(peek: Peek) -> bool:
    return peek.path.suffix.lower() in _SUFFIXES


def _load(path: Path) -> GaiaDocument:
    text = read_text(path)
    builder = DocumentBuilder(path)
    for title, part in _sections(text, path.stem) if path.suffix.lower() in _MARKDOWN else _paragraphs(text):
        builder.fragment(title, part)
    beside = path.with_name(f"{path.stem}.questions.jsonl")
    for number, (line, asked) in enumerate(json_lines(beside, TextQuestion), start=1):
        ids = []
        for title in asked.fragments:
            found = builder.id_of(title)
            if found is None:
                raise problem(beside, line, "fragments", f"expected titles of parts of {path.name}, got {title!r}")
            ids.append(found)
        builder.question(line, f"q-{number:04}", asked.question, asked.answer, ids, hops=len(ids))
    return builder.build()


def _sections(text: str, stem: str) -> Iterator[tuple[str, str]]:
    title, lines = stem, list[str]()
    for line in text.splitlines():
        heading = _HEADING.match(line)
        if heading is None:
            lines.append(line)
            continue
        yield from _parts(title, lines)
        title, lines = heading["title"], []
    yield from _parts(title, lines)


def _parts(title: str, lines: list[str]) -> Iterator[tuple[str, str]]:
    """Cut a section between its paragraphs where it gets long."""
    part = ""
    for paragraph in _blocks("\n".join(lines)):
        if part and len(part) + len(paragraph) > _LONGEST_PART:
            yield title, part
            part = ""
        part = f"{part} {paragraph}".strip()
    if part:
        yield title, part


def _paragraphs(text: str) -> Iterator[tuple[str, str]]:
    for paragraph in _blocks(text):
        yield " ".join(paragraph.split()[:_TITLE_WORDS]).rstrip(".,;:"), paragraph


def _blocks(text: str) -> list[str]:
    return [" ".join(block.split()) for block in re.split(r"\n\s*\n", text) if block.strip()]


LOADER = Loader("text", _claims, _load)
