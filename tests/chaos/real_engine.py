"""Containers on a real Docker engine that do nothing, under names of their own, gone after the test."""

import os
import signal
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import docker
import pytest
from docker.errors import APIError, ImageNotFound

from chaos.__main__ import SOCKET

IMAGES = ("failstorm/python-base:bookworm", "python:3.11-slim", "debian:bookworm-slim", "alpine:latest")
IMAGE_VARIABLE = "FAILSTORM_TEST_IMAGE"
TIMEOUT_S = 20


@dataclass
class RealLab:
    """Makes containers of one run, and strangers."""

    client: docker.APIClient
    image: str
    run: str = field(default_factory=lambda: f"test-{uuid.uuid4().hex[:12]}")
    ids: dict[str, str] = field(default_factory=dict)
    """Full ids by the name that the test gave."""

    def agent(self, number: int, run: str | None = None) -> str:
        """Start the container of an agent; returns its node id."""
        node = f"agent_{number}"
        name = f"agent-{number}" if run is None else f"agent-{number}-of-{run}"
        self.start(name, {"failstorm.run": run or self.run, "failstorm.role": "agent", "failstorm.node": node})
        return node

    def start(self, name: str, labels: dict[str, str], command: str = "sleep 120") -> str:
        """Start a container that sleeps; returns its full id."""
        host = self.client.create_host_config(init=True, network_mode="none", cap_drop=["ALL"])
        made = self.client.create_container(
            self.image,
            ["sh", "-c", command],
            name=f"failstorm-{self.run}-{name}",
            labels=labels | {"failstorm.test": self.run},
            host_config=host,
        )
        self.ids[name] = made["Id"]
        self.client.start(made["Id"])
        return str(made["Id"])

    def state(self, name: str) -> dict[str, Any]:
        """State of one of our containers."""
        state: dict[str, Any] = self.client.inspect_container(self.ids[name])["State"]
        return state

    def running(self) -> list[str]:
        """Names of our containers that live."""
        return [name for name in self.ids if self.state(name)["Running"]]

    def send(self, name: str, number: signal.Signals) -> None:
        """Signal one of our containers past chaos."""
        self.client.kill(self.ids[name], number.name)


@contextmanager
def real_lab() -> Iterator[RealLab]:
    """A lab on the machine's engine; skips the test, with the reason, where that cannot be."""
    # Not through the SDK, which leaves a failed connection to the garbage collector.
    with socket.socket(socket.AF_UNIX) as attempt:
        try:
            attempt.connect(SOCKET.removeprefix("unix://"))
        except OSError as error:
            pytest.skip(f"no Docker engine answers at {SOCKET}: {error.strerror}")
    client = docker.APIClient(SOCKET, version="auto", timeout=TIMEOUT_S)
    try:
        lab = RealLab(client, _image(client))
        try:
            yield lab
        finally:
            for full_id in lab.ids.values():
                client.remove_container(full_id, force=True)
        left = client.containers(all=True, filters={"label": [f"failstorm.test={lab.run}"]})
        assert left == [], "expected every container of the test to be gone"
    finally:
        client.close()


def _image(client: docker.APIClient) -> str:
    wanted = os.environ.get(IMAGE_VARIABLE)
    for image in (wanted,) if wanted else IMAGES:
        try:
            client.inspect_image(image)  # type: ignore[no-untyped-call]
        except (ImageNotFound, APIError):
            continue
        return image
    pytest.skip(f"the Docker engine has no image for the test; set {IMAGE_VARIABLE}, or make images")
