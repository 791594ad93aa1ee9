"""The bare ANP SDK doing what ``send_message`` does: one signed ``direct.send`` on a kept TLS connection.

Both halves are put together as the SDK's documentation does it: an ``@anp_agent`` behind its authentication middleware,
and calls as its own client makes them (bearer token, compact JSON), with its origin proof on each. What happens once
and not per message is done beforehand: the client's token is issued, and its DID document is known to the agent.
"""

import itertools
import json
import logging
import shutil
import ssl
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from socket import AF_INET
from typing import Any

import aiohttp
import jwt
from aiohttp.abc import AbstractResolver, ResolveResult
from anp.authentication import DIDWbaAuthHeader, DidWbaVerifierConfig
from anp.openanp import AgentConfig, anp_agent, interface
from anp.openanp.middleware import create_auth_middleware
from anp.proof import generate_rfc9421_origin_proof, verify_rfc9421_origin_proof
from anp.proof.rfc9421_origin import Rfc9421OriginProofGenerationOptions, Rfc9421OriginProofVerificationOptions
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from fastapi import FastAPI

from benchmarks.serving import HOST, serving
from protocols.anp.authority import certify
from protocols.anp.files import CA, CERTIFICATE, DID_DOCUMENT, DID_KEY, TLS_KEY, folder_in
from protocols.anp.hosts import did_of, host_of
from protocols.anp.identity import own_identity

_AGENT, _CALLER = "bare", "caller"


@asynccontextmanager
async def serve(port: int) -> AsyncIterator[None]:
    """An agent with a token for one caller; what both need lies in a temporary folder until the end."""
    logging.getLogger("anp").setLevel(logging.WARNING)
    folder = _folder(port)
    certify(folder, {name: folder / name for name in (_AGENT, _CALLER)})
    caller = own_identity(_CALLER, folder / _CALLER)
    config, token = _issuer(caller.did)
    (folder / "token").write_text(token)
    app = FastAPI()
    app.include_router(_agent(caller.document).router())
    app.middleware("http")(create_auth_middleware(config))
    private = folder_in(folder / _AGENT)
    try:
        async with serving(app, port, ssl_certfile=private / CERTIFICATE, ssl_keyfile=private / TLS_KEY):
            yield
    finally:
        shutil.rmtree(folder)


@asynccontextmanager
async def open_client(port: int) -> AsyncIterator[Callable[[bytes], Awaitable[None]]]:
    """A function that sends one direct message to the agent on ``port`` and returns on its receipt."""
    folder = _folder(port)
    caller = own_identity(_CALLER, folder / _CALLER)
    own = folder_in(folder / _CALLER)
    auth = DIDWbaAuthHeader(str(own / DID_DOCUMENT), str(own / DID_KEY))
    auth.tokens[host_of(_AGENT)] = (folder / "token").read_text()
    address = f"https://{host_of(_AGENT)}:{port}/agent/rpc"
    numbers = itertools.count(1)
    connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=folder / CA), resolver=_Loopback())
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=30)) as session:

        async def call(payload: bytes) -> None:
            request = _request(caller.did, caller.key, caller.key_id, f"m{next(numbers)}", payload)
            body = json.dumps(request, separators=(",", ":"), ensure_ascii=False).encode()
            headers = {"Content-Type": "application/json"}
            headers.update(auth.get_auth_header(address, method="POST", headers=headers, body=body))
            async with session.post(address, data=body, headers=headers) as response:
                auth.update_token(address, dict(response.headers))
                answer = await response.json()
            if not answer.get("result", {}).get("accepted"):
                raise RuntimeError(f"expected a receipt, got {answer}")

        yield call


def _folder(port: int) -> Path:
    """Where agent and caller find each other, in whichever processes they run."""
    return Path(tempfile.gettempdir()) / f"failstorm-bare-anp-{port}"


def _issuer(did: str) -> tuple[DidWbaVerifierConfig, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    now = datetime.now(UTC)
    claims = {"sub": did, "iat": now, "exp": now + timedelta(hours=1)}
    config = DidWbaVerifierConfig(jwt_private_key=private, jwt_public_key=public, jwt_algorithm="ES256")
    return config, jwt.encode(claims, private, algorithm="ES256")


def _agent(caller_document: dict[str, Any]) -> Any:
    @anp_agent(AgentConfig(name=_AGENT, did=did_of(_AGENT), prefix="/agent"))
    class Agent:
        @interface(name="direct.send")  # type: ignore[untyped-decorator, unused-ignore]
        async def send(self, meta: dict[str, Any], auth: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
            """Take a direct message (P3)."""
            verify_rfc9421_origin_proof(
                auth["origin_proof"],
                "direct.send",
                meta,
                body,
                did_document=caller_document,
                options=Rfc9421OriginProofVerificationOptions(expected_signer_did=meta["sender_did"]),
            )
            return {
                "accepted": True,
                "message_id": meta["message_id"],
                "operation_id": meta["operation_id"],
                "target_did": did_of(_AGENT),
                "accepted_at": _now(),
            }

    return Agent


def _request(did: str, key: Any, key_id: str, message_id: str, payload: bytes) -> dict[str, Any]:
    meta = {
        "profile": "anp.direct.base.v1",
        "security_profile": "transport-protected",
        "sender_did": did,
        "target": {"kind": "agent", "did": did_of(_AGENT)},
        "operation_id": message_id,
        "message_id": message_id,
        "created_at": _now(),
        "content_type": "application/json",
    }
    # A payload of this profile is an object, never JSON inside of a string.
    body = {"payload": json.loads(payload) if payload.startswith(b"{") else {"text": payload.decode()}}
    created = int(datetime.now(UTC).timestamp())
    options = Rfc9421OriginProofGenerationOptions(created=created, expires=created + 60, nonce=message_id)
    proof = generate_rfc9421_origin_proof("direct.send", meta, body, key, key_id, options=options)
    auth = {"scheme": "anp-rfc9421-origin-proof-v1", "origin_proof": proof}
    params = {"meta": meta, "auth": auth, "body": body}
    return {"jsonrpc": "2.0", "id": message_id, "method": "direct.send", "params": params}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class _Loopback(AbstractResolver):
    """The agent's host name is on this machine."""

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        """As ``getaddrinfo``."""
        del family
        return [ResolveResult(hostname=host, host=HOST, port=port, family=AF_INET, proto=0, flags=0)]

    async def close(self) -> None:
        """Nothing to free."""
