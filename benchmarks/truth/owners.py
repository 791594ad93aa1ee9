"""Finds out whose the client ends of the connections are: the kernel's own trace of socket states, while a storm runs.

A packet names its ports only, and a client's port is drawn by the kernel. The tracepoint ``sock:inet_sock_set_state``
tells of every change of a TCP socket's state with its ports and the process in whose context it happened. A close is
always in that of its owner; a connect nearly always, unless the kernel answered it in passing through another one's.
"""

import re
import subprocess
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.truth.recording import Sighting
from protocols.errors import ConfigError, LabError

_TRACEFS = Path("/sys/kernel/tracing")
_EVENT = "events/sock/inet_sock_set_state"
_BUFFER_KIB = 8192
_TCP, _SYN_SENT, _FIN_WAIT1, _LAST_ACK = 6, 2, 4, 9
_FILTER = f"protocol == {_TCP} && (oldstate == {_SYN_SENT} || newstate == {_FIN_WAIT1} || newstate == {_LAST_ACK})"
_LINE = re.compile(
    r"-(?P<thread>\d+) +\( *(?P<pid>\d+|-+)\) \[\d+\] \S+ +(?P<at_s>[0-9.]+): inet_sock_set_state: .*"
    r"sport=(?P<port>\d+) dport=(?P<server>\d+) .*oldstate=(?P<old>\w+) "
)


class Trace:
    """The trace of the block that opened it; complete when that is over."""

    def __init__(self) -> None:
        self.sightings: dict[int, list[Sighting]] = {}


@contextmanager
def tracing(servers: Collection[int]) -> Iterator[Trace]:
    """Trace who connects to, and hangs up on, the ports ``servers`` while the block runs.

    Raises ConfigError where the kernel's trace cannot be had, LabError when it lost something.
    """
    trace = Trace()
    with ExitStack() as stack:
        folder = stack.enter_context(_instance())
        try:
            for name, value in (
                ("trace_clock", "mono"), ("buffer_size_kb", str(_BUFFER_KIB)), ("options/record-tgid", "1"),
                (f"{_EVENT}/filter", _FILTER), (f"{_EVENT}/enable", "1"),
            ):  # fmt: skip
                (folder / name).write_text(value, encoding="ascii")
        except OSError as error:
            raise ConfigError(
                f"expected a kernel that traces sock:inet_sock_set_state, got: {error}; use Linux 4.16 or newer"
            ) from error
        yield trace
        (folder / f"{_EVENT}/enable").write_text("0", encoding="ascii")
        lost = sum(_lost(path.read_text(encoding="ascii")) for path in folder.glob("per_cpu/cpu*/stats"))
        if lost:
            raise LabError(f"expected a whole trace of the sockets, {lost} events are lost; repeat it")
        trace.sightings = parse((folder / "trace").read_text(encoding="utf-8", errors="replace").splitlines(), servers)


def parse(lines: Iterable[str], servers: Collection[int]) -> dict[int, list[Sighting]]:
    """Who was seen with each client's port, in the order of time, out of a trace's text."""
    found: dict[int, list[Sighting]] = {}
    for line in lines:
        seen = _LINE.search(line)
        if seen is None or int(seen["server"]) not in servers:
            continue
        closes = seen["old"] != "TCP_SYN_SENT"
        # Of a process that has not been switched since the trace began the kernel names the thread alone: its only one.
        pid = int(seen["pid"] if seen["pid"].isdecimal() else seen["thread"])
        found.setdefault(int(seen["port"]), []).append(Sighting(float(seen["at_s"]), pid, int(seen["server"]), closes))
    return found


def owner(sightings: Iterable[Sighting], began_s: float, ended_s: float, pids: Collection[int]) -> int | None:
    """Which of ``pids`` held a port between these monotonic seconds: who closed it, or else who connected; or None."""
    mine = [seen for seen in sightings if began_s <= seen.at_s <= ended_s and seen.pid in pids]
    return next((seen.pid for seen in sorted(mine, key=lambda seen: not seen.closes)), None)


@contextmanager
def _instance() -> Iterator[Path]:
    """A trace buffer of our own; mounts the trace file system for as long where nobody has."""
    with ExitStack() as stack:
        root = _TRACEFS
        if not (root / "instances").is_dir():
            root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="failstorm-trace-")))
            mount = ["mount", "-t", "tracefs", "nodev", str(root)]
            done = subprocess.run(mount, capture_output=True, text=True, check=False)  # noqa: S603 - a path of ours
            if done.returncode != 0:
                raise ConfigError(
                    f"expected the kernel's trace file system, which tells whose a connection is, got: "
                    f"{done.stderr.strip()}; run as root, or as root: mount -t tracefs nodev {_TRACEFS}"
                )
            stack.callback(subprocess.run, ["umount", str(root)], check=False)
        try:
            folder = Path(tempfile.mkdtemp(prefix="failstorm-", dir=root / "instances"))
        except OSError as error:
            raise ConfigError(f"expected to be allowed to trace, got: {error.strerror}; run as root") from error
        stack.callback(folder.rmdir)
        yield folder


def _lost(stats: str) -> int:
    return sum(int(number) for number in re.findall(r"^(?:overrun|dropped events): (\d+)$", stats, re.MULTILINE))
