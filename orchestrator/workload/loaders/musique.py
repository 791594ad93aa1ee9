"""MuSiQue (Trivedi et al., TACL 2022): the published JSON lines of ``musique_ans`` and ``musique_full``."""

from pathlib import Path

from pydantic import Field

from orchestrator.workload.document import GaiaDocument
from orchestrator.workload.loaders.builder import DocumentBuilder
from orchestrator.workload.loaders.contract import Loader, Peek
from orchestrator.workload.loaders.records import Record, json_lines, problem


class Paragraph(Record):
    """One of the twenty paragraphs of a question."""

    idx: int
    title: str = Field(min_length=1)
    paragraph_text: str


class Hop(Record):
    """One step of the decomposed question."""

    paragraph_support_idx: int | None = None


class MuSiQueRecord(Record):
    """One question, its paragraphs, and how it was composed."""

    record_id: str = Field(alias="id")
    paragraphs: tuple[Paragraph, ...] = Field(min_length=1)
    question: str
    question_decomposition: tuple[Hop, ...]
    answer: str
    answer_aliases: tuple[str, ...] = ()
    answerable: bool = True


def _claims(peek: Peek) -> bool:
    return {"paragraphs", "question_decomposition"} <= peek.keys


def _load(path: Path) -> GaiaDocument:
    builder = DocumentBuilder(path)
    for line, record in json_lines(path, MuSiQueRecord):
        ids = {one.idx: builder.fragment(one.title, one.paragraph_text) for one in record.paragraphs}
        # Unanswerable only from its own paragraphs: here those of its answerable twin are at hand as well.
        if not record.answerable:
            continue
        support = [hop.paragraph_support_idx for hop in record.question_decomposition]
        needed = [idx for idx in support if idx is not None]
        for idx in needed:
            if idx not in ids:
                raise problem(path, line, "question_decomposition", f"expected the idx of a paragraph, got {idx}")
        fragments = [ids[idx] for idx in needed]
        builder.question(
            line, record.record_id, record.question, record.answer, fragments, len(support), record.answer_aliases
        )
    return builder.build()


LOADER = Loader("musique", _claims, _load)
