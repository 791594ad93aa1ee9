"""Why ANP requests are refused: our counted reasons, and the protocol's error objects for them."""

from enum import StrEnum
from typing import Any

from anp.openanp.utils import create_rpc_error


class Reason(StrEnum):
    """What was wrong with a request; the keys of ``AnpAdapter.rejections``."""

    UNAUTHENTICATED = "unauthenticated"
    """No credentials, or a bearer token that this life of the node did not issue."""
    IDENTITY = "identity"
    """Credentials of somebody else, or of nobody that the lab knows."""
    UNRESOLVED = "unresolved"
    """The caller's own host does not show its DID document, so nothing of it can be verified."""
    SIGNATURE = "signature"
    TAMPERED = "tampered"
    """The body is not the one that was digested and signed."""
    REPLAY = "replay"
    EXPIRED = "expired"
    MISADDRESSED = "misaddressed"
    UNSUPPORTED = "unsupported"
    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    BUSY = "busy"
    """The inbox is full."""


# P1, 10.3 and P3, 11: code and anp_code.
_ANP_ERRORS = {
    Reason.UNAUTHENTICATED: (1005, "anp.unauthorized"),
    Reason.IDENTITY: (2006, "direct.origin_did_mismatch"),
    Reason.UNRESOLVED: (1005, "anp.unauthorized"),
    Reason.SIGNATURE: (2005, "direct.invalid_origin_proof"),
    Reason.TAMPERED: (2005, "direct.invalid_origin_proof"),
    Reason.EXPIRED: (2005, "direct.invalid_origin_proof"),
    Reason.REPLAY: (2007, "direct.origin_proof_replayed"),
    Reason.MISADDRESSED: (1014, "anp.invalid_target_binding"),
    Reason.UNSUPPORTED: (1001, "anp.unsupported_profile"),
    Reason.MALFORMED: (2002, "direct.invalid_payload_shape"),
    Reason.TOO_LARGE: (1010, "anp.delivery_rejected"),
    Reason.BUSY: (1012, "anp.temporarily_unavailable"),
}


class RefusedError(Exception):
    """A request that will not be served, for ``reason``."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def error_object(refused: RefusedError, request_id: object = None) -> dict[str, Any]:
    """The JSON-RPC answer that says so, with ANP's machine-readable code in ``error.data``."""
    code, anp_code = _ANP_ERRORS[refused.reason]
    data = {"anp_code": anp_code, "retryable": refused.reason is Reason.BUSY}
    answer: dict[str, Any] = create_rpc_error(code, str(refused), request_id, data)
    return answer
