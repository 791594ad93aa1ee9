"""Counts the lives of an agent in its own workspace, so that whoever starts it again need not tell it."""

import os
from pathlib import Path


def begin_life(workspace: Path) -> int:
    """Note one more start in ``workspace/lives`` and return how many lives came before; raises ``OSError``.

    One byte per life, appended: a SIGKILL cannot take it back, and two starts never count as one.
    """
    descriptor = os.open(workspace / "lives", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.write(descriptor, b"\n")
        return os.fstat(descriptor).st_size - 1
    finally:
        os.close(descriptor)
