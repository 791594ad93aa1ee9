"""The two ends of a measurement: the caller's in this process, the peer's in a process of its own."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from agent.tools import tool_named
from benchmarks import subjects
from benchmarks.serving import HOST
from protocols.adapter import AdapterContext, BaseProtocolAdapter, Endpoint, Identity, Timeouts
from protocols.clock import MonotonicClock
from protocols.errors import LabError
from protocols.wire import ByteCounter

CALLER, PEER = "a", "b"
READY = "ready\n"
ROOT = Path(__file__).parents[1]
"""From where modules are run."""
Half = Literal["adapter", "bare"]

_BARE = "bare"
_TOOL = "search"
"""Both nodes publish one, as an agent does; its schemas are read in every handshake."""
_PATIENT = Timeouts(connect_s=10.0, ack_s=30.0)
_CLOSE_TIMEOUT_S = 10.0


class Ends(BaseModel):
    """Where the ends of one protocol find each other; ``ports`` by node, and of the bare server."""

    model_config = ConfigDict(frozen=True)

    subject: str
    folder: Path
    ports: dict[str, int]

    @property
    def bare_port(self) -> int:
        """Where the bare SDK serves."""
        return self.ports[_BARE]

    def prepare(self) -> None:
        """Make what the adapters need before either of them starts."""
        workspaces = {name: self.folder / name for name in (CALLER, PEER)}
        for workspace in workspaces.values():
            workspace.mkdir(parents=True, exist_ok=True)
        subjects.find(self.subject).adapter_class().prepare(self.folder, workspaces)

    def adapter(self, name: str, counter: ByteCounter) -> BaseProtocolAdapter:
        """The adapter of the node ``name``, not yet started."""
        context = AdapterContext(
            Identity(name, 0),
            lambda node: Endpoint(HOST, self.ports[node]),
            MonotonicClock(),
            counter,
            self.folder / name,
            _PATIENT,
            skills=(tool_named(_TOOL).skill,),
        )
        return subjects.find(self.subject).adapter_class()(context)

    @contextmanager
    def peer(self, half: Half) -> Iterator[int]:
        """The other end, serving, in a process of its own whose id is yielded; it ends with the block.

        It also ends when this process does, because its standard input then closes. Raises LabError when it does not
        start.
        """
        with subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", "benchmarks.peer", half, self.model_dump_json()],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                if process.stdout is None or process.stdout.readline() != READY:
                    raise LabError(f"expected the {half} peer of {self.subject} to start; its error stands above")
                yield process.pid
                process.communicate(timeout=_CLOSE_TIMEOUT_S)
            finally:
                process.kill()


@contextmanager
def ends(subject: str, folder: Path) -> Iterator[Ends]:
    """Ends with ports that are kept from everybody else, by bound sockets that do not listen."""
    with ExitStack() as held:
        ports = {}
        for name in (CALLER, PEER, _BARE):
            reserved = held.enter_context(socket.socket())
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            reserved.bind((HOST, 0))
            ports[name] = int(reserved.getsockname()[1])
        made = Ends(subject=subject, folder=folder, ports=ports)
        made.prepare()
        yield made
