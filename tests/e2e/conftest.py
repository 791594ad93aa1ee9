"""Runs the lab as a user does: a process of its own, in an empty folder, on ports of its own."""

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.lab import CHECKOUT, Lab, free

_PORT_BLOCKS = itertools.count(10_000, 200)


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
    with _labs(tmp_path) as start:
        yield start


@pytest.fixture(scope="module")
def shared_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Lab]]:
    """The same for a run that several tests of a file look at, and none changes."""
    with _labs(tmp_path_factory.mktemp("shared")) as start:
        yield start


@contextmanager
def _labs(home: Path) -> Iterator[Callable[..., Lab]]:
    started: list[Lab] = []

    def start(*flags: str, command: str = "run") -> Lab:
        ports = _free_block()
        base = ports.start
        folder = home / str(base)
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

    try:
        yield start
    finally:
        for run in started:
            if run.process.poll() is None:
                run.process.send_signal(signal.SIGKILL)
            run.process.communicate()
