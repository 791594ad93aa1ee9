"""``python -m chaos serve``: chaos as a process of its own; ``guard``: heals what it leaves behind when it is killed.

In the lab these two alone have the engine's socket.
"""

import argparse
import asyncio
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import httpx
from prometheus_client import CollectorRegistry

from chaos.guard import Ward, keep_guard
from chaos.lives import AdminPorts
from chaos.service import Desk, application
from chaos.targets import engine
from chaos.targets.docker import DockerTarget
from chaos.targets.fleet import Fleet
from chaos.telemetry import Telemetry
from protocols.clock import MonotonicClock, unix_offset_s
from protocols.errors import ConfigError, FailstormError, LabError
from protocols.serving import AsgiServer

SOCKET = "unix:///var/run/docker.sock"
SHORTEST_TOKEN = 16


def main(arguments: Sequence[str]) -> int:
    """Serve, or stand guard, until a signal; returns the exit code: 0, 2 for a wrong call, 3 when the lab fails."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "guard":
            asyncio.run(_guard(options))
        else:
            asyncio.run(_serve(options, read_token(options.token_file)))
    except ConfigError as error:
        _say(str(error))
        return 2
    except (FailstormError, OSError) as error:
        _say(str(error))
        return 3
    return 0


def read_token(path: Path) -> str:
    """The secret that orders must bear; raises LabError when the file is missing, unreadable or too short."""
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise LabError(f"expected the token of this run in {path}, got: {error}; the prepare step writes it") from error
    if len(token) < SHORTEST_TOKEN or not token.isprintable() or " " in token:
        raise LabError(f"expected {SHORTEST_TOKEN} or more characters without blanks in {path}, got {len(token)}")
    return token


def node_host(node: str) -> str:
    """The name under which containers find an agent: agent_3 is agent-3, since DNS names have no underscores."""
    return node.replace("_", "-")


async def _serve(options: argparse.Namespace, token: str) -> None:
    clock = MonotonicClock()
    registry = CollectorRegistry()
    telemetry = Telemetry(registry, unix_offset_s())

    def admin_url(node: str) -> str:
        return f"http://{node_host(node)}:{options.admin_base_port + int(node.rpartition('_')[2])}"

    client = engine.connect(options.engine)
    stop = _stop_on_signals()
    try:
        async with (
            httpx.AsyncClient(trust_env=False) as http,
            DockerTarget(client, options.run, AdminPorts(http, admin_url).incarnation, clock) as target,
        ):
            ward = Ward(target.heal_all, clock, _say)
            watch = asyncio.create_task(ward.keep(), name="ward")
            desk = Desk(target, clock, telemetry, _say, ward)
            listener = socket.create_server((options.bind, options.port), backlog=64)
            server = AsgiServer(application(options.run, desk, target.agents, token, registry), listener)
            await server.start()
            _say(f"takes orders for run {options.run} on {options.bind}:{listener.getsockname()[1]}")
            await stop.wait()
            watch.cancel()
            await server.close()
    finally:
        client.close()


async def _guard(options: argparse.Namespace) -> None:
    client = engine.connect(options.engine)
    fleet = Fleet(client, options.run)
    stop = _stop_on_signals()

    async def heal_all() -> tuple[str, ...]:
        return await asyncio.to_thread(fleet.heal_all)

    try:
        async with httpx.AsyncClient(trust_env=False) as http:
            watch = asyncio.create_task(keep_guard(http, options.chaos, heal_all, MonotonicClock(), _say))
            stopped = asyncio.create_task(stop.wait())
            await asyncio.wait([watch, stopped], return_when=asyncio.FIRST_COMPLETED)
            if watch.done():
                watch.result()
            watch.cancel()
    finally:
        client.close()


def _stop_on_signals() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m chaos", description="Hurts the agents of one run, and nothing else."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="take orders over HTTP")
    guard = commands.add_parser("guard", help="heal everything when chaos falls silent")
    for command in (serve, guard):
        command.add_argument(
            "--run", required=True, help="only containers with the label failstorm.run=RUN are touched"
        )
        command.add_argument("--engine", default=SOCKET, help="the Docker engine; default: %(default)s")
    guard.add_argument("--chaos", required=True, metavar="URL", help="where chaos serves")
    serve.add_argument("--token-file", required=True, type=Path, help="the secret that orders must bear")
    serve.add_argument("--port", required=True, type=int)
    serve.add_argument("--bind", default="127.0.0.1", help="default: %(default)s")
    serve.add_argument(
        "--admin-base-port", default=10000, type=int, help="agent_3 is asked on agent-3:BASE+3; default: %(default)s"
    )
    return parser


def _say(line: str) -> None:
    sys.stderr.write(f"fail-storm chaos: {line}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
