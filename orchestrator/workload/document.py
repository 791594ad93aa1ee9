"""The Gaia document as a file: JSON lines, a header first, then fragments, then questions with their answer key."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from agent.fragments import Fragment
from protocols.errors import ConfigError


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


Grader = Literal["exact_match", "gaia"]
"""Whose rule says whether an answer is right: HotpotQA's exact match, or GAIA's quasi-exact match."""

NO_ANSWER = "noanswer"
"""The key of a question that the document does not answer (the token of the HotpotQA evaluation)."""


class GeneratorParameters(_Line):
    """What the generator was asked for; shares are from 0 to 1.

    Attributes:
        seed: Names the random stream that the generator was given, so that the document can be made again.
        fragment_count: Fragments; at least one for each kind of entity in the domains.
        question_count: Distinct questions; at least 1.
        min_hops: Facts that the easiest question chains; at least 1.
        max_hops: Facts that the hardest question chains; at most 5.
        name_overlap: Share of the entities that take their name from another one, as the Aurora Tower from the Aurora
            Bridge.
        decoy_rate: Share of the fragments with a sentence about somebody of nearly the same name.
        distractor_rate: Share of the fragments that no question needs, about entities named after others.
        alias_rate: Share of the fragments that only say whose other name their title is; the fragments and questions
            that use it lead one lookup further.
        unanswerable_rate: Share of the questions whose last fact is nowhere stated; their answer is ``noanswer``.
        domains: What the document is about, out of ``worlds.DOMAINS``.
        styles: How paragraphs are written, out of ``prose.STYLES``; with several, each fragment draws one.
    """

    seed: int
    fragment_count: int = 96
    question_count: int = 200
    min_hops: int = 2
    max_hops: int = 4
    name_overlap: float = 0.3
    decoy_rate: float = 0.3
    distractor_rate: float = 0.0
    alias_rate: float = 0.0
    unanswerable_rate: float = 0.0
    domains: tuple[str, ...] = ("atlas",)
    styles: tuple[str, ...] = ("guide",)


class Header(_Line):
    """The first line; the counts reveal a file that was cut short."""

    format: Literal["gaia-document"] = "gaia-document"
    version: Literal[1] = 1
    fragment_count: int = Field(ge=0)
    question_count: int = Field(ge=1)
    generator: GeneratorParameters | None = None


class GaiaQuestion(_Line):
    """A question with its key; agents get the question alone (``ScheduledTask.for_agents``)."""

    question_id: str = Field(min_length=1)
    question: str = Field(min_length=1)
    answer: str = Field(min_length=1)
    aliases: tuple[str, ...] = Field(default=(), exclude_if=lambda aliases: not aliases)
    """Other answers that are as right."""
    fragments: tuple[str, ...] = ()
    """Ids of the fragments that are needed, in the order of the hops; empty where the source does not say."""
    hops: int = Field(ge=1)
    """Facts that it chains; 1 where the source does not say."""


class GaiaDocument(BaseModel):
    """A whole document in memory; the ids and titles are unique and every question's fragments exist."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    header: Header
    fragments: tuple[Fragment, ...]
    questions: tuple[GaiaQuestion, ...] = Field(min_length=1)
    grader: Grader = "exact_match"

    @property
    def is_generated(self) -> bool:
        """Whether the lab's generator wrote it, so that rules can answer it; everything else is real text."""
        return self.header.generator is not None

    def lines(self) -> Iterator[str]:
        """Yield the lines of the file, without line ends."""
        for line in (self.header, *self.fragments, *self.questions):
            yield line.model_dump_json()


def write_document(document: GaiaDocument, path: Path) -> None:
    """Write the document as JSON lines in UTF-8; raises ConfigError when the file cannot be written."""
    write_lines(document.lines(), path)


def write_lines(lines: Iterable[str], path: Path) -> None:
    """Write the lines of a document as they come; the file appears when it is complete, or not at all.

    Raises:
        ConfigError: the file cannot be written, or an error of ``lines`` itself.
    """
    fresh = path.with_name(f"{path.name}.part")
    try:
        try:
            with fresh.open("w", encoding="utf-8", newline="\n") as file:
                file.writelines(f"{line}\n" for line in lines)
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)
    except OSError as error:
        message = f"{path}: expected to write the Gaia document there, got: {error.strerror}; name another path"
        raise ConfigError(message) from error
