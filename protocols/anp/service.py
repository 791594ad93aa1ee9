"""The served side: DID document, agent description and interface for everybody, JSON-RPC for authenticated nodes."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from anp.authentication import (
    DidWbaVerifier,
    DidWbaVerifierConfig,
    DidWbaVerifierError,
    extract_signature_metadata,
)
from anp.openanp import AgentConfig, RPCMethodInfo, create_agent_router
from anp.openanp.utils import RPCErrorCodes, create_rpc_error, create_rpc_response, validate_rpc_request
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from protocols.adapter import AdapterContext, accept
from protocols.anp.direct import CAPABILITIES, SEND, Doorkeeper, rfc3339_now
from protocols.anp.documents import Documents
from protocols.anp.errors import Reason, RefusedError, error_object
from protocols.anp.hosts import AD_PATH, DID_PATH, INTERFACE_PATH, PREFIX, RPC_PATH, node_of, url
from protocols.anp.identity import PROFILE_CORE, PROFILE_DIRECT, PROFILE_DISCOVERY, SECURITY_PROFILE, AnpIdentity
from protocols.errors import ProtocolError
from protocols.message import Message, Traffic
from protocols.names import LabNames, naming
from protocols.wire import attribute, classify

ROUTES = dict.fromkeys((DID_PATH, AD_PATH, INTERFACE_PATH), Traffic.HANDSHAKE)
MAX_BODY_BYTES = 32 * 1024 * 1024

_OBJECT = {"type": "object"}
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
        self._doorkeeper = Doorkeeper(identity.did)
        self._verifier = DidWbaVerifier(_verifier_config())
        self._pages = self._page_application(identity, context.skills)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI."""
        if scope["type"] == "http" and scope["path"] == RPC_PATH and scope["method"] == "POST":
            response = await self._rpc(Request(scope, receive))
            await response(scope, receive, send)
        else:
            await self._pages(scope, receive, send)

    def customize_ad(self, document: dict[str, Any], _base_url: str) -> dict[str, Any]:
        """The SDK's hook into ad.json: which life of the agent this is."""
        return {**document, "incarnation": self._me.incarnation}

    async def _rpc(self, request: Request) -> Response:
        headers = dict(request.headers)
        bearer = headers.get("authorization", "").startswith("Bearer ")
        try:
            # A token is checked before the body is read; a signature covers the body.
            body = b"" if bearer else await _read(request, headers)
            caller = await self._authenticate(headers, body)
            body = await _read(request, headers) if bearer else body
        except ClientDisconnect:  # the caller died in mid-message: an everyday event here, and nobody to answer
            return Response(status_code=400)
        except RefusedError as refused:
            self._count(refused.reason)
            attribute(Traffic.HANDSHAKE, None)
            return JSONResponse(error_object(refused), status_code=413)
        except DidWbaVerifierError as denied:
            self._count(_reason(denied))
            attribute(Traffic.HANDSHAKE, None)
            return JSONResponse({"detail": str(denied)}, status_code=denied.status_code, headers=denied.headers)
        answer = await self._answer(body, caller["did"], signed=not bearer)
        return JSONResponse(answer, headers=caller["response_headers"])

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
        except (ValueError, LookupError, AttributeError, TypeError) as error:
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
            attribute(attributed, node)
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
            "accepted_at": rfc3339_now(),
        }

    def _capabilities(self) -> dict[str, Any]:
        return {
            "service_did": self._did,
            "supported_profiles": [PROFILE_CORE, PROFILE_DISCOVERY, PROFILE_DIRECT],
            "supported_security_profiles": [SECURITY_PROFILE],
            "supported_content_types": ["application/json"],
            "limits": {"max_request_bytes": str(MAX_BODY_BYTES), "max_message_bytes": str(MAX_BODY_BYTES)},
        }

    def _page_application(self, identity: AnpIdentity, skills: tuple[str, ...]) -> FastAPI:
        app = FastAPI(openapi_url=None)
        description = "A Fail-Storm agent" + (f" for {', '.join(skills)}" if skills else "")
        config = AgentConfig(self._me.node_id, identity.did, description, PREFIX)
        methods = [
            RPCMethodInfo(CAPABILITIES, "What this agent supports (P1)", _params("meta", "body"), _OBJECT),
            RPCMethodInfo(SEND, "Take a signed direct message (P3)", _params("meta", "auth", "body"), _OBJECT),
        ]
        app.include_router(create_agent_router(config, methods, self))

        @app.get(DID_PATH)
        async def did() -> JSONResponse:
            return JSONResponse(identity.document)

        return app


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


async def _read(request: Request, headers: dict[str, str]) -> bytes:
    """The body; raises RefusedError when it is too large, DidWbaVerifierError when nobody would vouch for it."""
    if "authorization" not in headers and "signature" not in headers:
        raise DidWbaVerifierError("Missing authentication headers", status_code=401)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise RefusedError(Reason.TOO_LARGE, f"expected at most {MAX_BODY_BYTES} bytes")
    return bytes(body)


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


def _params(*names: str) -> dict[str, Any]:
    return {"type": "object", "properties": dict.fromkeys(names, _OBJECT), "required": list(names)}


def _verifier_config() -> DidWbaVerifierConfig:
    """Tokens signed by a key of this life, so that those of an earlier one are void."""
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return DidWbaVerifierConfig(
        jwt_private_key=private.decode(),
        jwt_public_key=public.decode(),
        jwt_algorithm="ES256",
        allow_legacy_didwba=False,
        # The token goes out once, in the header that the specification names.
        emit_legacy_authorization_header=False,
    )
