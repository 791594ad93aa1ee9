"""Puts a document together from the paragraphs and questions of another format."""

from collections.abc import Sequence
from pathlib import Path

from agent.fragments import Fragment
from orchestrator.workload.document import GaiaDocument, GaiaQuestion, Grader, Header
from orchestrator.workload.loaders.records import problem


class DocumentBuilder:
    """Collects fragments under unique titles and questions under unique ids."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fragments: dict[str, Fragment] = {}
        self._known: dict[tuple[str, str], Fragment] = {}
        self._questions: dict[str, GaiaQuestion] = {}

    def fragment(self, title: str, text: str) -> str:
        """Add a paragraph and return its id; the same paragraph again is the same fragment.

        Another text under a title that is taken gets the title with a number, as in ``Mercury (2)``.
        """
        known = self._known.get((title, text))
        if known is None:
            unique, copy = title, 1
            while unique in self._fragments:
                copy += 1
                unique = f"{title} ({copy})"
            known = Fragment(fragment_id=f"f-{len(self._fragments) + 1:04}", title=unique, text=text)
            self._fragments[unique] = self._known[title, text] = known
        return known.fragment_id

    def id_of(self, title: str) -> str | None:
        """The fragment of that title."""
        fragment = self._fragments.get(title)
        return None if fragment is None else fragment.fragment_id

    def question(
        self,
        line: int,
        question_id: str,
        question: str,
        answer: str,
        fragments: Sequence[str],
        hops: int,
        aliases: Sequence[str] = (),
    ) -> None:
        """Add a question; raises ConfigError when question or answer are blank or the id is taken."""
        for field, text in (("question", question), ("answer", answer)):
            if not text.strip():
                raise problem(self._path, line, field, "expected a text, got none")
        if question_id in self._questions:
            raise problem(self._path, line, "id", f"expected a new id, got {question_id!r} again")
        needed = tuple(dict.fromkeys(fragments))
        self._questions[question_id] = GaiaQuestion(
            question_id=question_id,
            question=question,
            answer=answer,
            aliases=tuple(dict.fromkeys(alias for alias in aliases if alias.strip() and alias != answer)),
            fragments=needed,
            hops=max(1, hops),
        )

    def build(self, grader: Grader = "exact_match") -> GaiaDocument:
        """The document, whose answers ``grader`` grades; raises ConfigError when it has no question."""
        if not self._questions:
            raise problem(self._path, 1, "line", "expected at least one question that has an answer")
        return GaiaDocument(
            header=Header(fragment_count=len(self._fragments), question_count=len(self._questions)),
            fragments=tuple(self._fragments.values()),
            questions=tuple(self._questions.values()),
            grader=grader,
        )
