"""Reads the journals of a run: tolerant loading, merging in the order of time, following them while they grow."""

import bz2
import gzip
import heapq
import json
import lzma
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from protocols.errors import LabError

Event = Mapping[str, object]
"""One line of a journal; docs/journal.md lists the fields."""

CONDUCTOR_FILE = "conductor.jsonl"
MERGED_FILE = "journal.jsonl"
_SUFFIXES = ("", ".xz", ".gz", ".bz2")
"""How the journal of an old run may be kept, by what is appended to its name."""
_CONDUCTOR = "orchestrator"
_AGENT_FILES = "workspaces/*/journal.jsonl"
# A line is written after its event, so a file may be out of order by the few lines written in between.
_REORDER_LINES = 1024


@dataclass(frozen=True, slots=True)
class _Line:
    """A sound line: when, and its bytes without the line end."""

    t: float
    text: bytes
    event: Event


def _parse(text: bytes) -> _Line | None:
    """Return the line, or None when it is torn: no JSON object, or without time, node or name."""
    try:
        event = json.loads(text)
    except ValueError:
        return None
    if not isinstance(event, dict):
        return None
    t = event.get("t")
    if isinstance(t, bool) or not isinstance(t, int | float) or not math.isfinite(t):
        return None
    if not isinstance(event.get("node"), str) or not isinstance(event.get("ev"), str):
        return None
    return _Line(float(t), text, event)


def _opened(path: Path) -> IO[bytes]:
    match path.suffix:
        case ".xz":
            return lzma.open(path, "rb")
        case ".gz":
            return cast("IO[bytes]", gzip.open(path, "rb"))
        case ".bz2":
            return bz2.open(path, "rb")
        case _:
            return path.open("rb")


def _time(line: _Line) -> float:
    return line.t


class JournalReader:
    """Iterates over the events of one file, one line in memory at a time.

    ``torn`` is the number of lines that the last iteration skipped: torn by a SIGKILL, or no journal lines at all. A
    merged journal says of how many torn lines its sources were relieved; they are included.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.torn = 0

    def __iter__(self) -> Iterator[Event]:
        """Yield the events in file order; raises LabError when the file cannot be read."""
        for line in self.lines():
            if line.event["ev"] == "merged":
                relieved = line.event.get("torn")
                self.torn += relieved if isinstance(relieved, int) else 0
            yield line.event

    def lines(self) -> Iterator[_Line]:
        """Yield the sound lines in file order and count the others."""
        self.torn = 0
        try:
            with _opened(self.path) as file:
                for raw in file:
                    text = raw.strip()
                    line = _parse(text)
                    if line is not None:
                        yield line
                    elif text:
                        self.torn += 1
        except (OSError, EOFError, lzma.LZMAError) as error:
            why = (isinstance(error, OSError) and error.strerror) or str(error)
            raise LabError(
                f"expected a readable journal at {self.path}, got: {why}; name the folder of a run"
            ) from error


def kept(run_dir: Path, name: str = MERGED_FILE) -> Path | None:
    """Where a journal of this run is kept, compressed or not; None when it is not."""
    found = (run_dir / f"{name}{suffix}" for suffix in _SUFFIXES)
    return next((path for path in found if path.exists()), None)


def load(path: Path) -> JournalReader:
    """Return the events of one journal file, to be iterated as often as needed; ``torn`` counts what was skipped."""
    return JournalReader(path)


def _sources(run_dir: Path) -> list[Path]:
    conductor = run_dir / CONDUCTOR_FILE
    found = [conductor] if conductor.exists() else []
    return found + sorted(run_dir.glob(_AGENT_FILES))


def _in_order(lines: Iterable[_Line]) -> Iterator[_Line]:
    """Sort a file that is out of order by a few lines; lines of equal time keep their order."""
    waiting: list[tuple[float, int, _Line]] = []
    for number, line in enumerate(lines):
        heapq.heappush(waiting, (line.t, number, line))
        if len(waiting) > _REORDER_LINES:
            yield heapq.heappop(waiting)[2]
    while waiting:
        yield heapq.heappop(waiting)[2]


def merge(run_dir: Path) -> Path:
    """Merge all journals of a run, ordered by ``t``, into its ``journal.jsonl`` and return that path.

    Memory stays flat however long the run was. Lines of equal time keep the order of their file; between files the
    conductor comes first, then the nodes by name. Torn lines are left out; the last line, ``merged`` with ``files``
    and ``torn``, says how many. The file appears at once and complete, and merging again gives the same file.

    Raises:
        LabError: there is no journal to merge, or one cannot be read or written.
    """
    readers = [JournalReader(path) for path in _sources(run_dir)]
    if not readers:
        raise LabError(f"expected {CONDUCTOR_FILE} or {_AGENT_FILES} in {run_dir}, got neither; name a run's folder")
    merged, fresh = run_dir / MERGED_FILE, run_dir / f".{MERGED_FILE}.new"
    last_t = 0.0
    try:
        with fresh.open("wb") as file:
            for line in heapq.merge(*(_in_order(reader.lines()) for reader in readers), key=_time):
                file.write(line.text + b"\n")
                last_t = line.t
            summary = {"t": last_t, "node": _CONDUCTOR, "inc": 0, "ev": "merged", "files": len(readers),
                       "torn": sum(reader.torn for reader in readers)}  # fmt: skip
            file.write(json.dumps(summary, separators=(",", ":")).encode() + b"\n")
        fresh.replace(merged)
    except OSError as error:
        fresh.unlink(missing_ok=True)  # half a file is of no use, and the disk may be full
        raise LabError(f"expected to write {merged}, got: {error.strerror}; make room or fix its rights") from error
    return merged


class JournalTail:
    """Follows the journals of a run while they grow, files that appear later included.

    ``torn`` counts the complete lines that were no events. A line without its end is left for the next call.
    """

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._offsets: dict[Path, int] = {}
        self.torn = 0

    def read_new(self) -> list[Event]:
        """Return the events written since the last call, ordered by ``t``; none yet gives an empty list."""
        fresh: list[_Line] = []
        for path in _sources(self._run_dir):
            for text in self._new_lines(path):
                line = _parse(text)
                if line is not None:
                    fresh.append(line)
                elif text:
                    self.torn += 1
        return [line.event for line in sorted(fresh, key=_time)]

    def _new_lines(self, path: Path) -> list[bytes]:
        offset = self._offsets.get(path, 0)
        with path.open("rb") as file:
            file.seek(offset, os.SEEK_SET)
            complete, newline, _rest = file.read().rpartition(b"\n")
        if not newline:
            return []
        self._offsets[path] = offset + len(complete) + 1
        return [text.strip() for text in complete.split(b"\n")]
