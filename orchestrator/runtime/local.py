"""Agents as local processes: started here, killed by chaos, gone when this process is gone."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

import httpx

from agent.settings import KEY_VARIABLE, AgentSettings
from agent.story import last_word
from chaos.faults import Record
from chaos.links.control import Links
from chaos.schedule import Order
from chaos.storm import acting_on
from chaos.targets.process import ProcessTarget
from orchestrator.reserve import hold_behind_end
from orchestrator.run_dir import RunDir
from orchestrator.runtime import admin_url
from protocols.clock import Clock
from protocols.errors import LabError

_CHECKOUT = Path(__file__).resolve().parents[2]
_POLL_S = 0.1
_STOP_TIMEOUT_S = 3.0
_LOG_BYTES = 32 * 1024
"""Held on the disk for what an agent says, its last words above all."""
_KILL_TIMEOUT_S = 5.0


class LocalRuntime:
    """All agents of one run, whose workspaces are laid out, as child processes."""

    name: ClassVar[str] = "local"
    watch_s: ClassVar[float] = 0.25

    def __init__(
        self,
        agents: Sequence[AgentSettings],
        run_dir: RunDir,
        admin: httpx.AsyncClient,
        clock: Clock,
        record: Record,
        secrets: Mapping[str, str] = MappingProxyType({}),
        links: Links | None = None,
    ) -> None:
        """``secrets`` go into the environment of each agent, and nowhere else; ``links`` is started and ended here."""
        self._links = links
        self._record = record
        self._target = ProcessTarget(self._respawn, clock, links)
        self._act = acting_on(self._target, record)
        self._agents = {settings.node_id: settings for settings in agents}
        self._run_dir = run_dir
        self._admin = admin
        self._clock = clock
        self._secrets = secrets
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    async def start(self, timeout_s: float) -> None:
        """Start all agents and wait until each answers; raises LabError naming the first that does not."""
        if self._links is not None:
            self._links.lost = self._tell_healed
            await self._links.start()
        for node in self._agents:
            self._target.register(node, self._launch(node))
        deadline = self._clock.now() + timeout_s
        for node in self._agents:
            await self._until_ready(node, deadline)

    async def stop(self) -> None:
        """End all agents: politely first, then by SIGKILL; returns when none is left."""
        alive = [process for process in self._processes.values() if process.poll() is None]
        for process in alive:
            process.terminate()
        deadline = self._clock.now() + _STOP_TIMEOUT_S
        while any(process.poll() is None for process in alive) and self._clock.now() < deadline:
            await self._clock.sleep(_POLL_S / 4)
        for process in alive:
            if process.poll() is None:
                process.kill()
        for process in alive:
            await asyncio.to_thread(process.wait, _KILL_TIMEOUT_S)
        self._target.close()
        if self._links is not None:
            await self._links.close()

    async def act(self, order: Order) -> None:
        """Carry out one order here and now; raises FaultError when it is refused."""
        await self._act(order)

    async def ended(self) -> dict[str, int]:
        """Agents that are not running, with their wait status as in ``subprocess``."""
        statuses = {node: process.poll() for node, process in self._processes.items()}
        return {node: status for node, status in statuses.items() if status is not None}

    def last_words(self, node: str) -> str:
        """The last line of its output, if it is one of an agent that gives up."""
        path = self._run_dir.output(node)
        said = path.read_text(encoding="utf-8", errors="replace").splitlines()[-1:]
        begin = last_word(node)
        return next((line.removeprefix(begin) for line in said if line.startswith(begin)), f"see {path}")

    def _tell_healed(self, bent: Sequence[tuple[str, str]]) -> None:
        """The proxy was replaced: what it had bent goes straight again, and the faults did not last as planned."""
        for name, node in bent:
            self._record("heal_done", victim=node, fault=name)
            self._record("fault_failed", victim=node, reason=f"the proxy ended in mid-run, which healed {name}")

    async def _respawn(self, node: str) -> subprocess.Popen[bytes]:
        process = self._launch(node)
        await self._until_ready(node, self._clock.now() + 20.0)
        return process

    def _launch(self, node: str) -> subprocess.Popen[bytes]:
        path = self._agents[node].workspace / "settings.json"
        path_of_python = os.pathsep.join(filter(None, (str(_CHECKOUT), os.environ.get("PYTHONPATH"))))
        own = {name: value for name, value in os.environ.items() if name != KEY_VARIABLE}
        environment = own | {"PYTHONPATH": path_of_python, "PYTHONUNBUFFERED": "1"} | dict(self._secrets)
        with self._run_dir.output(node).open("ab") as output:
            hold_behind_end(output.fileno(), _LOG_BYTES)
            # A session of its own: Ctrl-C at the terminal reaches the orchestrator alone, which then ends the agents.
            # Spawned from the main thread, because the death signal follows the thread that spawned.
            self._processes[node] = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-m", "agent", str(path)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=_CHECKOUT,
                env=environment,
                start_new_session=True,
            )
        return self._processes[node]

    async def _until_ready(self, node: str, deadline: float) -> None:
        url = f"{admin_url(self._agents[node])}/status"
        while self._clock.now() < deadline:
            status = self._processes[node].poll()
            if status is not None:
                raise LabError(
                    f"expected {node} to start, it ended with status {status}; see {self._run_dir.output(node)}"
                )
            try:
                if (await self._admin.get(url)).status_code == httpx.codes.OK:
                    return
            except httpx.TransportError:
                await self._clock.sleep(_POLL_S)
        raise LabError(
            f"expected {node} to serve its admin port in time, it does not; see {self._run_dir.output(node)}"
        )
