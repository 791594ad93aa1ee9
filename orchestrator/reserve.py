"""Room on the results' disk, held during a run: should the disk fill up, it still takes last words and report."""

import ctypes
import os
import tempfile
from pathlib import Path

from protocols.errors import LabError

_FALLOC_FL_KEEP_SIZE = 1
_REPORT_BYTES = 8 << 20
"""The page, which carries its drawing library, the numbers, and what Prometheus said."""
_JOURNAL_BYTES_PER_S = 8192
"""Of one agent; 5 KiB were measured."""
_MEGABYTE = 1e6


def size_bytes(agent_count: int, duration_s: float) -> int:
    """What the merged journal and the report of a run may take."""
    return _REPORT_BYTES + int(agent_count * duration_s * _JOURNAL_BYTES_PER_S)


class Reserve:
    """Holds ``size`` bytes on the disk of ``folder`` until :meth:`release`, and no longer than this process lives."""

    def __init__(self, folder: Path, size: int) -> None:
        """Raises LabError when the disk does not have them."""
        try:
            # Without a name: the kernel takes the room back, however this process ends.
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - held for the length of the run
        except OSError as error:
            raise _no_room(folder, size, error) from error
        try:
            os.posix_fallocate(self._file.fileno(), 0, size)
        except OSError as error:
            self._file.close()
            raise _no_room(folder, size, error) from error

    def release(self) -> None:
        """Give the room back; doing it twice is no error."""
        self._file.close()


def _no_room(folder: Path, size: int, error: OSError) -> LabError:
    return LabError(
        f"expected {size / _MEGABYTE:.0f} MB of room in {folder} for the report, got: {error.strerror}; "
        f"free the disk, or name another folder with --results-dir"
    )


def hold_behind_end(descriptor: int, size: int) -> None:
    """Have room for ``size`` more bytes behind the end of an open file, whose length stays (fallocate(2)).

    Where the file system cannot, there is none, and nothing is said.
    """
    end = os.fstat(descriptor).st_size
    ctypes.CDLL(None).fallocate(descriptor, _FALLOC_FL_KEEP_SIZE, ctypes.c_long(end), ctypes.c_long(size))
