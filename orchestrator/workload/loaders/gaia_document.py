"""The generator's own format: a header, then fragments and questions, one a line."""

from pathlib import Path

from pydantic_core import from_json

from agent.fragments import Fragment
from orchestrator.workload.document import GaiaDocument, GaiaQuestion, Header
from orchestrator.workload.loaders.contract import Loader, Peek
from orchestrator.workload.loaders.records import parse, problem, read_lines
from protocols.errors import ConfigError


def _claims(peek: Peek) -> bool:
    return {"format", "fragment_count"} <= peek.keys


def _load(path: Path) -> GaiaDocument:
    return _Reader(path).read()


class _Reader:
    """Collects the lines of one file; knows where it is, for the messages."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._line = 1
        self._header: Header | None = None
        self._fragments: dict[str, Fragment] = {}
        self._titles: set[str] = set()
        self._questions: dict[str, GaiaQuestion] = {}

    def read(self) -> GaiaDocument:
        for number, line in read_lines(self._path):
            self._line = number
            if self._header is None:
                self._header = parse(self._path, self._line, line, Header)
            elif "question_id" in self._keys(line):
                self._add_question(parse(self._path, self._line, line, GaiaQuestion))
            else:
                self._add_fragment(parse(self._path, self._line, line, Fragment))
        header = self._header or parse(self._path, 1, b"", Header)
        self._line = 1
        self._compare(header.fragment_count, "fragment_count", len(self._fragments))
        self._compare(header.question_count, "question_count", len(self._questions))
        return GaiaDocument(
            header=header, fragments=tuple(self._fragments.values()), questions=tuple(self._questions.values())
        )

    def _keys(self, line: bytes) -> list[str]:
        try:
            record = from_json(line)
        except ValueError as error:
            raise self._error("line", f"expected a JSON object, got: {error}") from error
        return list(record) if isinstance(record, dict) else []

    def _add_fragment(self, fragment: Fragment) -> None:
        if fragment.fragment_id in self._fragments:
            raise self._error("fragment_id", f"expected a new id, got {fragment.fragment_id!r} again")
        if fragment.title in self._titles:
            raise self._error("title", f"expected a unique title, got {fragment.title!r} again")
        self._titles.add(fragment.title)
        self._fragments[fragment.fragment_id] = fragment

    def _add_question(self, question: GaiaQuestion) -> None:
        if question.question_id in self._questions:
            raise self._error("question_id", f"expected a new id, got {question.question_id!r} again")
        if not question.fragments:
            raise self._error("fragments", "expected the ids of the fragments that it needs, got none")
        for fragment_id in question.fragments:
            if fragment_id not in self._fragments:
                raise self._error("fragments", f"expected ids of fragments in the lines above, got {fragment_id!r}")
        self._questions[question.question_id] = question

    def _compare(self, announced: int, field: str, found: int) -> None:
        if announced != found:
            raise self._error(field, f"the header announces {announced}, the file has {found}; it may be cut short")

    def _error(self, field: str, what: str) -> ConfigError:
        return problem(self._path, self._line, field, what)


LOADER = Loader("gaia-document", _claims, _load)
