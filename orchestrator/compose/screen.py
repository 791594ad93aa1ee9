"""Shows the terminal of the orchestrator's container and passes Ctrl-C on to it."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from orchestrator.compose.engine import Engine, EngineError

_FROZEN_S = 45.0
"""An engine without an answer for that long has gone, though the client may still wait for it."""


def show(engine: Engine) -> int | None:
    """Start the orchestrator's container, show what it prints until it ends, and return its exit code.

    None when the engine went away meanwhile. The first SIGINT or SIGTERM lets it report what it has and end (130); the
    next one kills it. Should this process be killed, the run goes on.
    """
    container = engine.run("compose", "ps", "--all", "--quiet", "orchestrator").strip()
    terminal = subprocess.Popen(  # noqa: S603 - the user's own client
        # Attached before it starts, so that no line is lost.
        [engine.client, "start", "--attach", container],
        cwd=engine.checkout,
        env=dict(engine.environ),
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    with _signals(engine, container, terminal):
        terminal.wait()
    return _exit_code(engine, container)


def _exit_code(engine: Engine, container: str) -> int | None:
    try:
        state = engine.run("wait", container, timeout_s=_FROZEN_S).strip()
    except EngineError:
        return None
    return int(state)


@contextmanager
def _signals(engine: Engine, container: str, terminal: subprocess.Popen[bytes]) -> Iterator[None]:
    told: list[int] = []

    def pass_on(number: int, _: FrameType | None) -> None:
        told.append(number)
        # Not waited for: this runs between two instructions of whatever is going on.
        subprocess.Popen(  # noqa: S603
            [engine.client, "kill", "--signal", "INT" if len(told) == 1 else "KILL", container],
            env=dict(engine.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def resize(_: int, __: FrameType | None) -> None:
        terminal.send_signal(signal.SIGWINCH)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    before[signal.SIGWINCH] = signal.signal(signal.SIGWINCH, resize)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
