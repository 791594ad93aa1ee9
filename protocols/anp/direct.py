"""``direct.send``: a message of ours as ANP's signed direct message (P3), and the checks that one must pass."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import datetime
from secrets import token_urlsafe
from typing import Any

from anp.proof import (
    generate_rfc9421_origin_proof,
    parse_im_signature_input,
    verify_rfc9421_origin_proof,
)
from anp.proof.rfc9421_origin import Rfc9421OriginProofGenerationOptions, Rfc9421OriginProofVerificationOptions
from cryptography.exceptions import InvalidSignature
from pydantic import ValidationError

from protocols.anp.errors import Reason, RefusedError
from protocols.anp.hosts import did_of, node_of
from protocols.anp.identity import PROFILE_CORE, PROFILE_DIRECT, SECURITY_PROFILE, AnpIdentity
from protocols.errors import PeerRejectedError
from protocols.message import Message

SEND, CAPABILITIES = "direct.send", "anp.get_capabilities"
CONNECT = "connect"
"""How the ids of calls begin that make a link; it tells a handshake from a probe where both bring a token."""
MAX_AGE_S = 60
"""How old a proof may be; and how far its signer's clock may be ahead."""

_SCHEME = "anp-rfc9421-origin-proof-v1"
_CONTENT_TYPE = "application/json"
_OTHER_CONTENT = "contentDigest does not match"
"""As the SDK says that the proof is one, but of another content."""
_MALFORMED = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What the SDK's helpers raise on values of another shape than they expect."""


def rfc3339(now: datetime) -> str:
    """Civil time (UTC) as ANP writes it."""
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


def send_params(identity: AnpIdentity, dest: str, content: Message, now: datetime) -> dict[str, Any]:
    """The params of ``direct.send`` with an origin proof of their own; raises PeerRejectedError if JCS cannot say them.

    ``operation_id`` and ``message_id`` are the message's own, however often it is sent; the proof is new each time.
    """
    meta = {
        "profile": PROFILE_DIRECT,
        "security_profile": SECURITY_PROFILE,
        "sender_did": identity.did,
        "target": {"kind": "agent", "did": did_of(dest)},
        "operation_id": content.message_id,
        "message_id": content.message_id,
        "created_at": rfc3339(now),
        "content_type": _CONTENT_TYPE,
    }
    body = {"payload": content.model_dump(mode="json", exclude_defaults=True)}
    created = int(now.timestamp())
    # By default the SDK draws the nonce twice, once for the signature and once for the header.
    options = Rfc9421OriginProofGenerationOptions(created=created, expires=created + MAX_AGE_S, nonce=token_urlsafe(12))
    try:
        proof = generate_rfc9421_origin_proof(SEND, meta, body, identity.key, identity.key_id, options=options)
    except _MALFORMED as error:
        raise PeerRejectedError(dest, f"expected a message that RFC 8785 can put in order, got: {error}") from error
    return {"meta": meta, "auth": {"scheme": _SCHEME, "origin_proof": proof}, "body": body}


def capabilities_params(now: datetime) -> dict[str, Any]:
    """The params of ``anp.get_capabilities``."""
    meta = {"profile": PROFILE_CORE, "security_profile": SECURITY_PROFILE, "created_at": rfc3339(now)}
    return {"meta": meta, "body": {}}


class Doorkeeper:
    """Lets in what is addressed to this node, signed by its sender, unchanged, recent, and new."""

    def __init__(self, did: str, civil_time: Callable[[], datetime]) -> None:
        self._did = did
        self._civil_time = civil_time
        self._seen: OrderedDict[tuple[str, str], int] = OrderedDict()
        """(signer, nonce) → when it came; each is forgotten when its proof would be too old anyway."""

    def admit(self, params: Mapping[str, Any], caller: str, document: dict[str, Any]) -> Message:
        """The message in ``params``, which the authenticated DID ``caller`` with this document has sent.

        Raises RefusedError. The same message may come again; the same proof may not.
        """
        meta, auth, body = (_mapping(params.get(name), name) for name in ("meta", "auth", "body"))
        if meta.get("target") != {"kind": "agent", "did": self._did}:
            raise RefusedError(Reason.MISADDRESSED, f"expected {self._did} as target")
        if meta.get("sender_did") != caller:
            # The lab has no relays, so whoever calls is whoever speaks.
            raise RefusedError(Reason.IDENTITY, f"expected {caller} as sender_did")
        if (meta.get("profile"), meta.get("security_profile")) != (PROFILE_DIRECT, SECURITY_PROFILE):
            raise RefusedError(Reason.UNSUPPORTED, f"expected {PROFILE_DIRECT}, {SECURITY_PROFILE}")
        if auth.get("scheme") != _SCHEME:
            raise RefusedError(Reason.SIGNATURE, f"expected auth.scheme {_SCHEME}")
        self._verify(_mapping(auth.get("origin_proof"), "origin_proof"), meta, body, caller, document)
        return self._message(meta, body, caller)

    def _verify(
        self,
        proof: Mapping[str, Any],
        meta: Mapping[str, Any],
        body: Mapping[str, Any],
        caller: str,
        document: dict[str, Any],
    ) -> None:
        options = Rfc9421OriginProofVerificationOptions(expected_signer_did=caller)
        try:
            signed = parse_im_signature_input(proof["signatureInput"])
            if signed.keyid.partition("#")[0] != caller:
                raise RefusedError(Reason.IDENTITY, f"expected a key of {caller}")
            verify_rfc9421_origin_proof(proof, SEND, meta, body, did_document=document, options=options)
        except InvalidSignature as error:
            raise RefusedError(Reason.SIGNATURE, "the signature does not verify") from error
        except _MALFORMED as error:
            if _OTHER_CONTENT in str(error):
                raise RefusedError(Reason.TAMPERED, "the Content-Digest does not match") from error
            raise RefusedError(Reason.SIGNATURE, "the origin proof is not well-formed") from error
        now = int(self._civil_time().timestamp())
        if signed.created is None or not now - MAX_AGE_S <= signed.created <= now + MAX_AGE_S:
            raise RefusedError(Reason.EXPIRED, f"expected a proof of the last {MAX_AGE_S} s")
        if signed.expires is not None and signed.expires < now:
            raise RefusedError(Reason.EXPIRED, "the proof has expired")
        if not signed.nonce or not self._is_new((caller, signed.nonce), now):
            raise RefusedError(Reason.REPLAY, "expected a nonce that was never used")

    def _is_new(self, key: tuple[str, str], now: int) -> bool:
        while self._seen and now - next(iter(self._seen.values())) > 2 * MAX_AGE_S:
            self._seen.popitem(last=False)
        if key in self._seen:
            return False
        self._seen[key] = now
        return True

    def _message(self, meta: Mapping[str, Any], body: Mapping[str, Any], caller: str) -> Message:
        if meta.get("content_type") != _CONTENT_TYPE or body.keys() & {"text", "payload", "payload_b64u"} != {
            "payload"
        }:
            raise RefusedError(Reason.MALFORMED, f"expected {_CONTENT_TYPE} in body.payload and nowhere else")
        try:
            message = Message.model_validate(body["payload"])
        except ValidationError as error:
            raise RefusedError(Reason.MALFORMED, f"expected a message, got {error.error_count()} faults") from error
        if message.sender != node_of(caller):
            raise RefusedError(Reason.IDENTITY, f"expected {node_of(caller)} as the message's sender")
        if message.recipient != node_of(self._did):
            raise RefusedError(Reason.MISADDRESSED, f"this is {node_of(self._did)}")
        if meta.get("message_id") != message.message_id or meta.get("operation_id") != message.message_id:
            raise RefusedError(Reason.MALFORMED, "expected one id in meta and message")
        return message


def _mapping(value: object, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise RefusedError(Reason.MALFORMED, f"expected params.{name} to be an object")
    return value
