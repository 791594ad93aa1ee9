"""Starts the echo endpoint as a process of its own, and talks to its switches."""

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Self

import httpx

from tests.e2e.lab import CHECKOUT

_START_TIMEOUT_S = 20.0


class EndpointProcess:
    """One running endpoint; a context that ends it."""

    def __init__(self, log: Path, host: str = "127.0.0.1") -> None:
        self._log = log.open("wb")
        # Bound here, where the kernel gives each its own: two tests that both found a port free would share a process.
        with socket.create_server((host, 0)) as listener:
            self.port = listener.getsockname()[1]
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.models.endpoint", str(listener.fileno())],
                cwd=CHECKOUT,
                env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
                pass_fds=[listener.fileno()],
                stdout=self._log,
                stderr=self._log,
            )
        self._url = f"http://{host}:{self.port}"
        self.base_url = f"{self._url}/v1"

    def __enter__(self) -> Self:
        """Wait until it answers."""
        deadline, never = time.monotonic() + _START_TIMEOUT_S, threading.Event()
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                self.seen()
            except httpx.TransportError:
                never.wait(0.05)
            else:
                return self
        self.__exit__()
        raise AssertionError(f"expected the endpoint to answer on port {self.port}")

    def __exit__(self, *_: object) -> None:
        """End it, by its id."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        self._log.close()

    def switch(self, *faults: dict[str, Any], always: dict[str, Any] | None = None) -> None:
        """Set the next faults, and what comes after them; counts begin anew."""
        order = {"next": list(faults), "always": always}
        httpx.post(f"{self._url}/faults", json=order, trust_env=False).raise_for_status()

    def seen(self) -> dict[str, int]:
        """What has come since the last switch."""
        found: dict[str, int] = httpx.get(f"{self._url}/seen", trust_env=False).json()
        return found
