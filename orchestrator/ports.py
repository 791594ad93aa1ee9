"""Which port belongs to whom, and whether it is free."""

import errno
import socket
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

from protocols.errors import ConfigError

HOST = "127.0.0.1"
_LOWEST, _HIGHEST = 1024, 65_535
_USUAL_BASE, _CROWDED_BASE = 9000, 9100
_CROWDED_FROM = 90
"""From this many agents on, ports from 9000 would run into Prometheus at 9090."""


@dataclass(frozen=True, slots=True)
class PortPlan:
    """The ports of one run; agent *i* has the entry *i* - 1."""

    conductor: int
    conductor_admin: int
    agents: tuple[int, ...]
    admin: tuple[int, ...]

    @property
    def all(self) -> tuple[int, ...]:
        """Every port that must be free before the run."""
        return (self.conductor, self.conductor_admin, *self.agents, *self.admin)


def plan_ports(agent_count: int, base_port: int | None, admin_base_port: int) -> PortPlan:
    """The conductor at the base, agent *i* at base + *i*; likewise their admin servers from the admin base on.

    None as ``base_port`` is 9000, and 9100 from 90 agents on. Raises ConfigError when the two ranges overlap or leave
    1024 to 65535.
    """
    automatic = _CROWDED_BASE if agent_count >= _CROWDED_FROM else _USUAL_BASE
    base = automatic if base_port is None else base_port
    agents = range(base + 1, base + agent_count + 1)
    admin = range(admin_base_port + 1, admin_base_port + agent_count + 1)
    for key, ports in (
        ("base_port", range(base, agents.stop)),
        ("admin_base_port", range(admin_base_port, admin.stop)),
    ):
        if ports.start < _LOWEST or ports.stop - 1 > _HIGHEST:
            raise ConfigError(
                f"network.{key}: expected ports within {_LOWEST} to {_HIGHEST}, but {agent_count} agents need "
                f"{ports.start} to {ports.stop - 1}; choose another base or fewer agents"
            )
    if base < admin.stop and admin_base_port < agents.stop:
        raise ConfigError(
            f"network.admin_base_port: expected ports apart from the agents' {base} to {agents.stop - 1}, got "
            f"{admin_base_port} to {admin.stop - 1}; move one base by {agent_count + 1} or more, or take fewer agents"
        )
    return PortPlan(conductor=base, conductor_admin=admin_base_port, agents=tuple(agents), admin=tuple(admin))


def check_ports(ports: Sequence[int]) -> None:
    """Raises ConfigError when one of ``ports`` is taken on the loopback interface, and says by whom if it can."""
    taken = [port for port in ports if not _is_free(port)]
    if not taken:
        return
    others = f" (and {len(taken) - 1} more: {', '.join(map(str, taken[1:4]))}{'…' if len(taken) > 4 else ''})"  # noqa: PLR2004
    raise ConfigError(
        f"expected port {taken[0]} to be free, but {_holder(taken[0])} has it{others if taken[1:] else ''}; "
        f"stop it, or set network.base_port and network.admin_base_port"
    )


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As a server does it: connections of the last run that linger in TIME_WAIT are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise ConfigError(
                f"expected to bind port {port}, got: {error.strerror}; choose another base port"
            ) from error
        return True


def _holder(port: int) -> str:
    try:
        found = [entry for entry in psutil.net_connections("tcp") if entry.laddr and entry.laddr.port == port]
        # The listener first: a client that happens to use the port is rarer and less useful to name.
        found.sort(key=lambda entry: entry.status != psutil.CONN_LISTEN)
        pid = found[0].pid if found else None
        return f"process {pid} ({psutil.Process(pid).name()})" if pid else "a process of another user"
    except psutil.Error:
        return "a process that cannot be named"
