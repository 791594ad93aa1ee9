"""The served side: DID document, agent description and interface for everybody, JSON-RPC for authenticated nodes."""

import asyncio
import json
from collections.abc import Callable
from secrets import token_hex
from typing import Any

from anp.authentication import (
    DidWbaVerifier,
    DidWbaVerifierConfig,
    DidWbaVerifierError,
    extract_signature_metadata,
)
from anp.openanp.utils import RPCErrorCodes, create_rpc_error, create_rpc_response, validate_rpc_request
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from protocols.adapter import AdapterContext, accept
from protocols.anp.direct import CAPABILITIES, CONNECT, SEND, Doorkeeper, rfc3339
from protocols.anp.documents import Documents
from protocols.anp.errors import Reason, RefusedError, error_object
from protocols.anp.hosts import RPC_PATH, node_of, url
from protocols.anp.identity import PROFILE_CORE, PROFILE_DIRECT, PROFILE_DISCOVERY, SECURITY_PROFILE, AnpIdentity
from protocols.anp.pages import PATHS, Pages
from protocols.errors import PeerUnreachableError, ProtocolError
from protocols.message import Message, Traffic
from protocols.names import LabNames, naming
from protocols.serving import MAX_BODY_BYTES, Bodies, BodyRefusedError, hang_up
from protocols.wire import attribute, classify

ROUTES = dict.fromkeys(PATHS, Traffic.HANDSHAKE)

_UNRESOLVED = "Failed to resolve DID document"
"""As the SDK's verifier says it."""
_INVALID = (RPCErrorCodes.INVALID_REQUEST, "Invalid Request")


class AnpService:
    """An ASGI application.

    The pages are those of the SDK's own router. Its JSON-RPC route knows none of ANP's error codes and hands every
    handler's exception out as an internal error, so calls are dispatched here, with the SDK's verifier and messages.
    """

    def __init__(
        self,
        context: AdapterContext,
        identity: AnpIdentity,
        documents: Documents,
        names: LabNames,
        deliver: Callable[[Message], bool],
        count: Callable[[Reason], None],
    ) -> None:
        self._me = context.identity
        self._resolve = context.resolve
        self._patience_s = context.timeouts.connect_s + context.timeouts.ack_s
        self._did = identity.did
        self._documents = documents
        self._names = names
        self._deliver = deliver
        self._count = count
        self._civil_time = context.civil_time
        self._bodies = Bodies()
        self._doorkeeper = Doorkeeper(identity.did, context.civil_time)
        self._verifier = DidWbaVerifier(_verifier_config())
        self._pages = Pages(context.identity, identity, context.skills)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI."""
        if scope["type"] == "http" and scope["path"] == RPC_PATH and scope["method"] == "POST":
            response, is_last = await self._rpc(scope, receive)
            if is_last:
                await hang_up(response, receive, send)
            else:
                await response(scope, receive, send)
        else:
            await self._pages(scope, receive, send)

    async def _rpc(self, scope: Any, receive: Any) -> tuple[Response, bool]:
        """The answer to one call, and whether to hang up after it."""
        headers = dict(Headers(scope=scope))
        bearer = headers.get("authorization", "").startswith("Bearer ")
        try:
            if "authorization" not in headers and "signature" not in headers:
                raise _AnonymousError("Missing authentication headers", status_code=401)
            # A token is checked before the body is read; a signature covers the body.
            caller = await self._authenticate(headers, b"") if bearer else {}
            async with self._bodies.reading(scope, receive) as body:
                caller = caller or await self._authenticate(headers, body)
                answer = await self._answer(body, caller["did"], signed=not bearer)
        except ClientDisconnect:  # the caller died in mid-message: an everyday event here, and nobody to answer
            return Response(status_code=400), False
        except BodyRefusedError as error:
            refused = RefusedError(Reason(error.kind), str(error))
            self._count(refused.reason)
            return JSONResponse(error_object(refused), status_code=error.status), True
        except DidWbaVerifierError as denied:
            self._count(_reason(denied))
            answered = JSONResponse({"detail": str(denied)}, status_code=denied.status_code, headers=denied.headers)
            if isinstance(denied, _AnonymousError):
                return answered, True
            attribute(Traffic.HANDSHAKE, None)
            return answered, False
        return JSONResponse(answer, headers=caller["response_headers"]), False

    async def _authenticate(self, headers: dict[str, str], body: bytes) -> dict[str, Any]:
        """The SDK's verdict on a request; for a signature it asks the caller's own host for the DID document."""
        node = self._claimed(headers)
        try:
            with naming(self._names), classify(Traffic.HANDSHAKE, node or "nobody"):
                async with asyncio.timeout(self._patience_s):
                    verdict: dict[str, Any] = await self._verifier.verify_request(
                        "POST", url(self._me.node_id, RPC_PATH), headers, body
                    )
                    return verdict
        except TimeoutError as error:
            raise DidWbaVerifierError(f"{_UNRESOLVED} in time", status_code=401) from error

    def _claimed(self, headers: dict[str, str]) -> str | None:
        """The node that a signature claims to be of; raises DidWbaVerifierError for an identity outside of the lab.

        The verifier would ask any host on earth for its document.
        """
        if "authorization" in headers or "signature-input" not in headers:
            return None
        try:
            keyid = extract_signature_metadata(headers)["params"]["keyid"]
            node = node_of(keyid.partition("#")[0])
            self._resolve(node or keyid)
        except (ValueError, LookupError, AttributeError, TypeError, PeerUnreachableError) as error:
            challenge = {"WWW-Authenticate": 'DIDWba error="invalid_did"'}
            raise DidWbaVerifierError("Not an identity of this lab", status_code=401, headers=challenge) from error
        return node

    async def _answer(self, body: bytes, caller: str, *, signed: bool) -> dict[str, Any]:
        # Unless the content says more, a signature belongs to a handshake and a bearer token to a probe.
        node = node_of(caller)
        attributed = Traffic.HANDSHAKE if signed else Traffic.HEARTBEAT
        try:
            method, params, request_id = _parse(body)
        except _NotJsonRpcError as error:
            self._count(Reason.MALFORMED)
            attribute(attributed, node)
            return error.answer
        if method == CAPABILITIES:
            attribute(Traffic.HANDSHAKE if request_id.startswith(CONNECT) else attributed, node)
            return _response(self._capabilities(), request_id)
        if method != SEND:
            attribute(attributed, node)
            return _error(RPCErrorCodes.METHOD_NOT_FOUND, "Method not found", request_id)
        attribute(_claimed_traffic(params) or attributed, node)
        try:
            return _response(await self._take(params, caller), request_id)
        except RefusedError as refused:
            self._count(refused.reason)
            return error_object(refused, request_id)

    async def _take(self, params: dict[str, Any], caller: str) -> dict[str, Any]:
        """The receipt for the message in ``params``."""
        node = node_of(caller)
        if node is None:
            raise RefusedError(Reason.IDENTITY, f"{caller} is no identity of this lab")
        try:
            with naming(self._names), classify(Traffic.HANDSHAKE, node):
                document = await self._documents.of(node)
        except ProtocolError as error:
            raise RefusedError(Reason.UNRESOLVED, f"expected {caller} to show its DID document") from error
        message = self._doorkeeper.admit(params, caller, document)
        accept(message)
        if not self._deliver(message):
            raise RefusedError(Reason.BUSY, "the inbox is full, try again later")
        return {
            "accepted": True,
            "message_id": message.message_id,
            "operation_id": message.message_id,
            "target_did": self._did,
            "accepted_at": rfc3339(self._civil_time()),
        }

    def _capabilities(self) -> dict[str, Any]:
        return {
            "service_did": self._did,
            "supported_profiles": [PROFILE_CORE, PROFILE_DISCOVERY, PROFILE_DIRECT],
            "supported_security_profiles": [SECURITY_PROFILE],
            "supported_content_types": ["application/json"],
            "limits": {"max_request_bytes": str(MAX_BODY_BYTES), "max_message_bytes": str(MAX_BODY_BYTES)},
        }


class _AnonymousError(DidWbaVerifierError):  # type: ignore[misc] # the SDK has no types
    """No credentials at all: nobody of the mesh, and nobody to read a body for."""


class _NotJsonRpcError(Exception):
    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__()
        self.answer = answer


def _parse(body: bytes) -> tuple[str, dict[str, Any], str]:
    """Method, params and id; raises _NotJsonRpcError."""
    try:
        tree = json.loads(body)
    except (ValueError, RecursionError):
        raise _NotJsonRpcError(_error(RPCErrorCodes.PARSE_ERROR, "Parse error", None)) from None
    if isinstance(tree, list):  # P1, 10.3
        data = {"anp_code": "anp.batch_not_supported", "retryable": False}
        raise _NotJsonRpcError(create_rpc_error(1004, "Batch not supported", None, data))
    if not isinstance(tree, dict):
        raise _NotJsonRpcError(_error(*_INVALID, None))
    try:
        method, params, request_id = validate_rpc_request(tree)
        request_id.encode()  # it will be sent back
    except (ValueError, AttributeError):
        raise _NotJsonRpcError(_error(*_INVALID, None)) from None
    if not isinstance(method, str) or not isinstance(params, dict):
        raise _NotJsonRpcError(_error(*_INVALID, request_id))
    return method, params, request_id


def _error(code: int, message: str, request_id: str | None) -> dict[str, Any]:
    answer: dict[str, Any] = create_rpc_error(code, message, request_id)
    return answer


def _response(result: dict[str, Any], request_id: str) -> dict[str, Any]:
    answer: dict[str, Any] = create_rpc_response(result, request_id)
    return answer


def _claimed_traffic(params: dict[str, Any]) -> Traffic | None:
    """What a message not yet checked says it is for; good enough to book the bytes of its refusal."""
    try:
        return Traffic(params["body"]["payload"]["traffic"])
    except (LookupError, TypeError, ValueError):
        return None


def _reason(denied: DidWbaVerifierError) -> Reason:
    """Why the SDK's verifier said no: by the error word of its challenge."""
    challenge = denied.headers.get("WWW-Authenticate", "")
    if "Content-Digest" in str(denied):
        return Reason.TAMPERED
    if str(denied).startswith(_UNRESOLVED):
        return Reason.UNRESOLVED
    for word, reason in (
        ("invalid_nonce", Reason.REPLAY),
        ("invalid_timestamp", Reason.EXPIRED),
        ("invalid_signature", Reason.SIGNATURE),
        ("invalid_did", Reason.IDENTITY),
        ("invalid_verification_method", Reason.IDENTITY),
    ):
        if word in challenge:
            return reason
    return Reason.UNAUTHENTICATED


def _verifier_config() -> DidWbaVerifierConfig:
    """Tokens by a secret of this life: those of an earlier one are void, and nobody else has to verify them."""
    secret = token_hex(32)
    return DidWbaVerifierConfig(
        jwt_private_key=secret,
        jwt_public_key=secret,
        jwt_algorithm="HS256",
        allow_legacy_didwba=False,
        # The token goes out once, in the header that the specification names.
        emit_legacy_authorization_header=False,
    )
