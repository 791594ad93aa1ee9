"""2WikiMultiHopQA (Ho et al., COLING 2020): records as in HotpotQA, and the triples of the reasoning path."""

from pathlib import Path

from orchestrator.workload.document import GaiaDocument
from orchestrator.workload.loaders.builder import DocumentBuilder
from orchestrator.workload.loaders.contract import Loader, Peek
from orchestrator.workload.loaders.hotpotqa import HotpotQARecord, add_record
from orchestrator.workload.loaders.records import json_array


class TwoWikiRecord(HotpotQARecord):
    """One question with its paragraphs; ``evidences`` has [subject, relation, object]."""

    evidences: tuple[tuple[str, str, str], ...]


def _claims(peek: Peek) -> bool:
    return {"_id", "question", "context", "evidences"} <= peek.keys


def _load(path: Path) -> GaiaDocument:
    builder = DocumentBuilder(path)
    for line, record in json_array(path, TwoWikiRecord):
        add_record(builder, path, line, record, hops=len(record.evidences))
    return builder.build()


LOADER = Loader("2wikimultihopqa", _claims, _load)
