"""Counts what the generator made, piece by piece, for a person and for a program."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from rich.console import Console
from rich.table import Table

from agent.tools.grammar import split_sentences
from orchestrator.workload.document import NO_ANSWER, GaiaQuestion, Header
from orchestrator.workload.generator import WrittenFragment
from orchestrator.workload.questions import AskedQuestion


class Tally:
    """The statistics of one document; memory grows with the number of distinct name words alone."""

    def __init__(self) -> None:
        self._roles: Counter[str] = Counter()
        self._kinds: Counter[str] = Counter()
        self._hops: Counter[int] = Counter()
        self._answers: Counter[str] = Counter()
        self._needed: Counter[int] = Counter()
        self._title_words: Counter[str] = Counter()
        self._sentences = 0
        self._bytes = 0
        self._largest = 0

    def lines(self, header: Header, pieces: Iterable[WrittenFragment | AskedQuestion]) -> Iterator[str]:
        """Yield the lines of the document's file and count them on the way."""
        yield header.model_dump_json()
        for piece in pieces:
            line = (piece.fragment if isinstance(piece, WrittenFragment) else piece.question).model_dump_json()
            self._bytes += len(line.encode()) + 1
            if isinstance(piece, WrittenFragment):
                self._count_fragment(piece, len(line.encode()))
            else:
                self._count_question(piece.question, piece.answer_kind)
            yield line

    def _count_fragment(self, piece: WrittenFragment, size: int) -> None:
        self._roles[piece.role] += 1
        self._kinds[piece.kind] += 1
        self._title_words.update(piece.fragment.title.split())
        self._sentences += len(split_sentences(piece.fragment.text))
        self._largest = max(self._largest, size)

    def _count_question(self, question: GaiaQuestion, answer_kind: str) -> None:
        self._hops[question.hops] += 1
        self._answers[answer_kind] += 1
        self._needed[len(question.fragments)] += 1

    def summary(self) -> dict[str, Any]:
        """Return the statistics, ready for JSON."""
        fragments, questions = self._roles.total(), self._hops.total()
        return {
            "bytes": self._bytes,
            "fragments": {
                "count": fragments,
                "by_role": dict(self._roles.most_common()),
                "by_kind": dict(sorted(self._kinds.items())),
                "sentences_mean": round(self._sentences / fragments, 2) if fragments else None,
                "bytes_max": self._largest,
                "shared_name_words": sum(count > 1 for count in self._title_words.values()),
            },
            "questions": {
                "count": questions,
                "by_hops": {str(hops): count for hops, count in sorted(self._hops.items())},
                "by_fragments_needed": {str(needed): count for needed, count in sorted(self._needed.items())},
                "by_answer": dict(sorted(self._answers.items())),
                "unanswerable": self._answers[NO_ANSWER],
            },
        }

    def show(self, console: Console) -> None:
        """Print the statistics as a table."""
        table = Table("what", "how many", title="Gaia document")
        for place, value in _flat(self.summary()):
            table.add_row(place, f"{value:,}" if isinstance(value, int) else str(value))
        console.print(table)


def _flat(summary: dict[str, Any], place: str = "") -> Iterator[tuple[str, object]]:
    for key, value in summary.items():
        name = f"{place} {key}".strip().replace("_", " ")
        if isinstance(value, dict):
            yield from _flat(value, name)
        else:
            yield name, value
