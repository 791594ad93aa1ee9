"""What the SDK's server remembers, in the two places where it lets the server's owner choose.

With the SDK's own stores (``create_app`` without arguments) every run leaves a task behind that waits for its
cancellation, every change of any run wakes all of them, and a wake-up can get lost between them: a run gets slower
with each run before it (18 ms at first, 49 ms by the thousandth call). Inputs and outputs are kept for ever. Both
stores here are passed through public parameters; ``AcpStockAdapter`` runs without them, so that both can be measured.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from typing import Any, TypeVar

from acp_sdk.models import ResourceId
from acp_sdk.server import Store
from acp_sdk.server.executor import CancelData, RunData
from acp_sdk.server.store.store import StoreModel
from acp_sdk.server.store.utils import Stringable
from acp_sdk.shared import ResourceStore
from obstore import Bytes
from obstore.exceptions import NotFoundError
from obstore.store import MemoryStore as ObjectMemory
from pydantic import BaseModel

U = TypeVar("U", bound=BaseModel)

_MAX_ENTRIES = 1000  # as the SDK's own
_MAX_STORE_BYTES = 16 * 1024 * 1024
_MAX_RESOURCE_BYTES = 8 * 1024 * 1024


class KeyedStore(Store[BaseModel]):
    """The SDK's memory store, except that a change wakes those who watch its key, and a run's end ends its watcher.

    Runs that have not ended are never given up; of the rest the oldest are.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[int, str]] = OrderedDict()
        """Key → (number of the change that made it, JSON)."""
        self._open: dict[str, None] = {}
        self._waiting: dict[str, list[asyncio.Future[bool]]] = {}
        self._changes = 0
        self._bytes = 0
        self._cancellations: Stringable = ""

    def as_store(self, model: type[U], prefix: Stringable = "") -> Store[U]:
        """As the SDK's; learns under which prefix cancellations are kept."""
        if model is CancelData:
            self._cancellations = prefix
        return super().as_store(model, prefix)

    async def get(self, key: Stringable) -> BaseModel | None:
        """The value, as the SDK's stores return it: a model with whatever fields were set."""
        kept = self._kept.get(str(key))
        return StoreModel.model_validate_json(kept[1]) if kept else None

    async def set(self, key: Stringable, value: BaseModel | None) -> None:
        """Keep a snapshot of ``value`` (None: nothing), and wake who watches the key."""
        name = str(key)
        self._forget(name)
        if value is not None:
            self._changes += 1
            self._kept[name] = self._changes, value.model_dump_json()
            self._bytes += len(self._kept[name][1])
        ended = isinstance(value, RunData) and value.run.status.is_terminal
        if isinstance(value, RunData) and not ended:
            self._open[name] = None
        else:
            self._open.pop(name, None)
        self._wake(name, again=True)
        if isinstance(value, RunData) and ended:
            self._wake(f"{self._cancellations}{value.key}", again=False)
        self._make_room(name)

    async def watch(self, key: Stringable, *, ready: asyncio.Event | None = None) -> AsyncIterator[BaseModel | None]:
        """The value after each change from now on; changes that come together are seen as one."""
        name = str(key)
        seen = self._version(name)
        if ready is not None:
            ready.set()
        while True:
            if self._version(name) == seen and not await self._change(name):
                return
            seen = self._version(name)
            yield await self.get(name)

    async def _change(self, name: str) -> bool:
        """Wait for a change; False when none can come any more."""
        change: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(name, []).append(change)
        try:
            return await change
        finally:
            waiting = self._waiting.get(name, [])
            if change in waiting:
                waiting.remove(change)
                if not waiting:
                    del self._waiting[name]

    def _wake(self, name: str, *, again: bool) -> None:
        for change in self._waiting.pop(name, ()):
            if not change.done():
                change.set_result(again)

    def _version(self, name: str) -> int:
        return self._kept[name][0] if name in self._kept else 0

    def _forget(self, name: str) -> None:
        kept = self._kept.pop(name, None)
        if kept is not None:
            self._bytes -= len(kept[1])

    def _make_room(self, newest: str) -> None:
        while len(self._kept) > _MAX_ENTRIES or self._bytes > _MAX_STORE_BYTES:
            oldest = next((name for name in self._kept if name not in self._open and name != newest), None)
            if oldest is None:
                return
            self._forget(oldest)


class RecentResources(ResourceStore):
    """Session history: the SDK keeps each run's input and output as resources; here the oldest give way."""

    def __init__(self) -> None:
        super().__init__(store=ObjectMemory())
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0

    async def load(self, id: ResourceId) -> Any:  # noqa: A002 - the SDK's name for it
        """The resource as the SDK's routes read it; raises obstore's ``NotFoundError``."""
        if str(id) not in self._kept:
            raise NotFoundError(f"expected a recent resource, got {id}")
        return _Resource(self._kept[str(id)])

    async def store(self, id: ResourceId, data: bytes) -> None:  # noqa: A002
        """Keep ``data`` until it is among the oldest."""
        self._kept[str(id)] = data
        self._bytes += len(data)
        while self._bytes > _MAX_RESOURCE_BYTES or len(self._kept) > _MAX_ENTRIES:
            self._bytes -= len(self._kept.popitem(last=False)[1])


class _Resource:
    """What obstore's ``get_async`` returns, as far as the SDK uses it."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._data

    async def bytes_async(self) -> Bytes:
        """All of it."""
        return Bytes(self._data)
