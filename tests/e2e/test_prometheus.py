"""A real Prometheus scrapes a real storm, and agrees with the journal in everything."""

import json
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.lab import CHECKOUT, Lab, free

pytestmark = pytest.mark.storm


class Server:
    """A Prometheus of its own, with the configuration of the lab."""

    def __init__(self, binary: str, home: Path) -> None:
        port = next(port for port in range(20_900, 21_000) if free(port))
        self.url = f"http://127.0.0.1:{port}"
        self._targets = home / "prometheus" / "targets"
        self._targets.parent.mkdir(parents=True)
        shutil.copy(CHECKOUT / "prometheus" / "prometheus.yml", self._targets.parent)
        where = [f"--config.file={home}/prometheus/prometheus.yml", f"--storage.tsdb.path={home}/data"]
        self._log = (home / "log").open("w+b")
        command = [binary, *where, f"--web.listen-address=127.0.0.1:{port}"]
        self._process = subprocess.Popen(command, stdout=self._log, stderr=self._log)
        self._wait_ready()

    def _wait_ready(self) -> None:
        deadline, never = time.monotonic() + 30, threading.Event()
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                if httpx.get(f"{self.url}/-/ready", trust_env=False).is_success:
                    return
            except httpx.TransportError:
                never.wait(0.05)
        self._log.seek(0)
        said = self._log.read()[-500:]
        self.stop()
        pytest.fail(f"expected a Prometheus at {self.url}, got: {said!r}")

    def watch(self, folder: Path) -> None:
        """Scrape the runs in ``folder``, as the link in the checkout does."""
        self._targets.symlink_to(folder / "results" / "latest" / "prometheus")

    @property
    def status(self) -> int | None:
        """How it ended; None while it runs."""
        return self._process.poll()

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        self._log.close()

    def query(self, expression: str, at: float) -> list[dict[str, Any]]:
        """The rows of an instant query."""
        asked: dict[str, str | float] = {"query": expression, "time": at}
        answer = httpx.get(f"{self.url}/api/v1/query", params=asked, timeout=10, trust_env=False)
        rows: list[dict[str, Any]] = answer.json()["data"]["result"]
        return rows


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server that is ended after the test."""
    binary = shutil.which("prometheus")
    if binary is None:
        pytest.skip("prometheus is not installed (Debian: apt-get install prometheus)")
    found = Server(binary, tmp_path / "server")
    yield found
    found.stop()


def test_prometheus_sees_what_the_journal_says(lab: Callable[..., Lab], server: Server) -> None:
    """All checks agree; the victims, and they alone, are down; the series and the results are there."""
    run = lab("--duration", "16", "--set", f"output.prometheus_url={server.url}")
    server.watch(run.folder)
    code, output = run.finish(90)
    assert code == 0, output
    assert server.status is None, "the server ended during the run"
    content = run.metrics()
    assert content["prometheus"]["missing"] == {}
    assert content["checks"]["flagged"] == [], content["checks"]["rows"]
    assert f"exported, {len(content['checks']['rows'])} checks against the journal agree" in output
    exported = json.loads((run.run_dir / "prometheus.json").read_text())
    # One scrape's time limit before the end: one under way when the agents are stopped fails, too.
    end = exported["t0_unix_s"] + content["windows"]["duration_s"] - 1
    down = server.query(f'up{{job="agent",run="{content["run_id"]}"}} == 0', end)
    assert sorted(row["metric"]["node"] for row in down) == content["victims"]
    assert len(server.query(f'up{{job="agent",run="{content["run_id"]}"}}', end)) == 8
    alive = dict(content["prometheus"]["series"]["agents_alive"])
    assert (alive[6.0], alive[12.0]) == (8, 6)
    shown = {labels["metric"]: value for labels, value in exported["final"]["failstorm_result"]}
    assert shown["recovery_ms"] == content["recovery_ms"]
