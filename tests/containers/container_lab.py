"""The container lab in a checkout of its own, as a user would start it, and what is left of it on the engine."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from orchestrator import settings_load, timeline
from orchestrator.compose import images, override
from orchestrator.compose.engine import CHECKOUT, Engine, EngineError, find_engine
from tests.e2e.lab import Lab

PROJECT = "failstorm-test"
BASE_PORT, ADMIN_BASE_PORT, PROMETHEUS_PORT = 31_000, 31_500, 31_900
PORTS = ("--set", f"network.base_port={BASE_PORT}", "--set", f"network.admin_base_port={ADMIN_BASE_PORT}")
_SETTINGS = {
    "COMPOSE_PROJECT_NAME": PROJECT,
    "FAILSTORM_IMAGE": "failstorm/agent:test",
    "PROMETHEUS_PORT": str(PROMETHEUS_PORT),
    **images.WITHOUT_GRAFANA,
    "COLUMNS": "100",
}
_SHIPPED = (
    *("protocols", "agent", "chaos", "orchestrator", "prometheus", "grafana", "scenarios", "docker"),
    *("compose.yaml", "Dockerfile.agent", ".dockerignore", "requirements.lock", "config.yaml"),
)
_POLL_S = 0.1


@dataclass
class ContainerLab:
    """A checkout, the engine, and the user's own command lines in it."""

    folder: Path
    engine: Engine

    @contextmanager
    def run(self, *flags: str, **environment: str) -> Iterator[Lab]:
        """A run under way; its command is gone afterwards, its containers are the fixture's to take down."""
        (self.folder / "results" / "latest").unlink(missing_ok=True)  # of the test before
        process = subprocess.Popen(
            [sys.executable, "-m", "orchestrator", "run", "--runtime", "docker", *PORTS, *flags],
            cwd=self.folder,
            env=dict(self.engine.environ) | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        lab = Lab(process, self.folder, range(BASE_PORT, PROMETHEUS_PORT))
        try:
            yield lab
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            rest, _ = process.communicate()
            sys.stdout.write(rest or "")  # pytest shows it beside a failure

    def compose(self, *arguments: str, **settings: str) -> str:
        """Plain `docker compose` in the checkout."""
        return self.engine.with_settings(settings).run("compose", *arguments, timeout_s=120)

    def write_override(self) -> None:
        """The override of a run of eight agents on the ports of the tests."""
        network = {"base_port": BASE_PORT, "admin_base_port": ADMIN_BASE_PORT}
        scenario = settings_load.build([settings_load.Layer("test", {"network": network})], {})
        compose = (self.folder / "compose.yaml").read_text()
        override.replace(self.folder, override.generate(compose, timeline.plan(scenario)))

    def states(self, role: str) -> dict[str, dict[str, Any]]:
        """Node or role → the engine's state of the container."""
        filters = (f"com.docker.compose.project={PROJECT}", f"failstorm.role={role}")
        containers = self.engine.run("ps", "-aq", *(f"--filter=label={label}" for label in filters)).split()
        found = {}
        for shown in json.loads(self.engine.run("inspect", *containers)) if containers else ():
            state = shown["State"]
            found[shown["Config"]["Labels"].get("failstorm.node", role)] = {
                "id": shown["Id"],
                "status": state["Status"],
                "exit_code": state["ExitCode"],
                "ended": state["FinishedAt"],
                "environment": shown["Config"]["Env"],
            }
        return found

    def host_address(self) -> str:
        """Of this machine, as containers reach it: host.docker.internal."""
        return self.engine.run("network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}").strip()

    def environment_of(self, role: str) -> str:
        """Of all containers of this role, as the engine keeps it."""
        return json.dumps([state["environment"] for state in self.states(role).values()])

    def leftovers(self) -> list[str]:
        """Containers, networks and volumes of the project."""
        kinds = (("ps", "-aq"), ("network", "ls", "-q"), ("volume", "ls", "-q"))
        label = f"--filter=label=com.docker.compose.project={PROJECT}"
        return [item for kind in kinds for item in self.engine.run(*kind, label).split()]

    def ask_prometheus(self, query: str) -> list[dict[str, Any]]:
        """The result of an instant query."""
        answer = httpx.get(f"http://127.0.0.1:{PROMETHEUS_PORT}/api/v1/query", params={"query": query}, trust_env=False)
        found: list[dict[str, Any]] = answer.json()["data"]["result"]
        return found


def until(holds: Callable[[], bool], timeout_s: float) -> bool:
    """Whether the condition came true in time."""
    deadline, never = time.monotonic() + timeout_s, threading.Event()
    while not holds():
        if time.monotonic() > deadline:
            return False
        never.wait(_POLL_S)
    return True


def make_lab(folder: Path) -> ContainerLab:
    """Copy what is shipped to ``folder``; skips the test with the reason where no engine or image is."""
    for name in _SHIPPED:
        source = CHECKOUT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, folder / name)
    if (CHECKOUT / ".env").exists():
        shutil.copy(CHECKOUT / ".env", folder)
    try:
        engine = find_engine({**os.environ, **_SETTINGS}, folder)
        images.settle(engine, lambda _: None)
    except EngineError as error:
        pytest.skip(f"no container lab here: {error}")
    return ContainerLab(folder, engine)
