"""DID documents of other nodes, resolved by the SDK and kept for a while."""

import asyncio
from typing import Any

import aiohttp
from anp.authentication import resolve_did_document, validate_did_document_method
from anp.authentication.verification_methods import create_verification_method
from anp.proof import verify_w3c_proof

from protocols.adapter import Timeouts
from protocols.anp.client import as_protocol_error
from protocols.anp.hosts import did_of
from protocols.anp.identity import AnpIdentity
from protocols.clock import Clock
from protocols.errors import IdentityError, PeerRejectedError, PeerTimeoutError

_KEPT_S = 300.0


class Documents:
    """Resolves did:wba identities of the lab; inside ``protocols.names.naming`` only."""

    def __init__(self, identity: AnpIdentity, timeouts: Timeouts, clock: Clock) -> None:
        self._trust = identity.trust
        self._timeout_s = timeouts.connect_s + timeouts.ack_s
        self._clock = clock
        self._kept: dict[str, tuple[float, dict[str, Any]]] = {}
        self._asking: dict[str, asyncio.Lock] = {}

    async def of(self, node: str) -> dict[str, Any]:
        """The document of ``node``, fetched if none is kept; raises ProtocolError."""
        async with self._asking.setdefault(node, asyncio.Lock()):
            at, document = self._kept.get(node, (float("-inf"), {}))
            if self._clock.now() - at < _KEPT_S:
                return document
            return await self.resolve(node)

    async def resolve(self, node: str) -> dict[str, Any]:
        """The document of ``node``, fetched now over a connection of its own and checked, its proof included.

        Raises ProtocolError: IdentityError when it is another node's.
        """
        did = did_of(node)
        try:
            async with asyncio.timeout(self._timeout_s):
                document = await resolve_did_document(
                    did,
                    verify_proof=True,
                    timeout_seconds=self._timeout_s,
                    verify_ssl=self._trust,  # handed on to aiohttp, which takes a context as well as a yes
                )
        except TimeoutError as error:
            raise PeerTimeoutError(node, f"no DID document of {did} in time") from error
        except aiohttp.ContentTypeError as error:
            raise PeerRejectedError(node, f"expected the DID document of {did}, got {error.message}") from error
        except (aiohttp.ClientError, OSError, RuntimeError) as error:
            raise as_protocol_error(node, error) from error
        except UnicodeError as error:
            raise PeerRejectedError(node, f"expected the DID document of {did}, got {error}") from error
        except ValueError as error:  # the SDK's word for another id, and for a binding or proof that does not verify
            raise IdentityError(node, f"expected the DID document of {did}: {error}") from error
        except (TypeError, LookupError, AttributeError, ArithmeticError) as error:
            raise PeerRejectedError(node, f"expected the DID document of {did}, got nonsense: {error!r}") from error
        self._kept[node] = (self._clock.now(), document)
        return dict(document)

    def keep(self, node: str, document: dict[str, Any]) -> None:
        """Check a document that the host of ``node`` has just shown, as the SDK's resolver does, and keep it.

        Raises IdentityError when it is another node's or does not verify, PeerRejectedError when it is none.
        """
        did = did_of(node)
        try:
            if document["id"] != did:
                raise IdentityError(node, f"expected the DID document of {did}, got that of {document['id']!r}")
            if not validate_did_document_method(document, verify_proof=True) or not _proof_verifies(document):
                raise IdentityError(node, f"expected the DID document of {did}, its binding or proof does not verify")
        except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
            raise PeerRejectedError(node, f"expected the DID document of {did}, got nonsense: {error!r}") from error
        self._kept[node] = (self._clock.now(), document)


def _proof_verifies(document: dict[str, Any]) -> bool:
    """Whether the proof, where there is one, is by a key of the document."""
    if "proof" not in document:
        return True
    lists = (document.get(name, []) for name in ("verificationMethod", "authentication", "assertionMethod"))
    methods = [method for entries in lists for method in entries if isinstance(method, dict)]
    signing = [method for method in methods if method.get("id") == document["proof"]["verificationMethod"]]
    return bool(signing and verify_w3c_proof(document, create_verification_method(signing[0]).public_key))
