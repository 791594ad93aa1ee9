"""Questions and paragraph bundles in groups, the bundle that answers a question on another shard of its group.

One JSON object a line: ``group_id`` and ``items``, each with ``shard``, ``question``, ``answer`` and ``fragment``, a
bundle of ``title: sentence`` with bars between them. Which fragment a question needs is not written down, and the lab
places fragments by their title, not by ``shard``.
"""

from pathlib import Path

from pydantic import Field

from orchestrator.workload.document import GaiaDocument
from orchestrator.workload.loaders.builder import DocumentBuilder
from orchestrator.workload.loaders.contract import Loader, Peek
from orchestrator.workload.loaders.records import Record, json_lines

_LONGEST_TITLE = 80


class Item(Record):
    """What one shard of a group holds, and what it is asked."""

    shard: int = Field(ge=0)
    question: str
    answer: str
    fragment: str = Field(min_length=1)


class Group(Record):
    """Questions whose fragments are shuffled among them."""

    group_id: int | str
    items: tuple[Item, ...] = Field(min_length=1)


def _claims(peek: Peek) -> bool:
    return {"group_id", "items"} <= peek.keys


def _load(path: Path) -> GaiaDocument:
    builder = DocumentBuilder(path)
    for line, group in json_lines(path, Group):
        for item in group.items:
            title, separator, _ = item.fragment.partition(": ")
            text = "\n".join(" ".join(sentence.split()) for sentence in item.fragment.split(" | "))
            builder.fragment((title if separator else item.fragment)[:_LONGEST_TITLE], text)
            builder.question(line, f"{group.group_id}-{item.shard}", item.question, item.answer, (), hops=1)
    return builder.build()


LOADER = Loader("sharded", _claims, _load)
