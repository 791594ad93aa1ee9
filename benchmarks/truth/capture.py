"""Captures what passes the loopback interface on given ports, with dumpcap in a process of its own."""

import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from protocols.errors import ConfigError, LabError

INTERFACE = "lo"
_INSTALL = "on Debian: apt-get install tshark"
_ALLOW = "run as root"
_SNAP_BYTES = 128
"""Ethernet, IP and TCP with all its options; nobody reads the payload."""
_BUFFER_MIB = 64
_START_TIMEOUT_S, _STOP_TIMEOUT_S = 20.0, 20.0
_DRAIN_S = 1.0
"""The kernel hands packets over in blocks, the last one after 0.25 s; at its end dumpcap asks for no more."""
_SUMMARY = re.compile(r"received/dropped on interface .*?: (\d+)/(\d+) ")


@dataclass
class Capture:
    """A capture; ``received`` and ``dropped`` packets are known when it is over."""

    file: Path
    received: int = 0
    dropped: int = 0


def obstacle() -> str | None:
    """Why nothing can be captured on this machine, and what to do; None when it can."""
    missing = [name for name in ("dumpcap", "tshark") if shutil.which(name) is None]
    if missing:
        return f"expected {' and '.join(missing)} to be installed; {_INSTALL}"
    listed = subprocess.run(["dumpcap", "-D"], capture_output=True, text=True, check=False)  # noqa: S607 - on the PATH
    if not re.search(rf"\b{INTERFACE}\b", listed.stdout):
        said = " ".join(listed.stderr.split()) or "it lists no such interface"
        return f"expected dumpcap to capture on {INTERFACE}, got: {said}; {_ALLOW}"
    return None


@contextmanager
def capturing(file: Path, ports: Iterable[int]) -> Iterator[Capture]:
    """Write every TCP segment from or to one of ``ports`` to ``file`` while the block runs.

    Raises ConfigError when nothing can be captured here, LabError when dumpcap says no numbers at its end.
    """
    reason = obstacle()
    if reason is not None:
        raise ConfigError(reason)
    wanted = " or ".join(f"port {port}" for port in sorted(set(ports)))
    command = ["dumpcap", "-q", "-i", INTERFACE, "-f", f"ip and tcp and ({wanted})", "-s", str(_SNAP_BYTES)]
    command += ["-B", str(_BUFFER_MIB), "-w", str(file)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)  # noqa: S603
    said = _Said(process.stderr)
    capture = Capture(file)
    try:
        said.settled.wait(_START_TIMEOUT_S)
        if not said.captures:
            raise ConfigError(f"expected dumpcap to capture on {INTERFACE}, got: {said.text()}; {_ALLOW}")
        yield capture
        time.sleep(_DRAIN_S)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        said.join()
    capture.received, capture.dropped = summary(said.text())


def summary(text: str) -> tuple[int, int]:
    """Packets received and dropped, out of dumpcap's last words; raises LabError when they are not there."""
    numbers = _SUMMARY.search(text)
    if numbers is None:
        raise LabError(f"expected dumpcap to say how many packets it dropped, got: {' '.join(text.split())}; repeat it")
    return int(numbers[1]), int(numbers[2])


class _Said:
    """Collects what dumpcap says; ``settled`` once it ``captures``, or has given up."""

    def __init__(self, stream: IO[str] | None) -> None:
        if stream is None:
            raise TypeError("expected a pipe")
        self._lines: list[str] = []
        self.settled = threading.Event()
        self.captures = False
        self._stream = stream
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self._stream:
            self._lines.append(line.strip())
            if line.startswith("File:"):
                self.captures = True
                self.settled.set()
        self.settled.set()
        self._stream.close()

    def join(self) -> None:
        """Wait for its last word."""
        self._reader.join(_STOP_TIMEOUT_S)

    def text(self) -> str:
        """All of it."""
        return "\n".join(self._lines)
