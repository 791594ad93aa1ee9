"""Asks a restarted agent which life it is in."""

from collections.abc import Callable

import httpx
from pydantic import BaseModel, ValidationError

ASK_TIMEOUT_S = 1.0


class _Status(BaseModel):
    """The part of an agent's ``GET /status`` that says who answers."""

    node_id: str
    incarnation: int


class AdminPorts:
    """The agents' admin ports, each at ``url_of`` its node id."""

    def __init__(self, http: httpx.AsyncClient, url_of: Callable[[str], str]) -> None:
        self._http = http
        self._url_of = url_of

    async def incarnation(self, node: str) -> int | None:
        """The incarnation that ``node`` tells; None while nobody answers, or somebody else does."""
        try:
            answer = await self._http.get(f"{self._url_of(node)}/status", timeout=ASK_TIMEOUT_S)
            status = _Status.model_validate_json(answer.content)
        except (httpx.HTTPError, ValidationError):
            return None
        # Addresses are given away again after a death, so the name in the answer counts.
        return status.incarnation if status.node_id == node else None
