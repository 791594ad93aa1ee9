"""What is kept of one captured storm: enough to compute everything again."""

from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import ValidationError

from benchmarks.results import Measured
from benchmarks.truth.clocks import Mark, Reading
from protocols.errors import ConfigError

CAPTURE_FILE = "capture.pcapng"
_FILE = "recording.json"


class Port(NamedTuple):
    """Who listens on a port, and for what."""

    node: str
    service: Literal["protocol", "admin"]


class Sighting(NamedTuple):
    """A client's port changed its state at ``at_s`` (monotonic) in the context of the process ``pid``."""

    at_s: float
    pid: int
    server: int
    """The port at the other end: two processes may use one client port, to different servers."""
    closes: bool
    """It was a close, which only its owner does."""


class Recording(Measured):
    """Beside the capture and the journal: whose the ports were, and how the clocks stood."""

    protocol: str
    mode: str
    run: str
    """The folder of the run, below this one."""
    ports: dict[int, Port]
    mark_port: int
    marks: list[Mark]
    clocks: tuple[Reading, Reading]
    """Before and after the storm."""
    sightings: dict[int, list[Sighting]]
    """By client port, in the order of time."""
    exits: dict[int, float]
    """By process: the monotonic second in which it began to end, by the kernel's trace."""
    conductor_pid: int
    packets: int
    dropped: int
    """By the capture, in its own count."""

    def keep(self, folder: Path) -> None:
        """Write it beside the capture."""
        (folder / _FILE).write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")


def load(folder: Path) -> Recording:
    """What :meth:`Recording.keep` wrote; raises ConfigError when it is not there."""
    try:
        return Recording.model_validate_json((folder / _FILE).read_bytes())
    except (OSError, ValidationError) as error:
        raise ConfigError(f"expected the folder of a captured storm with {_FILE}, got {folder}: {error}") from error
