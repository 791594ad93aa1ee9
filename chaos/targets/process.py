"""Agents that are local processes: signalled through a pidfd, proven dead by their wait status."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from chaos import faults
from chaos.links.control import Links
from chaos.links.shape import Bend, Shape
from chaos.targets import check_order, lacks
from chaos.targets.throttle import Throttle
from protocols.clock import Clock
from protocols.errors import FaultError

_FREEZE_TIMEOUT_S = 2.0
_STOP_TIMEOUT_S = 5.0
_POLL_S = 0.005
_CUT = Bend(Shape(cut=True))

Spawn = Callable[[str], Awaitable[subprocess.Popen[bytes]]]
"""Node id → a new process of that agent, already serving."""


@dataclass(frozen=True)
class _Handle:
    process: subprocess.Popen[bytes]
    descriptor: int
    """A pidfd (pidfd_open(2)): it means this very process for ever, whoever gets its pid afterwards."""


class ProcessTarget:
    """Knows the processes that were registered, and nothing else on the machine."""

    def __init__(self, spawn: Spawn, clock: Clock, links: Links | None = None) -> None:
        """``links``: the proxy between the agents, where their traffic goes through one."""
        self._spawn = spawn
        self._clock = clock
        self._links = links
        self._handles: dict[str, _Handle] = {}
        self._throttles: dict[str, Throttle] = {}

    def register(self, node: str, process: subprocess.Popen[bytes]) -> None:
        """Take ``process``, a child of this one that nobody has waited for, as agent ``node``.

        A former process of the same name is forgotten. Raises FaultError when the process has ended already.
        """
        if process.poll() is not None:
            raise FaultError(f"expected a running process for {node}, got one that ended with {process.returncode}")
        # The child has not been waited for, so its pid cannot have gone to anybody else yet.
        descriptor = os.pidfd_open(process.pid)
        self._forget(node)
        self._handles[node] = _Handle(process, descriptor)

    def close(self) -> None:
        """Forget all processes; they go on running, the frozen ones as well."""
        for node in tuple(self._handles):
            handle = self._handles[node]
            if handle.process.poll() is None:
                signal.pidfd_send_signal(handle.descriptor, signal.SIGCONT)
            self._forget(node)

    def available(self, fault: str) -> str | None:
        """None for what local processes can be made to suffer, otherwise the reason."""
        if fault not in faults.names():
            return f"local processes know no fault {fault!r}"
        needs = faults.load(fault).needs
        if needs in ("cut", "links") and self._links is None:
            return f"{fault} needs a proxy between the agents, and this run was started without one"
        return lacks("local", fault, needs)

    async def authorise(self, victims: Sequence[str]) -> None:
        """Raises FaultError for an order that is refused: :func:`chaos.targets.check_order`."""
        check_order(victims, self._handles)

    async def kill(self, node: str) -> None:
        """Send SIGKILL; raises FaultError when the process had ended before."""
        handle = self._handle(node)
        try:
            signal.pidfd_send_signal(handle.descriptor, signal.SIGKILL)
        except ProcessLookupError:
            raise FaultError(f"expected {node} to run, but it had ended before the kill") from None

    async def wait_dead(self, node: str, timeout_s: float) -> int:
        """Return the signal in the wait status; raises FaultError when ``timeout_s`` passes or there is none."""
        status = await self._wait_ended(node, timeout_s)
        if status >= 0:
            raise FaultError(f"expected {node} to die by a signal, but it ended by itself with exit code {status}")
        return -status

    async def stop(self, node: str) -> None:
        """Send SIGTERM; raises FaultError unless the agent ends by itself within a few seconds."""
        handle = self._handle(node)
        self._signal(handle, node, signal.SIGTERM)
        status = await self._wait_ended(node, _STOP_TIMEOUT_S)
        if status < 0:
            raise FaultError(f"expected {node} to end by itself when asked, but it died by signal {-status}")

    async def pause(self, node: str) -> None:
        """Send SIGSTOP; raises FaultError unless the kernel says that the process is stopped."""
        handle = self._handle(node)
        self._signal(handle, node, signal.SIGSTOP)
        await self._until_stopped(handle, node, stopped=True)

    async def resume(self, node: str) -> None:
        """Send SIGCONT; raises FaultError when the process has ended meanwhile."""
        handle = self._handle(node)
        self._signal(handle, node, signal.SIGCONT)
        await self._until_stopped(handle, node, stopped=False)

    async def cut(self, node: str) -> None:
        """Have the proxy pass nothing to or from ``node``; raises FaultError."""
        await self.bend("cut", node, _CUT)

    async def mend(self, node: str) -> None:
        """Have it pass again; raises FaultError."""
        await self.unbend("cut", node)

    async def bend(self, name: str, node: str, bend: Bend) -> None:
        """Have the proxy bend the traffic of ``node``; raises FaultError."""
        await self._proxy().bend(name, node, bend)

    async def unbend(self, name: str, node: str) -> None:
        """Have it no longer do so; raises FaultError."""
        await self._proxy().unbend(name, node)

    async def squeeze(self, node: str, cpus: float | None) -> None:
        """Stop it whenever it has had its share of a period; raises FaultError when it had more, or has ended."""
        handle = self._handle(node)
        if cpus is None:
            await self._throttles.pop(node).end()
            await self._until_stopped(handle, node, stopped=False)
            return
        await self.pause(node)
        self._throttles[node] = Throttle(
            handle.process.pid, lambda number: self._signal(handle, node, number), cpus, self._clock
        )
        self._throttles[node].start()

    async def limit_memory(self, node: str, spare_mib: float | None) -> None:
        """Raises FaultError: it is refused before the run."""
        raise FaultError(f"expected a control group of its own to leave {node} {spare_mib} MiB, processes have none")

    async def restart(self, node: str) -> None:
        """Start a dead agent anew and register its process; raises FaultError while the old one still runs."""
        if self._handle(node).process.poll() is None:
            raise FaultError(f"expected {node} to be dead before its restart, but it still runs")
        self.register(node, await self._spawn(node))

    async def _wait_ended(self, node: str, timeout_s: float) -> int:
        """Return the wait status as ``subprocess`` has it; raises FaultError when ``timeout_s`` passes."""
        handle = self._handle(node)
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        # A descriptor of our own: the event loop allows one reader per descriptor, and several may wait for one death.
        descriptor = os.dup(handle.descriptor)
        loop.add_reader(descriptor, ended.set)
        try:
            async with asyncio.timeout(timeout_s):
                await ended.wait()
        except TimeoutError:
            raise FaultError(f"expected {node} to be dead within {timeout_s:g} s, but it still runs") from None
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)
        return handle.process.wait()

    async def _until_stopped(self, handle: _Handle, node: str, *, stopped: bool) -> None:
        """Wait for what the kernel says in proc(5): T for a stopped process."""
        wanted = "frozen" if stopped else "thawed"
        try:
            async with asyncio.timeout(_FREEZE_TIMEOUT_S):
                while (_state(handle.process.pid) == "T") is not stopped:
                    if handle.process.poll() is not None:
                        raise FaultError(f"expected {node} to be {wanted}, but it has ended")
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            raise FaultError(f"expected {node} to be {wanted} within {_FREEZE_TIMEOUT_S:g} s, it is not") from None

    def _signal(self, handle: _Handle, node: str, number: signal.Signals) -> None:
        try:
            signal.pidfd_send_signal(handle.descriptor, number)
        except ProcessLookupError:
            raise FaultError(f"expected {node} to run, but it had ended before the {number.name}") from None

    def _proxy(self) -> Links:
        if self._links is None:
            raise FaultError("expected a proxy between the agents, got none; this run was started without one")
        return self._links

    def _handle(self, node: str) -> _Handle:
        if node not in self._handles:
            raise FaultError(f"expected one of the {len(self._handles)} agents of this run, got {node!r}")
        return self._handles[node]

    def _forget(self, node: str) -> None:
        throttle = self._throttles.pop(node, None)
        if throttle is not None:
            throttle.abandon()
        former = self._handles.pop(node, None)
        if former is not None:
            os.close(former.descriptor)


def _state(pid: int) -> str:
    """The state letter of a child that has not been waited for; ``X`` when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "X"
