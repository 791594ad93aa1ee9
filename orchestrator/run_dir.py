"""The folder of one run, and the links at the root that always show the latest."""

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from protocols.errors import ConfigError, LabError

SCENARIO_FILE = "scenario.yaml"


@dataclass(frozen=True)
class RunDir:
    """``results/<run_id>/``: scenario.yaml, journals, workspaces/, logs/, failstorm_metrics.json, report.html."""

    run_id: str
    path: Path

    @property
    def conductor_journal(self) -> Path:
        """The orchestrator's own journal."""
        return self.path / "conductor.jsonl"

    @property
    def log(self) -> Path:
        """The story of the run, as plain lines."""
        return self.path / "logs" / f"fail_storm_{self.run_id}.log"

    def workspace(self, node_id: str) -> Path:
        """One agent's private folder."""
        return self.path / "workspaces" / node_id

    def output(self, node_id: str) -> Path:
        """Where one agent's standard output and error go."""
        return self.path / "logs" / f"{node_id}.log"


def create(results_dir: Path, run_id: str) -> RunDir:
    """Make the folders of a new run; raises ConfigError when that is not possible."""
    run_dir = RunDir(run_id, results_dir / run_id)
    try:
        for folder in ("workspaces", "logs"):
            (run_dir.path / folder).mkdir(parents=True)
    except OSError as error:
        raise ConfigError(
            f"output.results_dir: expected to make {run_dir.path}, got: {error.strerror}; set another folder"
        ) from error
    return run_dir


def new_run_id(now: datetime, protocol: str, seed: int) -> str:
    """A name that sorts by time and says what ran: ``20261122-101500-json-seed1``."""
    return f"{now:%Y%m%d-%H%M%S}-{protocol}-seed{seed}"


def publish(run_dir: RunDir, root: Path) -> None:
    """Point ``results/latest`` and, at the root, ``workspaces`` and ``logs`` to this run.

    A file or folder of the user's own under one of these names stays as it is. Raises LabError.
    """
    try:
        _link(run_dir.path.parent / "latest", Path(run_dir.run_id))
        for name in ("workspaces", "logs"):
            _link(root / name, Path(os.path.relpath(run_dir.path / name, root)))
    except OSError as error:
        raise LabError(
            f"expected to link to {run_dir.path}, got: {error.strerror}; make room or fix its rights"
        ) from error


def write_atomically(path: Path, text: str) -> None:
    """Write a file so that readers see the old one or the new one, whole; raises LabError when that fails."""
    fresh = path.with_name(f".{path.name}.new")
    try:
        with fresh.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        fresh.unlink(missing_ok=True)  # half a file is of no use, and the disk may be full
        raise LabError(f"expected to write {path}, got: {error.strerror}; make room or fix its rights") from error


def _link(link: Path, destination: Path) -> None:
    if link.exists() and not link.is_symlink():
        return
    fresh = link.with_name(f".{link.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(destination)
    fresh.replace(link)
