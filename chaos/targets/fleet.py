"""The containers of one run on the Docker engine, and what can be done to one of them: calls that block.

A container's labels are settled when it is made and its full id is never given away again. So a check of the labels by
full id, just before the same full id is hurt, holds for the container that is hurt, whatever it or others are called.
"""

import re

from chaos.targets.engine import Container, Engine, Listed, Network, Usage, clear_errors
from protocols.errors import ConfigError, FaultError, LabError

RUN_LABEL, ROLE_LABEL, NODE_LABEL = "failstorm.run", "failstorm.role", "failstorm.node"
NETWORK_LABEL, MESH = "com.docker.compose.network", "mesh"
AGENT_ROLE = "agent"
_STOP_TIMEOUT_S = 5
_CPU_PERIOD_US = 100_000
_NO_QUOTA = -1
_KILLED = 137
_MIB = 2**20
MEMORY_MIB = 512
"""What an agent's container has by compose.yaml, and gets back."""


class Fleet:
    """The agents of ``run_id``; raises ConfigError for an id that could match more than one run."""

    def __init__(self, engine: Engine, run_id: str) -> None:
        # An empty id would match a label without a value.
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", run_id):
            raise ConfigError(f"expected a run id of letters, digits and . _ -, got {run_id!r}")
        self._engine = engine
        self._run = f"{RUN_LABEL}={run_id}"
        self._labels = {RUN_LABEL: run_id, ROLE_LABEL: AGENT_ROLE}

    @property
    def label_filter(self) -> list[str]:
        """What the engine is asked by; what it answers is checked all the same."""
        return [f"{name}={value}" for name, value in self._labels.items()]

    def list(self) -> dict[str, Listed]:
        """The agents of the run by node id; raises FaultError and LabError."""
        with clear_errors("list the containers of this run"):
            answer = self._engine.containers(all=True, filters={"label": self.label_filter})
            found = [Listed.model_validate(each) for each in answer]
        agents: dict[str, Listed] = {}
        for container in found:
            node = self._node_of(container.labels)
            if node in agents:
                raise FaultError(f"expected one container for {node} in this run, got two; remove the one too many")
            if node is not None:
                agents[node] = container
        return agents

    def inspect(self, node: str, container_id: str) -> Container:
        """The container as it is now; raises FaultError unless it is ``node`` of this run."""
        with clear_errors(f"inspect {node}"):
            container = Container.model_validate(self._engine.inspect_container(container_id))
        if container.id != container_id or self._node_of(container.config.labels) != node:
            raise FaultError(
                f"expected the labels of {node} of this run on container {container_id[:12]}, got others; it is spared"
            )
        return container

    def kill(self, node: str, container_id: str) -> None:
        """Send SIGKILL to a container that runs."""
        container = self.inspect(node, container_id)
        if not container.state.running:
            raise FaultError(
                f"expected {node} to run, but it had ended before the kill with exit code {container.state.exit_code}"
            )
        with clear_errors(f"kill {node}"):
            self._engine.kill(container_id, "SIGKILL")

    def start(self, node: str, container_id: str) -> None:
        """Start a container that has ended."""
        if self.inspect(node, container_id).state.running:
            raise FaultError(f"expected {node} to be dead before its restart, but it still runs")
        with clear_errors(f"start {node}"):
            self._engine.start(container_id)

    def stop(self, node: str, container_id: str) -> None:
        """Send SIGTERM and wait for the end; raises FaultError when the engine had to kill it."""
        self._must_run(node, container_id, "its stop")
        with clear_errors(f"stop {node}"):
            self._engine.stop(container_id, timeout=_STOP_TIMEOUT_S)
        state = self.inspect(node, container_id).state
        if state.running or state.exit_code == _KILLED:
            raise FaultError(f"expected {node} to end by itself within {_STOP_TIMEOUT_S} s, it had to be killed")

    def pause(self, node: str, container_id: str) -> None:
        """Freeze it; raises FaultError unless the engine then says so."""
        self._must_run(node, container_id, "its pause")
        with clear_errors(f"pause {node}"):
            self._engine.pause(container_id)
        if not self.inspect(node, container_id).state.paused:
            raise FaultError(f"expected {node} to be paused, the engine says it is not")

    def resume(self, node: str, container_id: str) -> None:
        """Thaw it; raises FaultError unless it was frozen until now, and runs afterwards."""
        if not self.inspect(node, container_id).state.paused:
            raise FaultError(f"expected {node} to be paused until now, but it is not; somebody else has thawed it")
        with clear_errors(f"unpause {node}"):
            self._engine.unpause(container_id)
        self._must_run(node, container_id, "the end of the pause")

    def cut(self, node: str, container_id: str) -> None:
        """Take it off the network of the mesh; raises FaultError when it is still on it."""
        self._must_run(node, container_id, "its cut")
        network = self._mesh()
        with clear_errors(f"disconnect {node}"):
            self._engine.disconnect_container_from_network(container_id, network.id)
        if network.name in self.inspect(node, container_id).networks:
            raise FaultError(f"expected {node} to be off the network {network.name}, it is still on it")

    def mend(self, node: str, container_id: str) -> None:
        """Put it back under its name; raises FaultError when it was not off."""
        network = self._mesh()
        if network.name in self.inspect(node, container_id).networks:
            raise FaultError(f"expected {node} to be off the network until now, somebody else has put it back")
        self._connect(node, container_id, network)

    def squeeze(self, node: str, container_id: str, cpus: float | None) -> None:
        """Limit its CPUs, or lift the limit; raises FaultError unless the engine then says so."""
        self._must_run(node, container_id, "its squeeze")
        quota = _NO_QUOTA if cpus is None else int(cpus * _CPU_PERIOD_US)
        with clear_errors(f"limit the CPUs of {node}"):
            self._engine.update_container(container_id, cpu_period=_CPU_PERIOD_US, cpu_quota=quota)
        if self.inspect(node, container_id).host.cpu_quota != quota:
            raise FaultError(f"expected {node} to have a CPU quota of {quota} us, the engine says otherwise")

    def limit_memory(self, node: str, container_id: str, spare_mib: float | None) -> None:
        """Leave it ``spare_mib`` beyond what it uses now, or lift the limit.

        Raises FaultError unless the engine then says so, and for one whom the kernel killed under the limit.
        """
        state = self.inspect(node, container_id).state
        if not state.running and state.out_of_memory:
            raise FaultError(
                f"expected {node} to live with little memory, but the kernel killed it for want of it "
                f"(exit code {state.exit_code}); raise spare_mib"
            )
        self._must_run(node, container_id, "the end of its memory limit" if spare_mib is None else "its memory limit")
        with clear_errors(f"limit the memory of {node}"):
            limit = MEMORY_MIB * _MIB
            if spare_mib is not None:
                usage = Usage.model_validate(self._engine.stats(container_id, stream=False, one_shot=True))
                limit = min(limit, usage.memory.usage + int(spare_mib * _MIB))
            # No swap under the fault: what does not fit is to hurt. Without it as much again, as engines do by default.
            swap = limit if spare_mib is not None else 2 * limit
            self._engine.update_container(container_id, mem_limit=limit, memswap_limit=swap)
        if self.inspect(node, container_id).host.memory_bytes != limit:
            raise FaultError(f"expected {node} to have a memory limit of {limit} bytes, the engine says otherwise")

    def heal_all(self) -> tuple[str, ...]:
        """Thaw, connect and unlimit every agent that is hurt but lives; returns what was done, one phrase each.

        It needs no memory of who was hurt: the engine knows. Raises FaultError and LabError.
        """
        done = []
        network = self._mesh()
        for node, listed in self.list().items():
            container = self.inspect(node, listed.id)
            if not container.state.running:
                continue
            if network.name not in container.networks:
                self._connect(node, listed.id, network)
                done.append(f"{node} connected")
            if container.host.cpu_quota > 0:
                self.squeeze(node, listed.id, None)
                done.append(f"{node} unlimited")
            if container.state.paused:
                self.resume(node, listed.id)
                done.append(f"{node} thawed")
            if 0 < container.host.memory_bytes < MEMORY_MIB * _MIB:
                self.limit_memory(node, listed.id, None)
                done.append(f"{node} given memory")
        return tuple(done)

    def _must_run(self, node: str, container_id: str, until: str) -> None:
        state = self.inspect(node, container_id).state
        if not state.running or (state.paused and until != "its squeeze"):
            raise FaultError(f"expected {node} to run until {until}, but it is {'paused' if state.paused else 'dead'}")

    def _connect(self, node: str, container_id: str, network: Network) -> None:
        with clear_errors(f"connect {node}"):
            # The name under which the others find it, as compose gave it.
            self._engine.connect_container_to_network(container_id, network.id, aliases=[node.replace("_", "-")])

    def _mesh(self) -> Network:
        with clear_errors("list the networks of this run"):
            answer = self._engine.networks(filters={"label": [self._run, f"{NETWORK_LABEL}={MESH}"]})
            found = [Network.model_validate(each) for each in answer]
        if len(found) != 1:
            raise LabError(f"expected one network {MESH} of this run, got {len(found)}; is its lab down?")
        return found[0]

    def _node_of(self, labels: dict[str, str]) -> str | None:
        """The agent behind these labels; None for a container that is none of this run's agents."""
        ours = all(labels.get(name) == value for name, value in self._labels.items())
        return labels.get(NODE_LABEL) if ours else None
