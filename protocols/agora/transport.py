"""The asking side: the SDK's transporter on a kept session, whose connections are counted and can be cut."""
# mypy: disable-error-code="import-untyped"

import contextlib
import http.client
import io
import json
import socket
import threading
from contextvars import ContextVar
from typing import Any

import requests
from agora.common.errors import ProtocolTransportError
from agora.sender.components.transporter import SimpleSenderTransporter
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection

from protocols.adapter import Timeouts
from protocols.wire import ByteCounter, CountingSocket

MAX_CONNECTIONS = 16
_MAX_ANSWER_BYTES = 64 * 1024


class Call:
    """One exchange in a thread, which the event loop may cut."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cut = False
        self._connection: _Connection | None = None

    def take(self, connection: "_Connection") -> None:
        """Exchange over ``connection`` from now on; raises ConnectionAbortedError when this call is cut already."""
        with self._lock:
            if self._cut:
                raise ConnectionAbortedError
            self._connection = connection

    def cut(self) -> None:
        """End the exchange wherever it stands: its thread comes free at once."""
        with self._lock:
            self._cut = True
            if self._connection is not None:
                self._connection.cut(self)


current_call: ContextVar[Call] = ContextVar("current_call")
"""Set in the context of each thread that exchanges."""


class _Lines(io.BufferedReader):
    """Lets no line end without its end: http.client takes a head cut in the middle for a complete one."""

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(size)
        if not line.endswith(b"\n") and len(line) != size:
            raise http.client.RemoteDisconnected("the connection broke in mid-answer")
        return line


class _Answer(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp = _Lines(self.fp.detach())


class _Connection(HTTPConnection):
    """A counted connection that knows which call it serves."""

    response_class = _Answer

    def __init__(self, *args: Any, counter: ByteCounter, **options: Any) -> None:
        super().__init__(*args, **options)
        self._counter = counter
        self._serving = threading.Lock()
        self._call: Call | None = None
        self._dialled: socket.socket | None = None
        self._is_cut = False

    def request(self, *args: Any, **options: Any) -> None:
        """As urllib3's, for the thread's current call."""
        call = current_call.get()
        with self._serving:
            self._call = call
            if self._is_cut:  # by the call before, in the moment after its answer
                self.close()
                self._is_cut = False
        call.take(self)
        super().request(*args, **options)

    def cut(self, call: Call) -> None:
        """Break the connection under ``call``, if that is the call it serves."""
        with self._serving:
            if self._call is call:
                self._is_cut = True
                if self._dialled is not None:
                    with contextlib.suppress(OSError):  # closed by its thread already
                        self._dialled.shutdown(socket.SHUT_RDWR)

    def _new_conn(self) -> socket.socket:
        dialled = CountingSocket.wrap(super()._new_conn(), self._counter, "client")
        with self._serving:
            if not self._is_cut:
                self._dialled = dialled
                return dialled
        dialled.close()
        raise ConnectionAbortedError


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class Session(requests.Session):
    """One peer's connections, as many as there are calls at a time; no proxies, no redirects."""

    def __init__(self, counter: ByteCounter) -> None:
        super().__init__()
        self.trust_env = False
        self._counter = counter
        self._pools: list[_Pool] = []
        adapter = HTTPAdapter(pool_maxsize=MAX_CONNECTIONS)
        adapter.poolmanager.pool_classes_by_scheme = {"http": self._new_pool}
        self.mount("http://", adapter)

    def close(self) -> None:
        """Close all idle connections at once; requests would leave that to the garbage collector."""
        super().close()
        for pool in self._pools:
            pool.close()

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Follow no peer to somewhere else."""

    def _new_pool(self, host: str, port: int, **options: Any) -> _Pool:
        pool = _Pool(host, port, counter=self._counter, **options)
        self._pools.append(pool)
        return pool


class Conversation(SimpleSenderTransporter.SimpleExternalConversation):  # type: ignore[misc] # the SDK has no types
    """The SDK's conversation with its wire format, bounded in time and size."""

    def __init__(self, session: Session, timeouts: Timeouts, *conversation: Any) -> None:
        super().__init__(*conversation)
        self._session = session
        self._timeouts = timeouts

    def __call__(self, message: str) -> dict[str, Any]:
        """Status and body of the answer; raises ProtocolTransportError for any answer but success."""
        query = {"protocolHash": self.protocol_hash, "protocolSources": self.protocol_sources, "body": message}
        status, answer = fetch(self._session, self._timeouts, "POST", self.target, json=query)
        try:
            response = json.loads(answer)
            success = {"status": response["status"], "body": response["body"]}
        except (ValueError, RecursionError, KeyError, TypeError) as error:
            raise ProtocolTransportError(f"got {status} {answer[:200]!r}") from error
        if status != requests.codes.ok or success["status"] != "success":
            raise ProtocolTransportError(f"got {status} {answer[:200]!r}")
        return success


class Transporter(SimpleSenderTransporter):  # type: ignore[misc]
    """The SDK's transporter on a kept session."""

    def __init__(self, session: Session, timeouts: Timeouts) -> None:
        self._session = session
        self._timeouts = timeouts

    def new_conversation(
        self,
        target: str,
        multiround: bool,  # noqa: FBT001 - the SDK's signature
        protocol_hash: str,
        protocol_sources: list[str],
    ) -> Conversation:
        """A conversation with ``target`` under the document of that hash, which is offered at ``protocol_sources``."""
        return Conversation(self._session, self._timeouts, target, multiround, protocol_hash, protocol_sources)


def fetch(session: Session, timeouts: Timeouts, method: str, url: str, **request: Any) -> tuple[int, bytes]:
    """Status and body of one bounded HTTP exchange; raises requests' own errors."""
    bounds = (timeouts.connect_s, timeouts.ack_s)
    answer = bytearray()
    with session.request(method, url, timeout=bounds, stream=True, allow_redirects=False, **request) as response:
        for chunk in response.iter_content(_MAX_ANSWER_BYTES):
            answer += chunk
            if len(answer) > _MAX_ANSWER_BYTES:
                raise ProtocolTransportError(f"expected at most {_MAX_ANSWER_BYTES} bytes of answer, got more")
    return response.status_code, bytes(answer)
