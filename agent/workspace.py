"""One agent's private folder: its shards, its tasks, its answers, readable by a person and by its next life."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from agent.fragments import Fragment
from protocols.errors import LabError


class Question(BaseModel):
    """One task as the agents know it: no answer, no key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task_id: str
    question: str
    at_s: float
    """Scheduled arrival, seconds after t0."""


class Broadcast(BaseModel):
    """What one agent gets at t=0: its shards of the document, the placement of all, and the whole schedule."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    document: str
    shards: dict[int, tuple[Fragment, ...]]
    """Shard number → its fragments; only the shards that this agent holds."""
    placement: tuple[tuple[str, ...], ...]
    """Shard number → the agents that hold it."""
    schedule: tuple[Question, ...]
    part: int = Field(0, ge=0)
    """A large document comes in several messages: number ``part`` of ``parts``, each with some of the above."""
    parts: int = Field(1, ge=1)


class Workspace:
    """``workspaces/<node_id>/``, whose files docs/workspaces.md shows.

    For a person: shards/, tasks.jsonl, answers.jsonl, messages.jsonl, and model.jsonl where a language model reasons.
    For the agent's next life: broadcast.json, start.json. For the lab: journal.jsonl.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "shards").mkdir(parents=True, exist_ok=True)

    @property
    def journal(self) -> Path:
        """Where the journal goes."""
        return self.folder / "journal.jsonl"

    def keep_broadcast(self, broadcast: Broadcast) -> None:
        """Store document and schedule, so that a restarted agent finds them; raises LabError (disk full)."""
        for shard, fragments in broadcast.shards.items():
            lines = "".join(fragment.model_dump_json() + "\n" for fragment in fragments)
            path = self.folder / "shards" / f"{shard}.jsonl"
            with _writing(path):
                path.write_text(lines, encoding="utf-8")
        _replace(self.folder / "broadcast.json", broadcast.model_dump_json())

    def keep_start(self, t0: float) -> None:
        """Store the start instant (monotonic seconds); raises LabError."""
        _replace(self.folder / "start.json", json.dumps({"t0": t0}))

    def earlier_life(self) -> tuple[Broadcast, float] | None:
        """What an earlier life of this agent stored, or None; raises LabError when it is damaged."""
        broadcast, start = self.folder / "broadcast.json", self.folder / "start.json"
        if not (broadcast.exists() and start.exists()):
            return None
        try:
            return Broadcast.model_validate_json(broadcast.read_bytes()), float(json.loads(start.read_text())["t0"])
        except (ValidationError, ValueError, KeyError, TypeError) as error:
            raise LabError(f"expected the earlier life's state in {self.folder}, it is damaged: {error}") from error

    def note_task(self, record: dict[str, JsonValue]) -> None:
        """Add a line about a task this agent owns: its begin, what each step found, its end; raises LabError."""
        self._add("tasks.jsonl", record)

    def note_answer(self, record: dict[str, JsonValue]) -> None:
        """Add a committed answer with its evidence; raises LabError."""
        self._add("answers.jsonl", record)

    def note_message(self, record: dict[str, JsonValue]) -> None:
        """Add a message that was sent or received; raises LabError."""
        self._add("messages.jsonl", record)

    def note_model(self, record: dict[str, JsonValue]) -> None:
        """Add an answer of the model, for a recording; raises LabError."""
        self._add("model.jsonl", record)

    def _add(self, name: str, record: dict[str, JsonValue]) -> None:
        path = self.folder / name
        with _writing(path), path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


def _replace(path: Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    with _writing(path):
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(path)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LabError(f"expected to write {path}, got: {error.strerror}; free the disk and rerun") from error
