"""DID documents of other nodes, resolved by the SDK and kept for a while."""

import asyncio
from typing import Any

import aiohttp
from anp.authentication import resolve_did_document

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
