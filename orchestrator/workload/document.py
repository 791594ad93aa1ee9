"""The Gaia document as a file: JSON lines, a header first, then fragments, then questions with their answer key."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from agent.fragments import Fragment
from protocols.errors import ConfigError


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class GeneratorParameters(_Line):
    """What the generator was asked for.

    Attributes:
        seed: Names the random stream that the generator was given, so that the document can be made again.
        fragment_count: Fragments, one per entity; at least 10, one of each kind.
        question_count: Distinct questions; at least 1.
        min_hops: Facts that the easiest question chains; at least 1.
        max_hops: Facts that the hardest question chains; at most 5.
        name_overlap: Share (0 to 1) of the entities that take their name from another one, as the Aurora Tower from
            the Aurora Bridge.
        decoy_rate: Share (0 to 1) of the fragments with a sentence about somebody of nearly the same name.
    """

    seed: int
    fragment_count: int = 96
    question_count: int = 200
    min_hops: int = 2
    max_hops: int = 4
    name_overlap: float = 0.3
    decoy_rate: float = 0.3


class Header(_Line):
    """The first line; the counts reveal a file that was cut short."""

    format: Literal["gaia-document"] = "gaia-document"
    version: Literal[1] = 1
    fragment_count: int = Field(ge=1)
    question_count: int = Field(ge=1)
    generator: GeneratorParameters | None = None


class GaiaQuestion(_Line):
    """A question with its key; agents get the question alone (``ScheduledTask.for_agents``)."""

    question_id: str = Field(min_length=1)
    question: str = Field(min_length=1)
    answer: str = Field(min_length=1)
    fragments: tuple[str, ...] = Field(min_length=1)
    """Ids of the fragments that are needed, in the order of the hops."""
    hops: int = Field(ge=1)


class GaiaDocument(BaseModel):
    """A whole document in memory; the ids and titles are unique and every question's fragments exist."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    header: Header
    fragments: tuple[Fragment, ...] = Field(min_length=1)
    questions: tuple[GaiaQuestion, ...] = Field(min_length=1)

    def lines(self) -> Iterator[str]:
        """Yield the lines of the file, without line ends."""
        for line in (self.header, *self.fragments, *self.questions):
            yield line.model_dump_json()


LineT = TypeVar("LineT", bound=BaseModel)


def write_document(document: GaiaDocument, path: Path) -> None:
    """Write the document as JSON lines in UTF-8.

    Raises:
        ConfigError: the file cannot be written.
    """
    try:
        with path.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(f"{line}\n" for line in document.lines())
    except OSError as error:
        message = f"{path}: expected to write the Gaia document there, got: {error.strerror}; name another path"
        raise ConfigError(message) from error


def load_document(path: Path) -> GaiaDocument:
    """Read a document and check each of its lines, and that they fit together.

    Raises:
        ConfigError: the file cannot be read, or a line is wrong; it names file, line and field.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        message = f"{path}: expected a readable Gaia document, got: {error.strerror}; name another or set generated"
        raise ConfigError(message) from error
    return _Reader(path).read(lines)


class _Reader:
    """Collects the lines of one file; knows where it is, for the messages."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._line = 0
        self._fragments: dict[str, Fragment] = {}
        self._titles: set[str] = set()
        self._questions: dict[str, GaiaQuestion] = {}

    def read(self, lines: list[bytes]) -> GaiaDocument:
        self._line = 1
        header = self._parse(lines[0] if lines else b"", Header)
        for self._line, line in enumerate(lines[1:], start=2):
            if "question_id" in self._keys(line):
                self._add_question(self._parse(line, GaiaQuestion))
            else:
                self._add_fragment(self._parse(line, Fragment))
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

    def _parse(self, line: bytes, model: type[LineT]) -> LineT:
        try:
            return model.model_validate_json(line, strict=True)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            field = ".".join(str(part) for part in first["loc"]) or "line"
            raise self._error(field, f"expected a {model.__name__}, got: {first['msg']}") from error

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
        for fragment_id in question.fragments:
            if fragment_id not in self._fragments:
                raise self._error("fragments", f"expected ids of fragments in the lines above, got {fragment_id!r}")
        self._questions[question.question_id] = question

    def _compare(self, announced: int, field: str, found: int) -> None:
        if announced != found:
            raise self._error(field, f"the header announces {announced}, the file has {found}; it may be cut short")

    def _error(self, field: str, problem: str) -> ConfigError:
        return ConfigError(f"{self._path}, line {self._line}, {field}: {problem}; mend it or set document: generated")
