"""Runs the lab as a user does: a process of its own, in an empty folder, on ports of its own."""

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.lab import CHECKOUT, Lab, free

_PORT_BLOCKS = itertools.count(21_000, 200)


def _free_block() -> range:
    """200 ports that nobody listens on."""
    blocks = (range(base, base + 200) for base in _PORT_BLOCKS)
    return next(ports for ports in blocks if all(map(free, ports)))


@pytest.fixture
def port_block() -> range:
    """200 ports of which a test may use any."""
    return _free_block()


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Callable[..., Lab]]:
    """Starts the lab with these flags; whatever is still there after the test is ended, by id."""
    started: list[Lab] = []

    def start(*flags: str, command: str = "run") -> Lab:
        ports = _free_block()
        base = ports.start
        folder = tmp_path / str(base)
        folder.mkdir()
        line = [
            *(
                sys.executable,
                "-m",
                "orchestrator",
                command,
                "--runtime",
                "local",
                "--config",
                str(CHECKOUT / "config.yaml"),
            ),
            *("--set", f"network.base_port={base}", "--set", f"network.admin_base_port={base + 100}"),
            *flags,
        ]
        environment = os.environ | {"PYTHONPATH": str(CHECKOUT), "COLUMNS": "100"}
        process = subprocess.Popen(
            line, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        started.append(Lab(process, folder, ports))
        return started[-1]

    yield start
    for run in started:
        if run.process.poll() is None:
            run.process.send_signal(signal.SIGKILL)
        run.process.communicate()
