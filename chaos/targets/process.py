"""Agents that are local processes: killed through a pidfd, proven dead by their wait status."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from chaos.targets import check_order
from protocols.errors import FaultError

Spawn = Callable[[str], Awaitable[subprocess.Popen[bytes]]]
"""Node id → a new process of that agent, already serving."""


@dataclass(frozen=True)
class _Handle:
    process: subprocess.Popen[bytes]
    descriptor: int
    """A pidfd (pidfd_open(2)): it means this very process for ever, whoever gets its pid afterwards."""


class ProcessTarget:
    """Knows the processes that were registered, and nothing else on the machine."""

    def __init__(self, spawn: Spawn) -> None:
        self._spawn = spawn
        self._handles: dict[str, _Handle] = {}

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
        """Forget all processes; they go on running."""
        for node in tuple(self._handles):
            self._forget(node)

    def available(self, fault: str) -> str | None:
        """Local processes can be killed, and started anew."""
        return None if fault == "kill" else f"local processes know no fault {fault!r}"

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
        status = handle.process.wait()
        if status >= 0:
            raise FaultError(f"expected {node} to die by a signal, but it ended by itself with exit code {status}")
        return -status

    async def restart(self, node: str) -> None:
        """Start a dead agent anew and register its process; raises FaultError while the old one still runs."""
        if self._handle(node).process.poll() is None:
            raise FaultError(f"expected {node} to be dead before its restart, but it still runs")
        self.register(node, await self._spawn(node))

    def _handle(self, node: str) -> _Handle:
        if node not in self._handles:
            raise FaultError(f"expected one of the {len(self._handles)} agents of this run, got {node!r}")
        return self._handles[node]

    def _forget(self, node: str) -> None:
        former = self._handles.pop(node, None)
        if former is not None:
            os.close(former.descriptor)
