"""A2A 1.0 as the mandatory part of the public TCK asks for it: errors by their codes, tasks in every state.

The names in brackets are the TCK's requirements (github.com/a2aproject/a2a-tck, tck/requirements).
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from protocols.a2a import guests
from tests.ports import reserved_port

from .a2a_ends import HOST, adapter, run

Call = Callable[..., Awaitable[dict[str, Any]]]
_TERMINAL = {"TASK_STATE_COMPLETED", "TASK_STATE_CANCELED", "TASK_STATE_REJECTED", "TASK_STATE_FAILED"}


@pytest.fixture(autouse=True)
def _no_long_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guests, "_WORK_S", {"tck-delayed-complete": 0.2, "test-resubscribe-message-id": 1.0})


@asynccontextmanager
async def _node() -> AsyncIterator[httpx.AsyncClient]:
    """A plain HTTP client of a node of ours."""
    with reserved_port() as port:
        node = adapter("JSONRPC", "b", {"b": port})
        await node.start()
        headers = {"A2A-Version": "1.0"}
        async with httpx.AsyncClient(base_url=f"http://{HOST}:{port}", headers=headers, timeout=20) as client:
            try:
                yield client
            finally:
                await node.close()


async def _answer(client: httpx.AsyncClient, method: str, params: Any, **headers: str) -> dict[str, Any]:
    call = {"jsonrpc": "2.0", "id": "c1", "method": method, "params": params}
    answer: dict[str, Any] = (await client.post("/", json=call, headers=headers)).json()
    assert (answer["jsonrpc"], answer["id"]) == ("2.0", "c1")
    return answer


async def _result(client: httpx.AsyncClient, method: str, params: Any) -> dict[str, Any]:
    answer = await _answer(client, method, params)
    assert "error" not in answer, answer
    result: dict[str, Any] = answer["result"]
    return result


async def _code(client: httpx.AsyncClient, method: str, params: Any, **headers: str) -> int:
    error = (await _answer(client, method, params, **headers))["error"]
    assert error["message"]
    code: int = error["code"]
    return code


def _message(message_id: str, **fields: Any) -> dict[str, Any]:
    message = {"role": "ROLE_USER", "messageId": message_id, "parts": [{"text": "Hello from TCK"}]}
    return {"message": message | fields}


async def _task(client: httpx.AsyncClient, message_id: str, **fields: Any) -> dict[str, Any]:
    task: dict[str, Any] = (await _result(client, "SendMessage", _message(message_id, **fields)))["task"]
    return task


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"jsonrpc": "2.0", "method": ', -32700),
        (b"[]", -32600),
        (b'{"jsonrpc": "1.0", "id": 1, "method": "GetTask", "params": {}}', -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "params": {}}', -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "NonExistentMethod", "params": {}}', -32601),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": {}}', -32602),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": {"message": "no object"}}', -32602),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "GetTask", "params": {}}', -32602),
    ],
)
def test_json_rpc_errors(body: bytes, code: int) -> None:
    """Each malformed call has its code (JSONRPC-ERR, CORE-ERR-001, CORE-ERR-002)."""

    async def scenario() -> None:
        async with _node() as client:
            answer = (await client.post("/", content=body, headers={"content-type": "application/json"})).json()
            assert answer["error"]["code"] == code

    run(scenario())


def test_errors_of_a2a() -> None:
    """Unknown tasks, capabilities not declared, media types and versions not spoken (CORE-GET-002, ...)."""

    async def scenario() -> None:
        async with _node() as client:
            assert await _code(client, "GetTask", {"id": "nothing"}) == -32001
            assert await _code(client, "CancelTask", {"id": "nothing"}) == -32001
            assert await _code(client, "SubscribeToTask", {"id": "nothing"}) == -32001
            assert await _code(client, "SendMessage", _message("tck-multi-004", taskId="nothing")) == -32001
            push = {"taskId": "t", "url": "https://example.com"}
            assert await _code(client, "CreateTaskPushNotificationConfig", push) == -32003
            assert await _code(client, "GetExtendedAgentCard", {}) == -32004
            strange = _message("tck-send-003", parts=[{"raw": "dGNr", "mediaType": "application/x-unsupported"}])
            assert await _code(client, "SendMessage", strange) == -32005
            assert await _code(client, "SendMessage", _message("tck-1"), **{"A2A-Version": "99.0"}) == -32009

    run(scenario())


def test_finished_task() -> None:
    """It can be fetched; it takes no message, no cancellation, no subscription (CORE-SEND-002, ...)."""

    async def scenario() -> None:
        async with _node() as client:
            task = await _task(client, "tck-complete-task-1")
            assert task["status"]["state"] == "TASK_STATE_COMPLETED"
            assert task["contextId"]
            assert await _result(client, "GetTask", {"id": task["id"]}) == task
            assert await _code(client, "SendMessage", _message("m2", taskId=task["id"])) == -32004
            assert await _code(client, "CancelTask", {"id": task["id"]}) == -32002
            assert await _code(client, "SubscribeToTask", {"id": task["id"]}) == -32004
            mismatch = _message("m3", taskId=task["id"], contextId="another")
            assert await _code(client, "SendMessage", mismatch) == -32602

    run(scenario())


def test_contexts_and_ids() -> None:
    """A context that the client names is kept, one that it does not is made, ids are never the same (CORE-MULTI)."""

    async def scenario() -> None:
        async with _node() as client:
            named = await _task(client, "tck-complete-task-1", contextId="mine")
            unnamed = await _task(client, "tck-complete-task-1")
            assert named["contextId"] == "mine"
            assert unnamed["contextId"] not in {"", "mine"}
            assert named["id"] != unnamed["id"]

    run(scenario())


def test_task_that_waits_for_input() -> None:
    """A call returns at the interruption; the next message ends the task, or it is cancelled (CORE-CANCEL-001)."""

    async def scenario() -> None:
        async with _node() as client:
            task = await _task(client, "tck-input-required-1")
            assert task["status"]["state"] == "TASK_STATE_INPUT_REQUIRED"
            ended = await _task(client, "tck-complete-task-2", taskId=task["id"])
            assert (ended["id"], ended["contextId"]) == (task["id"], task["contextId"])
            assert ended["status"]["state"] == "TASK_STATE_COMPLETED"
            other = await _task(client, "tck-input-required-2")
            cancelled = await _result(client, "CancelTask", {"id": other["id"]})
            assert (cancelled["id"], cancelled["status"]["state"]) == (other["id"], "TASK_STATE_CANCELED")

    run(scenario())


def test_blocking_and_returning_at_once() -> None:
    """A call waits for the end unless it says otherwise (CORE-EXECUTION-MODE)."""

    async def scenario() -> None:
        async with _node() as client:
            assert (await _task(client, "tck-delayed-complete-1"))["status"]["state"] == "TASK_STATE_COMPLETED"
            hasty = _message("tck-delayed-complete-2") | {"configuration": {"returnImmediately": True}}
            assert (await _result(client, "SendMessage", hasty))["task"]["status"]["state"] not in _TERMINAL

    run(scenario())


@pytest.mark.parametrize(
    ("message_id", "part"),
    [
        ("tck-artifact-text-1", {"text": "Generated text content"}),
        ("tck-artifact-file-1", {"raw": "dGNr", "filename": "output.txt", "mediaType": "text/plain"}),
        (
            "tck-artifact-file-url-1",
            {"url": "https://example.com/output.txt", "filename": "output.txt", "mediaType": "text/plain"},
        ),
        ("tck-artifact-data-1", {"data": {"key": "value", "count": 42}}),
    ],
)
def test_artifacts(message_id: str, part: dict[str, Any]) -> None:
    """Text, file, address and data each have their field (DM-PART, DM-ART)."""

    async def scenario() -> None:
        async with _node() as client:
            task = await _task(client, message_id)
            assert [artifact["parts"] for artifact in task["artifacts"]] == [[part]]

    run(scenario())


def test_message_and_rejection() -> None:
    """An agent may answer by a message alone, and may reject a task."""

    async def scenario() -> None:
        async with _node() as client:
            answer = await _result(client, "SendMessage", _message("tck-message-response-1"))
            assert answer["message"]["role"] == "ROLE_AGENT"
            rejected = await _task(client, "tck-reject-task-1")
            assert rejected["status"]["state"] == "TASK_STATE_REJECTED"

    run(scenario())


def test_history_length() -> None:
    """History is given unless none is wanted (CORE-HIST)."""

    async def scenario() -> None:
        async with _node() as client:
            task = await _task(client, "tck-complete-task-1")
            assert [message["messageId"] for message in task["history"]] == ["tck-complete-task-1"]
            assert "history" not in await _result(client, "GetTask", {"id": task["id"], "historyLength": 0})
            without = _message("tck-complete-task-2") | {"configuration": {"historyLength": 0}}
            assert "history" not in (await _result(client, "SendMessage", without))["task"]
            assert await _code(client, "GetTask", {"id": task["id"], "historyLength": -1}) == -32602

    run(scenario())


def test_lists_in_pages() -> None:
    """Newest first, in pages, the last with an empty token, artifacts only if wanted (CORE-LIST)."""

    async def scenario() -> None:
        async with _node() as client:
            made = [(await _task(client, f"tck-artifact-text-{n}", contextId="one"))["id"] for n in range(3)]
            await _task(client, "tck-complete-task-1", contextId="two")
            page = await _result(client, "ListTasks", {"contextId": "one", "pageSize": 2})
            last = await _result(
                client, "ListTasks", {"contextId": "one", "pageSize": 2, "pageToken": page["nextPageToken"]}
            )
            assert [task["id"] for task in (*page["tasks"], *last["tasks"])] == made[::-1]
            assert last["nextPageToken"] == ""
            assert not any("artifacts" in task for task in page["tasks"])
            full = await _result(client, "ListTasks", {"contextId": "one", "includeArtifacts": True})
            assert all(task["artifacts"] for task in full["tasks"])
            assert await _code(client, "ListTasks", {"pageSize": 1000}) == -32602

    run(scenario())


async def _stream(client: httpx.AsyncClient, method: str, params: Any) -> list[dict[str, Any]]:
    """The events of a stream until it closes."""
    call = {"jsonrpc": "2.0", "id": "c1", "method": method, "params": params}
    async with client.stream("POST", "/", json=call) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        text = (await response.aread()).decode()
    data = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    return [json.loads(line)["result"] for line in data]


def test_streams() -> None:
    """Task first, closed at the end, chunks in order; a message alone is all (CORE-STREAM, STREAM-ORDER)."""

    async def scenario() -> None:
        async with _node() as client:
            events = await _stream(client, "SendStreamingMessage", _message("tck-stream-003-1"))
            assert [next(iter(event)) for event in events] == ["task", "artifactUpdate", "statusUpdate"]
            assert events[-1]["statusUpdate"]["status"]["state"] == "TASK_STATE_COMPLETED"
            chunks = await _stream(client, "SendStreamingMessage", _message("tck-stream-artifact-chunked-1"))
            updates = [event["artifactUpdate"] for event in chunks if "artifactUpdate" in event]
            assert [update["artifact"]["parts"][0]["text"] for update in updates] == ["chunk-1 ", "chunk-2"]
            assert (updates[1]["append"], updates[1]["lastChunk"]) == (True, True)
            (only,) = await _stream(client, "SendStreamingMessage", _message("tck-stream-002-1"))
            assert "message" in only

    run(scenario())


def test_subscription() -> None:
    """It begins with the task, sees what the other stream sees, and closes at the end (STREAM-SUB)."""

    async def scenario() -> None:
        async with _node() as client:
            hasty = _message("test-resubscribe-message-id-1") | {"configuration": {"returnImmediately": True}}
            task = (await _result(client, "SendMessage", hasty))["task"]
            first, second = await asyncio.gather(
                *(_stream(client, "SubscribeToTask", {"id": task["id"]}) for _ in range(2))
            )
            assert first == second
            assert first[0]["task"]["id"] == task["id"]
            assert first[-1]["statusUpdate"]["status"]["state"] == "TASK_STATE_COMPLETED"

    run(scenario())
