"""Append-only evidence: one JSON line per ``write(2)``, which a SIGKILL cannot take back."""

import json
import os
from collections.abc import Callable
from pathlib import Path

from pydantic import JsonValue

from protocols.clock import Clock
from protocols.errors import LabError

Observer = Callable[[float, str, dict[str, JsonValue]], None]
"""Is told of each event: monotonic seconds, name, fields."""


class Journal:
    """The journal of one process (docs/journal.md lists the events)."""

    def __init__(
        self, path: Path, node: str, incarnation: int, clock: Clock, observers: tuple[Observer, ...] = ()
    ) -> None:
        self._clock = clock
        self._head = {"node": node, "inc": incarnation}
        self._observers = observers
        self._path = path
        self._torn = False
        # Lines up to PIPE_BUF or not, O_APPEND makes each write one contiguous piece of a regular file on Linux.
        self._descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        end = os.lseek(self._descriptor, 0, os.SEEK_END)
        if end and os.pread(self._descriptor, 1, end - 1) != b"\n":
            os.write(self._descriptor, b"\n")  # an earlier life was cut in mid-line; the next line stays whole

    def append(self, ev: str, /, **fields: JsonValue) -> None:
        """Record that ``ev`` happened now.

        Raises LabError when the line cannot be written (disk full): evidence must not be lost silently.
        """
        self.append_at(self._clock.now(), ev, **fields)

    def append_at(self, at: float, ev: str, /, **fields: JsonValue) -> None:
        """Record that ``ev`` happened at the monotonic second ``at``; raises as :meth:`append`."""
        line = json.dumps({"t": round(at, 6), **self._head, "ev": ev, **fields}, separators=(",", ":")) + "\n"
        payload = (b"\n" if self._torn else b"") + line.encode()
        try:
            written = os.write(self._descriptor, payload)
        except OSError as error:
            raise LabError(
                f"expected to append to {self._path}, got: {error.strerror}; free the disk and rerun"
            ) from error
        self._torn = written != len(payload)  # should there be room again, the next line stays whole
        if self._torn:
            raise LabError(
                f"expected to append to {self._path}, got: room for {written} of {len(payload)} bytes; "
                f"free the disk and rerun"
            )
        for observe in self._observers:
            observe(at, ev, fields)

    def close(self) -> None:
        """Close the file; appending afterwards is an error."""
        os.close(self._descriptor)
