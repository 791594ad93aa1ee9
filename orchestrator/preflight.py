"""What must hold on this machine before anything starts."""

import tempfile
from pathlib import Path

from orchestrator.reserve import Reserve
from protocols.errors import ConfigError


def check_room(directory: Path, size_bytes: int) -> None:
    """Raises LabError when the disk of ``directory`` has no room for so many bytes."""
    Reserve(directory, size_bytes).release()


def check_writable(directory: Path) -> None:
    """Make ``directory`` if need be; raises ConfigError when no file can be written there."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise ConfigError(
            f"output.results_dir: expected a folder to write to, got {str(directory)!r}: {error.strerror}; "
            f"name another one with --results-dir"
        ) from error
