"""A peer in a process of its own, for tests that freeze or kill it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

_ROOT = Path(__file__).parents[2]


class PeerProcess:
    """``peer.py`` under way, to be frozen and killed by its own process id and no other."""

    def __init__(self, settings: Mapping[str, Any], log: Path) -> None:
        self._log = log
        with log.open("wb") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("peer.py")), json.dumps(settings)],
                stdout=subprocess.PIPE,
                stderr=stderr,
                env={**os.environ, "PYTHONPATH": str(_ROOT)},
            )
        if self._out.readline() != b"ready\n":
            pytest.fail(f"the peer did not start: {log.read_text()}")

    @property
    def _out(self) -> Any:
        return self._process.stdout

    @property
    def log(self) -> str:
        """What the process has written to stderr."""
        return self._log.read_text()

    @property
    def vitals(self) -> psutil.Process:
        """Memory and open files, as the kernel sees them."""
        return psutil.Process(self._process.pid)

    def reset_peak_memory(self) -> None:
        """Begin a new measurement of the peak (proc(5), clear_refs)."""
        Path(f"/proc/{self._process.pid}/clear_refs").write_text("5")

    def peak_memory(self) -> int:
        """The most bytes resident since then."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return 1024 * int(status.split("VmHWM:")[1].split()[0])

    @property
    def alive(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    def freeze(self) -> None:
        """SIGSTOP; returns when the kernel says that the process stands still."""
        os.kill(self._process.pid, signal.SIGSTOP)
        _, status = os.waitpid(self._process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)

    def thaw(self) -> None:
        """SIGCONT."""
        os.kill(self._process.pid, signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL; returns when the process is gone."""
        self._process.kill()
        self._process.wait()
        self._out.close()
