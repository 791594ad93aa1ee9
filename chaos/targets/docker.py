"""Agents that are containers: killed by the Docker engine, proven dead by its events, known by their labels only."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, ParamSpec, Self, TypeVar

from chaos import faults
from chaos.links.shape import Bend
from chaos.messages import AgentState
from chaos.targets import check_order, lacks
from chaos.targets.engine import Engine, Listed, Subscription
from chaos.targets.fleet import Fleet
from protocols.clock import Clock
from protocols.errors import FaultError

RESTART_TIMEOUT_S = 20.0
_POLL_S = 0.1
_THREADS = 256
_SIGNAL_BASE = 128
"""A container that dies by signal n ends with exit code 128 + n, as in a shell."""

AskIncarnation = Callable[[str], Awaitable[int | None]]
"""Node id → the incarnation that the agent's admin port tells; None while nobody answers there."""

P = ParamSpec("P")
T = TypeVar("T")


@dataclass
class _Proof:
    """What is known about one expected death."""

    container_id: str
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    exit_code: int | None = None
    """None when the engine stopped telling its events before the death."""


class DockerTarget:
    """The containers with the labels of one run and the role of an agent, and nothing else on the engine.

    To be used as an async context manager. The engine's calls block, so each has a thread; kills go out in parallel.
    """

    def __init__(self, engine: Engine, run_id: str, incarnation: AskIncarnation, clock: Clock) -> None:
        self._engine = engine
        self._fleet = Fleet(engine, run_id)
        self._incarnation = incarnation
        self._clock = clock
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="docker")
        self._subscription: Subscription | None = None
        self._authorised: dict[str, str] = {}
        """Node id → full container id, for the victims of the latest order."""
        self._proofs: dict[str, _Proof] = {}
        self._exit_codes: dict[str, int] = {}
        """By full container id, of the latest death that the engine told."""
        self._lives: dict[str, int] = {}

    async def __aenter__(self) -> Self:
        """Subscribe to the engine's events; raises LabError when it does not answer."""
        await self._follow()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._subscription is not None:
            await self._run(self._subscription.close)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def available(self, fault: str) -> str | None:
        """None for what containers can be made to suffer, otherwise the reason."""
        if fault not in faults.names():
            return f"containers know no fault {fault!r}"
        return lacks("docker", fault, faults.load(fault).needs)

    async def agents(self) -> dict[str, AgentState]:
        """What the engine says about every agent of the run, the dead ones included."""
        listed = await self._run(self._fleet.list)
        return {node: await self._state(node, container) for node, container in listed.items()}

    async def authorise(self, victims: Sequence[str]) -> None:
        """Raises FaultError for an order that is refused, LabError when the engine does not answer."""
        self._authorised = {}
        await self._follow()
        listed = await self._run(self._fleet.list)
        check_order(victims, listed)
        self._authorised = {victim: listed[victim].id for victim in victims}

    async def kill(self, node: str) -> None:
        """Check the labels of the container and send SIGKILL; raises FaultError when it had ended before."""
        container_id = self._authorised_id(node)
        if self._subscription is None or not self._subscription.alive:
            raise FaultError(f"expected the engine's events as a proof of death, they broke off; {node} is spared")
        self._proofs[node] = _Proof(container_id)
        await self._run(self._fleet.kill, node, container_id)

    async def wait_dead(self, node: str, timeout_s: float) -> int:
        """Return the signal in the exit code of the engine's ``die`` event after the latest kill.

        Raises FaultError when ``timeout_s`` passes, the container ended by itself, or the kernel took its memory back.
        """
        proof = self._proofs[node]
        try:
            async with asyncio.timeout(timeout_s):
                await proof.settled.wait()
        except TimeoutError:
            raise FaultError(
                f"expected a die event of {node} within {timeout_s:g} s, the engine told of none"
            ) from None
        if proof.exit_code is None:
            raise FaultError(f"expected a die event of {node}, but the engine's events broke off before one came")
        if proof.exit_code <= _SIGNAL_BASE:
            raise FaultError(
                f"expected {node} to die by a signal, but it ended by itself with exit code {proof.exit_code}"
            )
        if (await self._run(self._fleet.inspect, node, proof.container_id)).state.out_of_memory:
            raise FaultError(f"expected {node} to die by the kill, but the kernel killed it for want of memory")
        return proof.exit_code - _SIGNAL_BASE

    async def stop(self, node: str) -> None:
        """Send SIGTERM; raises FaultError unless it then ends by itself."""
        await self._run(self._fleet.stop, node, self._authorised_id(node))

    async def pause(self, node: str) -> None:
        """Freeze the container; raises FaultError unless the engine says that it is."""
        await self._run(self._fleet.pause, node, self._authorised_id(node))

    async def resume(self, node: str) -> None:
        """Thaw it; raises FaultError when it was not frozen any more."""
        await self._run(self._fleet.resume, node, self._authorised_id(node))

    async def cut(self, node: str) -> None:
        """Take it off its network; raises FaultError unless the engine says that it is off."""
        await self._run(self._fleet.cut, node, self._authorised_id(node))

    async def mend(self, node: str) -> None:
        """Put it back; raises FaultError when it was there already."""
        await self._run(self._fleet.mend, node, self._authorised_id(node))

    async def squeeze(self, node: str, cpus: float | None) -> None:
        """Limit its CPUs, or lift the limit; raises FaultError unless the engine says so."""
        await self._run(self._fleet.squeeze, node, self._authorised_id(node), cpus)

    async def limit_memory(self, node: str, spare_mib: float | None) -> None:
        """Limit its memory, or lift the limit; raises FaultError unless the engine says so, or when it has died."""
        await self._run(self._fleet.limit_memory, node, self._authorised_id(node), spare_mib)

    async def bend(self, name: str, node: str, _bend: Bend) -> None:
        """Raises FaultError: it is refused before the run."""
        raise FaultError(f"expected a proxy to carry out {name} on {node}, there is none between containers")

    async def unbend(self, name: str, node: str) -> None:
        """Raises FaultError, as :meth:`bend` does."""
        raise FaultError(f"expected a proxy to undo {name} on {node}, there is none between containers")

    async def heal_all(self) -> tuple[str, ...]:
        """Undo whatever any living agent suffers; returns what was done. Raises FaultError and LabError."""
        return await self._run(self._fleet.heal_all)

    async def restart(self, node: str) -> None:
        """Start a dead container anew; returns when its agent serves in a new incarnation.

        Raises FaultError while it still runs, when it ends again, and after RESTART_TIMEOUT_S.
        """
        container_id = self._authorised_id(node)
        await self._run(self._fleet.start, node, container_id)
        deadline = self._clock.now() + RESTART_TIMEOUT_S
        while self._clock.now() < deadline:
            incarnation = await self._incarnation(node)
            if incarnation is not None and incarnation > self._lives.get(node, 0):
                self._lives[node] = incarnation
                return
            container = await self._run(self._fleet.inspect, node, container_id)
            if not container.state.running:
                raise FaultError(
                    f"expected {node} to serve after its restart, it ended with exit code "
                    f"{container.state.exit_code}; see its log"
                )
            await self._clock.sleep(_POLL_S)
        raise FaultError(
            f"expected {node} to serve within {RESTART_TIMEOUT_S:g} s of its restart, it does not; see its log"
        )

    async def _run(self, blocking: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: blocking(*arguments, **options))

    def _authorised_id(self, node: str) -> str:
        if node not in self._authorised:
            raise FaultError(f"expected a victim of the latest order, got {node!r}")
        return self._authorised[node]

    async def _follow(self) -> None:
        if self._subscription is not None:
            if self._subscription.alive:
                return
            await self._run(self._subscription.close)
        filters = {"type": "container", "event": ["die"], "label": self._fleet.label_filter}
        self._subscription = Subscription(self._engine, filters, self._on_die, self._on_end)
        await self._subscription.open()

    def _on_die(self, event: dict[str, Any]) -> None:
        container_id, exit_code = event["Actor"]["ID"], int(event["Actor"]["Attributes"]["exitCode"])
        self._exit_codes[container_id] = exit_code
        for proof in self._proofs.values():
            if proof.container_id == container_id and not proof.settled.is_set():
                proof.exit_code = exit_code
                proof.settled.set()

    def _on_end(self) -> None:
        self._exit_codes.clear()
        for proof in self._proofs.values():
            proof.settled.set()

    async def _state(self, node: str, listed: Listed) -> AgentState:
        if listed.state in {"running", "paused"}:
            return AgentState(running=True, exit_code=None)
        if listed.state == "created":
            return AgentState(running=False, exit_code=None)
        exit_code = self._exit_codes.get(listed.id)
        if exit_code is None:
            exit_code = (await self._run(self._fleet.inspect, node, listed.id)).state.exit_code
        return AgentState(running=False, exit_code=exit_code)
