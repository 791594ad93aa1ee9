"""One adapter in a process of its own, for tests that freeze or kill it: ``peer.py SETTINGS`` (a JSON object)."""

import asyncio
import ctypes
import json
import signal
import sys
from pathlib import Path
from typing import Any

from protocols import registry
from protocols.adapter import AdapterContext, BaseProtocolAdapter, Endpoint, Identity
from protocols.clock import MonotonicClock
from protocols.errors import ProtocolError
from protocols.wire import ByteCounter, classify, counting_loop

_PR_SET_PDEATHSIG = 1


async def _serve(settings: dict[str, Any], counter: ByteCounter) -> None:
    context = AdapterContext(
        Identity(settings["name"], settings["incarnation"]),
        lambda name: Endpoint("127.0.0.1", settings["ports"][name]),
        MonotonicClock(),
        counter,
        Path(settings["workspace"]),
    )
    adapter = registry.load(settings["protocol"])(context)
    await adapter.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        await _answer(adapter)


async def _answer(adapter: BaseProtocolAdapter) -> None:
    """Send a message back whose body asks for it."""
    message = await adapter.receive_message()
    if not message.body.get("answer"):
        return
    reply = message.model_copy(
        update={"sender": message.recipient, "recipient": message.sender, "in_reply_to": message.message_id}
    )
    try:
        with classify(reply.traffic, reply.recipient):
            await adapter.send_message(reply.recipient, reply)
    except ProtocolError as error:  # its sender has gone; the test that waits for the answer says so
        sys.stderr.write(f"no answer: {error}\n")


if __name__ == "__main__":
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # ends with the test, even when frozen
    own_counter = ByteCounter()
    with asyncio.Runner(loop_factory=lambda: counting_loop(own_counter)) as runner:
        runner.run(_serve(json.loads(sys.argv[1]), own_counter))
