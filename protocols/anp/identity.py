"""A node's own identity: DID document and key, made in its first life and kept over restarts, and its TLS."""

import json
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anp.authentication import DIDWbaAuthHeader, build_anp_message_service, create_did_wba_document
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from protocols.anp.files import CA, CERTIFICATE, DID_DOCUMENT, DID_KEY, TLS_KEY, folder_in, write_private
from protocols.anp.hosts import AD_PATH, RPC_PATH, did_of, host_of, url
from protocols.errors import LabError

PROFILE_CORE, PROFILE_DISCOVERY, PROFILE_DIRECT = (
    "anp.core.binding.v1",
    "anp.identity.discovery.v1",
    "anp.direct.base.v1",
)
SECURITY_PROFILE = "transport-protected"

_ADVICE = "call AnpAdapter.prepare before nodes start"


@dataclass(frozen=True)
class AnpIdentity:
    """Who a node is on the wire."""

    did: str
    document: dict[str, Any]
    key: Any
    """The Ed25519 private key that the document's first authentication method names."""
    key_id: str
    authenticator: DIDWbaAuthHeader
    """The SDK's signer of HTTP requests, which also keeps the bearer tokens, by host."""
    trust: ssl.SSLContext


def own_identity(node: str, workspace: Path) -> AnpIdentity:
    """The identity of ``node``; raises LabError when its certificate was not prepared or what it kept is damaged."""
    folder = folder_in(workspace)
    if not (folder / CERTIFICATE).exists():
        raise LabError(f"expected a certificate in {folder}, found none; {_ADVICE}")
    document_path, key_path = folder / DID_DOCUMENT, folder / DID_KEY
    if not document_path.exists():
        _make(node, document_path, key_path)
    try:
        document = json.loads(document_path.read_bytes())
        key = load_pem_private_key(key_path.read_bytes(), None)
        # Only the lab's CA vouches for the lab's names: a cafile keeps the system's CAs out.
        trust = ssl.create_default_context(cafile=folder / CA)
        if document["id"] != did_of(node):
            raise LabError(f"expected the DID document of {node} in {document_path}, got that of {document['id']}")
        return AnpIdentity(
            did=document["id"],
            document=document,
            key=key,
            key_id=document["authentication"][0],
            authenticator=DIDWbaAuthHeader(str(document_path), str(key_path)),
            trust=trust,
        )
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise LabError(f"expected the identity of an earlier life in {folder}, it is damaged: {error}") from error


def serving_tls(workspace: Path) -> ssl.SSLContext:
    """What a node serves with; raises LabError when it was not prepared."""
    folder = folder_in(workspace)
    try:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(folder / CERTIFICATE, folder / TLS_KEY)
    except OSError as error:
        raise LabError(f"expected certificate and key in {folder}, got: {error}; {_ADVICE}") from error
    return context


def _make(node: str, document_path: Path, key_path: Path) -> None:
    did = did_of(node)
    service = build_anp_message_service(
        did=did,
        service_endpoint=url(node, RPC_PATH),
        service_did=did,
        profiles=[PROFILE_CORE, PROFILE_DISCOVERY, PROFILE_DIRECT],
        security_profiles=[SECURITY_PROFILE],
    )
    document, keys = create_did_wba_document(
        hostname=host_of(node),
        agent_description_url=url(node, AD_PATH),
        services=[service],
        # No end-to-end encryption is offered, so no keys for it are published.
        enable_e2ee=False,
    )
    write_private(key_path, next(iter(keys.values()))[0])
    # Last and at once: a document without its key would be an identity nobody can use.
    fresh = document_path.with_suffix(".new")
    fresh.write_text(json.dumps(document), encoding="utf-8")
    fresh.replace(document_path)
