"""A Docker engine that only pretends: containers with labels, kills, and the events that the kills lead to."""

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import requests
from docker.errors import APIError, NotFound

RUN = "20261122-101500-json-seed1"


def labels(node: str, run: str = RUN, role: str = "agent") -> dict[str, str]:
    """What the lab writes on the container of an agent."""
    return {"failstorm.run": run, "failstorm.role": role, "failstorm.node": node}


def refusal(status: int, explanation: str) -> APIError:
    """The SDK's error for an answer that refuses."""
    response = requests.Response()
    response.status_code = status
    kind = NotFound if status == requests.codes.not_found else APIError
    return kind("refused", response=response, explanation=explanation)


@dataclass
class FakeContainer:
    """What the fake engine knows about one container."""

    name: str
    labels: dict[str, str]
    state: str = "running"
    exit_code: int = 0
    out_of_memory: bool = False
    paused: bool = False
    networks: list[str] = field(default_factory=lambda: ["lab_mesh"])
    cpu_quota: int = 0
    memory_bytes: int = 512 * 2**20
    swap_bytes: int = 1024 * 2**20
    deaf: bool = False
    """Whether the engine takes every order for it and does nothing."""
    dies_with: int | None = 137
    """Exit code after a kill; None for a container that survives it."""


class FakeEvents:
    """A subscription."""

    def __init__(self) -> None:
        self.queue: queue.Queue[dict[str, Any] | None] = queue.Queue()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Events until the end."""
        return iter(self.queue.get, None)

    def close(self) -> None:
        """End it."""
        self.queue.put(None)


@dataclass
class FakeEngine:
    """Keeps ``log`` of everything that touches a container."""

    ids: dict[str, FakeContainer] = field(default_factory=dict)
    log: list[tuple[str, str]] = field(default_factory=list)
    subscriptions: list[FakeEvents] = field(default_factory=list)
    broken: Exception | None = None
    """Raised by every call."""
    filters: bool = True
    """Whether lists keep to the filter."""
    mute: bool = False
    """Whether deaths go untold."""
    meeting: threading.Barrier | None = None
    """Every kill waits here for the others."""

    def add(self, name: str, own_labels: dict[str, str]) -> FakeContainer:
        """Put a running container on the engine; its full id follows from its place."""
        self.ids[f"{len(self.ids):064x}"] = made = FakeContainer(name, own_labels)
        return made

    def containers(self, *, all: bool, filters: dict[str, Any]) -> list[dict[str, Any]]:  # noqa: A002 - the SDK's name
        """List with labels and states."""
        self._answer("list", "")
        wanted = dict(label.split("=", 1) for label in filters["label"])
        return [
            {"Id": full_id, "State": each.state, "Labels": each.labels}
            for full_id, each in self.ids.items()
            if (all or each.state == "running") and (not self.filters or wanted.items() <= each.labels.items())
        ]

    def inspect_container(self, container: str) -> dict[str, Any]:
        """Everything about one."""
        found = self._answer("inspect", container)
        state = {
            "Running": found.state == "running",
            "ExitCode": found.exit_code,
            "OOMKilled": found.out_of_memory,
            "Paused": found.paused,
        }
        return {
            "Id": container,
            "State": state,
            "Config": {"Labels": found.labels},
            "HostConfig": {"CpuQuota": found.cpu_quota, "Memory": found.memory_bytes},
            "NetworkSettings": {"Networks": {name: {} for name in found.networks}},
        }

    def kill(self, container: str, signal: str) -> None:
        """End it and tell so."""
        assert signal == "SIGKILL"
        found = self._answer("kill", container)
        if self.meeting is not None:
            self.meeting.wait(5)
        if found.state != "running":
            raise refusal(409, f"container {container} is not running")
        if found.dies_with is not None:
            self.die(container, found.dies_with)

    def die(self, container: str, exit_code: int) -> None:
        """Let a container end, whatever ended it."""
        found = self.ids[container]
        found.state, found.exit_code = "exited", exit_code
        event = {"Action": "die", "Actor": {"ID": container, "Attributes": {"exitCode": str(exit_code)}}}
        for subscription in () if self.mute else self.subscriptions:
            subscription.queue.put(event)

    def start(self, container: str) -> None:
        """Let it run again."""
        self._answer("start", container).state = "running"

    def stop(self, container: str, timeout: int) -> None:
        """Let it end by itself."""
        assert timeout > 0
        self._answer("stop", container)
        self.die(container, 0)

    def pause(self, container: str) -> None:
        """Freeze it."""
        found = self._answer("pause", container)
        found.paused = not found.deaf

    def unpause(self, container: str) -> None:
        """Thaw it."""
        self._answer("unpause", container).paused = False

    def update_container(
        self,
        container: str,
        *,
        cpu_period: int | None = None,
        cpu_quota: int | None = None,
        mem_limit: int | None = None,
        memswap_limit: int | None = None,
    ) -> object:
        """Limit it."""
        assert cpu_period in (None, 100_000)
        found = self._answer("update", container)
        if found.deaf:
            return None
        found.cpu_quota = found.cpu_quota if cpu_quota is None else cpu_quota
        found.memory_bytes = mem_limit or found.memory_bytes
        found.swap_bytes = memswap_limit or found.swap_bytes
        return None

    def stats(self, container: str, *, stream: Literal[False], one_shot: Literal[True]) -> dict[str, Any]:
        """What it uses: 40 MiB."""
        assert (stream, one_shot) == (False, True)
        self._answer("stats", container)
        return {"memory_stats": {"usage": 40 * 2**20}}

    def networks(self, *, filters: dict[str, Any]) -> list[dict[str, Any]]:
        """The run's network."""
        self._answer("networks", "")
        assert filters == {"label": [f"failstorm.run={RUN}", "com.docker.compose.network=mesh"]}
        return [{"Id": "net", "Name": "lab_mesh"}]

    def disconnect_container_from_network(self, container: str, net_id: str) -> None:
        """Take it off."""
        found = self._answer("disconnect", container)
        assert net_id == "net"
        if not found.deaf:
            found.networks.remove("lab_mesh")

    def connect_container_to_network(self, container: str, net_id: str, *, aliases: list[str]) -> None:
        """Put it on."""
        found = self._answer("connect", container)
        assert (net_id, aliases) == ("net", [found.labels["failstorm.node"].replace("_", "-")])
        found.networks.append("lab_mesh")

    def events(self, *, filters: dict[str, Any], decode: Literal[True]) -> FakeEvents:
        """Subscribe."""
        assert decode
        assert filters["event"] == ["die"]
        self._answer("events", "")
        self.subscriptions.append(FakeEvents())
        return self.subscriptions[-1]

    def close(self) -> None:
        """Nothing is open."""

    def id_of(self, name: str) -> str:
        """Full id by name."""
        return next(full_id for full_id, each in self.ids.items() if each.name == name)

    def running(self) -> list[str]:
        """Names of the containers that live."""
        return [each.name for each in self.ids.values() if each.state == "running"]

    def touched(self) -> list[str]:
        """Names of the containers to which anything was done, with repetitions."""
        return [
            self.ids[full_id].name
            for verb, full_id in self.log
            if verb not in {"list", "inspect", "events", "networks", "stats"}
        ]

    def _answer(self, verb: str, container: str) -> FakeContainer:
        if self.broken is not None:
            raise self.broken
        self.log.append((verb, container))
        if container and container not in self.ids:
            raise refusal(404, f"no such container: {container}")
        return self.ids[container] if container else FakeContainer("", {})


def lab_with_strangers() -> FakeEngine:
    """Four agents of the run, and containers around them that must outlive everything."""
    engine = FakeEngine()
    for number in range(1, 5):
        engine.add(f"fail-storm-agent-{number}-1", labels(f"agent_{number}"))
    engine.add("fail-storm-agent-3x", {})
    engine.add("agent_3", {})
    engine.add("fail-storm-agent-3-2", labels("agent_3", run=f"{RUN}0"))
    engine.add("fail-storm-chaos-1", labels("chaos", role="chaos"))
    engine.add("fail-storm-agent-9-1", labels("agent_9") | {"failstorm.role": "Agent"})
    engine.add("half", {"failstorm.run": RUN, "failstorm.node": "agent_8"})
    return engine


STRANGERS = [
    "fail-storm-agent-3x",
    "agent_3",
    "fail-storm-agent-3-2",
    "fail-storm-chaos-1",
    "fail-storm-agent-9-1",
    "half",
]
