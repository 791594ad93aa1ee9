"""The bare Agora SDK, as its documentation uses it, doing what one message and its receipt do."""
# mypy: disable-error-code="import-untyped"

import asyncio
import json
import logging
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from benchmarks.serving import HOST
from protocols.agora.document import DOCUMENT, PROTOCOL_HASH

# isort: split
# After ours, which keeps the warnings of what the SDK imports away.
from agora.common.core import Suitability
from agora.common.executor import ExecutorConversation, RestrictedExecutor
from agora.common.storage import JSONStorage
from agora.receiver.core import Receiver
from agora.receiver.server import ReceiverServer
from agora.sender.components.transporter import SimpleSenderTransporter
from agora.utils import extract_metadata
from werkzeug.serving import make_server

_ROUTINE = """
import json

def run(query):
    return json.dumps({"received": json.loads(query)["message_id"]})
"""


class _SilentConversation(ExecutorConversation):  # type: ignore[misc] # the SDK has no types
    def __call__(self, message: str, print_output: bool = False) -> Any:  # noqa: FBT001, FBT002 - the SDK's signature
        """Spare the measurement's output the SDK's print of each answer."""
        return super().__call__(message, print_output)


class _SilentExecutor(RestrictedExecutor):  # type: ignore[misc]
    def new_conversation(self, *conversation: Any) -> ExecutorConversation:
        return _SilentConversation(self, *conversation)


@asynccontextmanager
async def serve(port: int) -> AsyncIterator[None]:
    """The SDK's receiver with its own storage, served as ``ReceiverServer.run`` does: a thread per connection."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it would log each request
    with tempfile.TemporaryDirectory() as folder:
        storage = JSONStorage(str(Path(folder) / "receiver.json"))
        receiver = Receiver.make_default(None, storage=storage, executor=_SilentExecutor())
        receiver.memory.register_new_protocol(PROTOCOL_HASH, [], DOCUMENT, extract_metadata(DOCUMENT))
        receiver.memory.set_suitability(PROTOCOL_HASH, Suitability.ADEQUATE)
        receiver.memory.register_implementation(PROTOCOL_HASH, _ROUTINE)
        server = make_server(HOST, port, ReceiverServer(receiver).app, threaded=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            await asyncio.to_thread(server.shutdown)
            thread.join()
            server.server_close()


@asynccontextmanager
async def open_client(port: int) -> AsyncIterator[Callable[[bytes], Awaitable[None]]]:
    """The SDK's transporter; it blocks, as it would in a program of its own, and keeps no connection."""
    transporter = SimpleSenderTransporter()

    async def send(message: bytes) -> None:
        rounds = transporter.new_conversation(
            f"http://{HOST}:{port}", multiround=False, protocol_hash=PROTOCOL_HASH, protocol_sources=[]
        )
        with rounds as conversation:
            answer = conversation(message.decode())
        if "received" not in json.loads(answer["body"]):
            raise AssertionError(answer)

    yield send
