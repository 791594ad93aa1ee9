"""The served side: the SDK's receiver and its Flask application, with a routine in place of a language model."""
# mypy: disable-error-code="import-untyped"

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agora.common.core import Suitability
from agora.common.executor import ExecutorConversation, RestrictedExecutor
from agora.common.storage import JSONStorage
from agora.common.toolformers.base import Tool
from agora.receiver.core import Receiver
from agora.receiver.memory import ReceiverMemory
from agora.receiver.server import ReceiverServer
from agora.utils import extract_metadata
from flask import Flask, Response, jsonify, request, url_for
from werkzeug.exceptions import BadRequest, HTTPException
from werkzeug.wrappers import Response as WerkzeugResponse

from protocols.agora.document import DOCUMENT, PROTOCOL_HASH, ROUTINE
from protocols.message import Traffic
from protocols.wire import attribute

WELL_KNOWN = "/.wellknown"
_TEXT = {"type": "string"}


class _AtomicStorage(JSONStorage):  # type: ignore[misc] # the SDK has no types
    """The SDK's storage, but a SIGKILL amid a write leaves the old file, not half of a new one."""

    def save_memory(self) -> None:
        """Write aside, then take the old file's place."""
        self.storage_path.parent.mkdir(parents=True, exist_ok=True)
        aside = self.storage_path.with_suffix(".new")
        aside.write_text(json.dumps(self.data, indent=2))
        aside.replace(self.storage_path)


class _Memory(ReceiverMemory):  # type: ignore[misc]
    """The SDK's memory without its count of conversations.

    The count decides when a language model shall write a routine, and rewrites the whole storage with each message;
    here every document has its routine from the start.
    """

    def increment_protocol_conversations(self, protocol_id: str) -> None:
        """Count nothing."""


class _SilentConversation(ExecutorConversation):  # type: ignore[misc]
    def __call__(self, message: str, print_output: bool = False) -> Any:  # noqa: FBT001, FBT002 - the SDK's signature
        """Run the routine; by default the SDK would also print each answer."""
        return super().__call__(message, print_output)


class _SilentExecutor(RestrictedExecutor):  # type: ignore[misc]
    def new_conversation(
        self,
        protocol_id: str,
        code: str,
        multiround: bool,  # noqa: FBT001
        tools: list[Tool],
    ) -> ExecutorConversation:
        """As the SDK's, without its printing."""
        return _SilentConversation(self, protocol_id, code, multiround, tools)


def application(identify: Callable[[], str], deliver: Callable[[str], str], storage: Path) -> Flask:
    """The SDK's server application for a node with these two tools; its documents and routines live in ``storage``."""
    tools = [
        Tool("identify", "Name this node.", {"type": "object", "properties": {}}, _TEXT, identify),
        Tool("deliver", "Accept a message.", {"type": "object", "properties": {"message": _TEXT}}, _TEXT, deliver),
    ]
    kept = _AtomicStorage(storage)
    receiver = Receiver.make_default(None, storage=kept, executor=_SilentExecutor(), tools=tools)
    receiver.memory = _Memory(kept)
    if receiver.memory.get_implementation(PROTOCOL_HASH) is None:
        _register(receiver.memory)
    app: Flask = ReceiverServer(receiver).app
    app.before_request(lambda: _refusal(receiver.memory))
    app.register_error_handler(HTTPException, _http_error)
    _serve_documents(app)
    return app


def _register(memory: ReceiverMemory) -> None:
    memory.register_new_protocol(PROTOCOL_HASH, [], DOCUMENT, extract_metadata(DOCUMENT))
    memory.set_suitability(PROTOCOL_HASH, Suitability.ADEQUATE)
    memory.register_implementation(PROTOCOL_HASH, ROUTINE)


def _serve_documents(app: Flask) -> None:
    """``GET /.wellknown`` of the specification, which the SDK leaves out, and the document it points to."""

    @app.get("/wellknown")  # as the later draft of the specification calls it
    @app.get(WELL_KNOWN)
    def wellknown() -> Response:
        # Unconditional, it opens a handshake; conditional, it only asks for a sign of life.
        attribute(Traffic.HEARTBEAT if request.if_none_match else Traffic.HANDSHAKE, None)
        response = jsonify({PROTOCOL_HASH: [url_for("document", _external=True)]})
        response.add_etag()
        response.make_conditional(request)
        return response

    @app.get("/document")
    def document() -> Response:
        attribute(Traffic.DISCOVERY, None)
        return Response(DOCUMENT, mimetype="text/plain")


def _refusal(memory: ReceiverMemory) -> Response | None:
    """The answer to a call that the SDK's handler could only fail at, with a stack trace or for want of a model."""
    if request.method != "POST":
        return None
    try:
        query = request.get_json()
    except RecursionError as error:
        raise BadRequest("expected JSON of a reasonable depth") from error
    if request.path != "/":
        return None
    if not _is_query(query):
        raise BadRequest("expected protocolHash, protocolSources and body, the body a string")
    if not memory.is_known(query["protocolHash"]) or query.get("multiround"):
        return jsonify({"status": "error", "message": "Protocol rejected"})
    return None


def _is_query(query: Any) -> bool:
    return (
        isinstance(query, dict)
        and isinstance(query.get("protocolHash", 0), str | None)
        and "protocolSources" in query
        and isinstance(query.get("body"), str)
    )


def _http_error(error: HTTPException) -> WerkzeugResponse:
    response = error.get_response()
    response.set_data(json.dumps({"status": "error", "message": error.description}))
    response.content_type = "application/json"
    return response
