"""The page of a comparison in a real browser: all figures drawn, nothing on the console, nothing asked of a network."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from orchestrator.compare import page
from tests.orchestrator.compare_lab import a_plan, censored, compared, starved

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)
browser = pytest.mark.skipif(not CHROMIUM, reason="no Chromium is installed")


def _open(html: Path, folder: Path) -> tuple[str, list[str], list[str]]:
    """The page after its scripts ran, what the console said, and what the page asked of the network.

    Chromium asks for things of its own, whatever it is told; its log says which requests a page began.
    """
    log = folder / "network.json"
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-background-networking", "--disable-component-update",
        "--disable-gpu", "--no-first-run", f"--user-data-dir={folder}/profile", "--proxy-server=127.0.0.1:1",
        "--enable-logging=stderr", f"--log-net-log={log}", "--virtual-time-budget=20000",
        "--dump-dom", html.resolve().as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=100)
    seen = json.loads(log.read_bytes())
    start = seen["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    jobs = [event["params"] for event in seen["events"] if event["type"] == start and "url" in event.get("params", {})]
    asked = [job["url"] for job in jobs if job["initiator"] != "not an origin"]
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line], asked


@browser
def test_the_page_opens_from_disk_without_error_and_without_network(tmp_path: Path) -> None:
    """Every figure became a drawing; no line on the console; nobody was asked for anything."""
    values = {1: starved(), 2: censored("steady_state_ms", 3000.0)}
    comparison = compared(tmp_path, a_plan(repeats=4), lambda slot: values.get(slot.seed, {}))
    html = tmp_path / "comparison.html"
    html.write_text(page.render(comparison))
    figures = len(re.findall(r'<div id="(?:spread|survival)-', html.read_text()))
    dom, console, asked = _open(html, tmp_path)
    assert figures == 11
    assert dom.count('class="plot-container plotly"') == figures
    assert console == []
    assert asked == []


@browser
def test_the_browser_would_have_told(tmp_path: Path) -> None:
    """A page that breaks and asks is noticed, so that the test above can fail."""
    html = tmp_path / "bad.html"
    html.write_text('<script src="http://figures.example/plotly.js"></script><script>nothing()</script>')
    _, console, asked = _open(html, tmp_path)
    assert any("nothing is not defined" in line for line in console)
    assert asked == ["http://figures.example/plotly.js"]
