"""A headless Chromium, driven through the DevTools protocol over two pipes: no driver, no client library."""

import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)
needs_browser = pytest.mark.skipif(not CHROMIUM, reason="no Chromium is installed; on Debian: apt-get install chromium")
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--remote-debugging-pipe", "--proxy-server=127.0.0.1:1",
)  # fmt: skip
"""The proxy is nobody: whatever a page asks for fails, and is seen asking."""
_START = """import os, sys
os.dup2(int(sys.argv[1]), 3)
os.dup2(int(sys.argv[2]), 4)
os.execv(sys.argv[3], sys.argv[3:])"""
"""Moves the two descriptors in the child, where no thread can be in the way."""
_PATIENCE_S = 60.0
_SETTLED = """new Promise(done => {
    const look = () => document.querySelector("[aria-busy=true]") ? requestAnimationFrame(look) : done(true);
    requestAnimationFrame(() => requestAnimationFrame(look));
})"""


class Page:
    """One open page: what it said on its console, what it asked of the network, and what can be asked of it."""

    def __init__(self, link: "Link", session: str) -> None:
        self.complaints: list[str] = []
        """Errors, warnings and uncaught exceptions."""
        self.asked: list[str] = []
        """Addresses of the requests that the page began, itself and inline data left out."""
        self._link = link
        self._session = session

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the DevTools protocol, answered."""
        return self._link.call(method, parameters, self._session)

    def open(self, file: Path, width: int = 1280, height: int = 900) -> None:
        """Load a file from the disk in a window of this size, and wait until its scripts have drawn."""
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.resize(width, height)
        url = file.resolve().as_uri()
        self.call("Page.navigate", url=url)
        self._link.wait_for("Page.loadEventFired", self._session)
        self.evaluate(_SETTLED)
        for event in self._link.events(self._session):
            self._take(event["method"], event["params"], url)

    def resize(self, width: int, height: int = 900) -> None:
        """Show the page in a window of this size, in CSS pixels; under 600 it is a phone's."""
        mobile = width < 600
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)

    def evaluate(self, script: str) -> Any:
        """The value of a JavaScript expression, a promise's included."""
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            pytest.fail(f"{script}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def _take(self, method: str, parameters: dict[str, Any], own: str) -> None:
        if method == "Runtime.exceptionThrown":
            details = parameters["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning", "assert"):
            self.complaints.append(str([argument.get("value") for argument in parameters["args"]]))
        elif method == "Log.entryAdded" and parameters["entry"]["level"] in ("error", "warning"):
            self.complaints.append(parameters["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            asked = parameters["request"]["url"]
            if asked != own and not asked.startswith(("data:", "blob:")):
                self.asked.append(asked)


class Link:
    """Commands to Chromium and what it answers; JSON between null bytes."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to, self._from = to_browser, from_browser
        self._number = 0
        self._unread = b""
        self._answers: dict[int, dict[str, Any]] = {}
        self._events: list[dict[str, Any]] = []

    def call(self, method: str, parameters: dict[str, Any], session: str | None = None) -> dict[str, Any]:
        """Send a command and return its result; fails the test when the browser refuses it."""
        self._number += 1
        number = self._number
        command = {"id": number, "method": method, "params": parameters}
        if session is not None:
            command["sessionId"] = session
        os.write(self._to, json.dumps(command).encode() + b"\0")
        deadline = time.monotonic() + _PATIENCE_S
        while number not in self._answers:
            self._read(deadline)
        answer = self._answers.pop(number)
        if "error" in answer:
            pytest.fail(f"{method}: {answer['error']}")
        result: dict[str, Any] = answer["result"]
        return result

    def wait_for(self, method: str, session: str) -> None:
        """Read until this event came."""
        deadline = time.monotonic() + _PATIENCE_S
        while not any(event["method"] == method for event in self.events(session)):
            self._read(deadline)

    def events(self, session: str) -> list[dict[str, Any]]:
        """All events of a page so far."""
        return [event for event in self._events if event.get("sessionId") == session]

    def _read(self, deadline: float) -> None:
        ready, _, _ = select.select([self._from], [], [], max(0.0, deadline - time.monotonic()))
        chunk = os.read(self._from, 1 << 20) if ready else b""
        if not chunk:
            pytest.fail("expected an answer of the browser, got none")
        *whole, self._unread = (self._unread + chunk).split(b"\0")
        for text in whole:
            message = json.loads(text)
            if "id" in message:
                self._answers[message["id"]] = message
            else:
                self._events.append(message)


@contextmanager
def a_browser(profile: Path) -> Iterator[Link]:
    """A Chromium with a profile of its own, gone at the end."""
    read_commands, to_browser = os.pipe()
    from_browser, write_answers = os.pipe()
    # Out of the way of 3 and 4, where the protocol wants them.
    held = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, 10) for descriptor in (read_commands, write_answers)]
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _START, *map(str, held), CHROMIUM, *_FLAGS, f"--user-data-dir={profile}"],
        pass_fds=held, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    for descriptor in held:
        os.close(descriptor)
    os.close(read_commands)
    os.close(write_answers)
    link = Link(to_browser, from_browser)
    try:
        yield link
        link.call("Browser.close", {})
    finally:
        os.close(to_browser)
        os.close(from_browser)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def a_page(link: Link) -> Page:
    """A new, empty page."""
    target = link.call("Target.createTarget", {"url": "about:blank"})["targetId"]
    session = link.call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
    return Page(link, session)
