"""``python -m benchmarks.peer adapter|bare ENDS``: the serving end; it ends when its standard input does.

The adapter's end answers each request. One whose body says ``hold`` is answered only after the next message, so that
what a sender has paid for its receipt can be told from what the result costs.
"""

import asyncio
import signal
import sys

from benchmarks import subjects
from benchmarks.ends import PEER, READY, Ends
from protocols.adapter import BaseProtocolAdapter
from protocols.message import Message
from protocols.wire import ByteCounter, classify, counting_loop


async def _serve_adapter(ends: Ends, counter: ByteCounter) -> None:
    adapter = ends.adapter(PEER, counter)
    await adapter.start()
    answering = asyncio.create_task(_answer(adapter))
    try:
        await _stand_by(answering)
    finally:
        answering.cancel()
        await asyncio.gather(answering, return_exceptions=True)
        await adapter.close()


async def _serve_bare(ends: Ends) -> None:
    async with subjects.find(ends.subject).bare_server(ends.bare_port):
        await _stand_by()


async def _stand_by(*tasks: "asyncio.Task[None]") -> None:
    """Say that this end serves, and wait for the end of standard input or of a task, which then has failed."""
    loop = asyncio.get_running_loop()
    closed: asyncio.Future[None] = loop.create_future()
    loop.add_reader(sys.stdin, _settle, closed)
    sys.stdout.write(READY)
    sys.stdout.flush()
    done, _ = await asyncio.wait({closed, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    loop.remove_reader(sys.stdin)
    for ended in done:
        ended.result()


def _settle(closed: "asyncio.Future[None]") -> None:
    if not closed.done():
        closed.set_result(None)


async def _answer(adapter: BaseProtocolAdapter) -> None:
    held: list[Message] = []
    while True:
        message = await adapter.receive_message()
        if message.kind == "request" and message.body.get("hold"):
            held.append(message)
            continue
        due, held = [*held, *([message] if message.kind == "request" else [])], []
        for request in due:
            await _reply(adapter, request)


async def _reply(adapter: BaseProtocolAdapter, request: Message) -> None:
    result = Message(
        message_id=f"result of {request.message_id}",
        kind="result",
        sender=request.recipient,
        recipient=request.sender,
        traffic=request.traffic,
        in_reply_to=request.message_id,
        body={"found": "nothing"},
    )
    with classify(result.traffic, result.recipient):
        await adapter.send_message(result.recipient, result)


def main(half: str, ends: Ends) -> None:
    """Serve one half of the comparison; the bare one in the loop that asyncio gives to everybody."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C belongs to whoever started the measurement
    if half == "bare":
        asyncio.run(_serve_bare(ends))
        return
    counter = ByteCounter()
    with asyncio.Runner(loop_factory=lambda: counting_loop(counter)) as runner:
        runner.run(_serve_adapter(ends, counter))


if __name__ == "__main__":
    main(sys.argv[1], Ends.model_validate_json(sys.argv[2]))
