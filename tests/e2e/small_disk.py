"""A disk of a few megabytes for the results of a run, which the run itself can fill."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class SmallDisk:
    """A file system of its own at ``folder``."""

    folder: Path

    def fill(self, leave: int) -> None:
        """Take all room but ``leave`` bytes, which are for the lab to fill."""
        state = os.statvfs(self.folder)
        with (self.folder / "others").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, state.f_bavail * state.f_frsize - leave)


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[SmallDisk]:
    """Mount one in memory; skips the test where that is not allowed."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0777", "failstorm-test", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no disk of its own for the results: {mounted.stderr.strip()}")
    try:
        yield SmallDisk(folder)
    finally:
        # Lazily: whoever still looks at a file there goes on with it.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)  # noqa: S607 - as above, by its place in PATH
