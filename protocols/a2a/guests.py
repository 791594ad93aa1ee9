"""What a caller from outside the lab gets: a plain answer, or the behaviour that the public A2A TCK asks for.

The TCK (github.com/a2aproject/a2a-tck, for A2A 1.0) tells the agent under test by the beginning of the message id what
to do, so that its tests find tasks in every state.
"""

import asyncio

from a2a.helpers.proto_helpers import (
    new_data_part,
    new_raw_part,
    new_task_from_user_message,
    new_text_part,
    new_url_part,
)
from a2a.server.agent_execution import RequestContext
from a2a.server.events import EventQueue
from a2a.server.tasks import TaskUpdater
from a2a.types import Message, Part
from a2a.utils.errors import InvalidParamsError

_WORK_S = {"tck-delayed-complete": 2.0, "test-resubscribe-message-id": 4.0}
_PLAIN = "text/plain"


async def serve_guest(context: RequestContext, event_queue: EventQueue, node_id: str) -> None:
    """Answer the message in ``context`` by a task that is over at once, or as the TCK wants it."""
    message = context.message or Message()
    asked = message.message_id
    updater = TaskUpdater(event_queue, context.task_id or "", context.context_id or "")
    if asked.startswith(("tck-message-response", "tck-stream-002")):
        await event_queue.enqueue_event(updater.new_agent_message([new_text_part("Direct message response")]))
        return
    if context.current_task is None:
        try:
            await event_queue.enqueue_event(new_task_from_user_message(message))
        except ValueError as error:
            raise InvalidParamsError(str(error)) from error
    if asked.startswith("tck-input-required"):
        await updater.requires_input()
        return
    if asked.startswith("tck-reject-task"):
        await updater.reject(updater.new_agent_message([new_text_part("rejected")]))
        return
    for beginning, work_s in _WORK_S.items():
        if asked.startswith(beginning):
            await updater.start_work()
            await asyncio.sleep(work_s)
    parts = _parts_wanted(asked)
    for number, part in enumerate(parts, start=1):
        await updater.add_artifact([part], "answer", append=number > 1, last_chunk=number == len(parts))
    await updater.complete(updater.new_agent_message([new_text_part(f"This is {node_id} of a Fail-Storm mesh")]))


def _parts_wanted(asked: str) -> list[Part]:
    if asked.startswith("tck-stream-artifact-chunked"):
        return [new_text_part("chunk-1 "), new_text_part("chunk-2")]
    kind = asked.removeprefix("tck-").removeprefix("stream-")
    if kind.startswith("artifact-file-url"):
        return [new_url_part("https://example.com/output.txt", _PLAIN, "output.txt")]
    if kind.startswith("artifact-file"):
        return [new_raw_part(b"tck", _PLAIN, "output.txt")]
    if kind.startswith("artifact-data"):
        return [new_data_part({"key": "value", "count": 42})]
    if kind.startswith(("artifact-text", "001", "003", "ordering")):
        return [new_text_part("Generated text content")]
    return []
