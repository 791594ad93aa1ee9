"""HotpotQA (Yang et al., EMNLP 2018): the published JSON of the training and development sets.

https://hotpotqa.github.io: an array of records with ``context``, a list of [title, sentences], and
``supporting_facts``, a list of [title, number of the sentence].
"""

from pathlib import Path

from pydantic import Field

from orchestrator.workload.document import GaiaDocument
from orchestrator.workload.loaders.builder import DocumentBuilder
from orchestrator.workload.loaders.contract import Loader, Peek
from orchestrator.workload.loaders.records import Record, json_array, problem


class HotpotQARecord(Record):
    """One question with its ten paragraphs."""

    record_id: str = Field(alias="_id")
    question: str
    answer: str
    supporting_facts: tuple[tuple[str, int], ...]
    context: tuple[tuple[str, tuple[str, ...]], ...] = Field(min_length=1)


def _claims(peek: Peek) -> bool:
    return {"_id", "question", "context"} <= peek.keys and "evidences" not in peek.keys


def _load(path: Path) -> GaiaDocument:
    builder = DocumentBuilder(path)
    for line, record in json_array(path, HotpotQARecord):
        add_record(builder, path, line, record, hops=len({title for title, _ in record.supporting_facts}))
    return builder.build()


def add_record(builder: DocumentBuilder, path: Path, line: int, record: HotpotQARecord, hops: int) -> None:
    """Add the paragraphs and the question of one record; raises ConfigError."""
    ids = {
        title: builder.fragment(title, " ".join(s.strip() for s in sentences)) for title, sentences in record.context
    }
    titles = [title for title, _ in record.supporting_facts]
    for title in titles:
        if title not in ids:
            raise problem(path, line, "supporting_facts", f"expected titles of the context, got {title!r}")
    builder.question(line, record.record_id, record.question, record.answer, [ids[title] for title in titles], hops)


LOADER = Loader("hotpotqa", _claims, _load)
