"""Finds out whose the client ends of the connections are, and when processes end: the kernel's own trace of a storm.

A packet names its ports only, and a client's port is drawn by the kernel. The tracepoint ``sock:inet_sock_set_state``
tells of every change of a TCP socket's state with its ports and the process in whose context it happened. A close is
always in that of its owner; a connect nearly always, unless the kernel answered it in passing through another one's.
``sched:sched_process_exit`` tells when a process has begun to end; its connections are closed after that.
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
_SOCKETS, _EXITS = "events/sock/inet_sock_set_state", "events/sched/sched_process_exit"
_BUFFER_KIB = 8192
_TCP, _SYN_SENT, _FIN_WAIT1, _LAST_ACK = 6, 2, 4, 9
_FILTER = f"protocol == {_TCP} && (oldstate == {_SYN_SENT} || newstate == {_FIN_WAIT1} || newstate == {_LAST_ACK})"
_WHO = r"-(?P<thread>\d+) +\( *(?P<pid>\d+|-+)\) \[\d+\] \S+ +(?P<at_s>[0-9.]+): "
_SOCKET = re.compile(
    _WHO + r"inet_sock_set_state: .*sport=(?P<port>\d+) dport=(?P<server>\d+) .*oldstate=(?P<old>\w+) "
)
_EXIT = re.compile(_WHO + r"sched_process_exit: ")


class Trace:
    """The trace of the block that opened it; complete when that is over."""

    def __init__(self) -> None:
        self.sightings: dict[int, list[Sighting]] = {}
        self.exits: dict[int, float] = {}
        """By process: the monotonic second in which it began to end."""


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
                (f"{_SOCKETS}/filter", _FILTER), (f"{_SOCKETS}/enable", "1"), (f"{_EXITS}/enable", "1"),
            ):  # fmt: skip
                (folder / name).write_text(value, encoding="ascii")
        except OSError as error:
            raise ConfigError(
                f"expected a kernel that traces sockets and processes, got: {error}; use Linux 4.16 or newer"
            ) from error
        yield trace
        for event in (_SOCKETS, _EXITS):
            (folder / f"{event}/enable").write_text("0", encoding="ascii")
        lost = sum(_lost(path.read_text(encoding="ascii")) for path in folder.glob("per_cpu/cpu*/stats"))
        if lost:
            raise LabError(f"expected a whole trace of the storm, {lost} events are lost; repeat it")
        lines = (folder / "trace").read_text(encoding="utf-8", errors="replace").splitlines()
        trace.sightings, trace.exits = parse(lines, servers), exits(lines)


def parse(lines: Iterable[str], servers: Collection[int]) -> dict[int, list[Sighting]]:
    """Who was seen with each client's port, in the order of time, out of a trace's text."""
    found: dict[int, list[Sighting]] = {}
    for line in lines:
        seen = _SOCKET.search(line)
        if seen is None or int(seen["server"]) not in servers:
            continue
        closes = seen["old"] != "TCP_SYN_SENT"
        sighting = Sighting(float(seen["at_s"]), _process(seen), int(seen["server"]), closes)
        found.setdefault(int(seen["port"]), []).append(sighting)
    return found


def exits(lines: Iterable[str]) -> dict[int, float]:
    """When each process began to end, out of a trace's text: its first thread's end.

    The last of its threads closes what the process had open, after the kernel has traced the end of each.
    """
    ends = (seen for line in lines if (seen := _EXIT.search(line)) is not None)
    return {int(seen["thread"]): float(seen["at_s"]) for seen in ends if int(seen["thread"]) == _process(seen)}


def _process(seen: re.Match[str]) -> int:
    # Of a process that has not been switched since the trace began the kernel names the thread alone: its only one.
    return int(seen["pid"] if seen["pid"].isdecimal() else seen["thread"])


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
