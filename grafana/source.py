"""Asks a Prometheus over its HTTP API."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from protocols.errors import LabError


@dataclass(frozen=True, slots=True)
class Series:
    """One series of an answer: its labels, and its points as (Unix s, value), ascending."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]


class QueryError(LabError):
    """Prometheus refused a query."""


class Prometheus:
    """A Prometheus server behind ``client``, whose base URL is the server's."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def now(self) -> float:
        """The server's own time, Unix s."""
        at, _ = self._get("query", query="time()")["result"]
        return float(at)

    def at(self, expr: str, at: float) -> list[Series]:
        """The answer at one instant; QueryError when it is no valid query, LabError when nobody answers."""
        result = self._get("query", query=expr, time=at)["result"]
        return [_series(row["metric"], [row["value"]]) for row in result]

    def over(self, expr: str, start: float, end: float, step_s: float) -> list[Series]:
        """The answer over a time, a point each ``step_s``; errors as :meth:`at`."""
        result = self._get("query_range", query=expr, start=start, end=end, step=step_s)["result"]
        return [_series(row["metric"], row["values"]) for row in result]

    def label_values(self, label: str, selector: str) -> list[str]:
        """The values that ``label`` has in the series of ``selector``; errors as :meth:`at`."""
        return [str(value) for value in self._get(f"label/{label}/values", **{"match[]": selector})]

    def _get(self, path: str, **params: str | float) -> Any:
        try:
            response = self._client.get(f"/api/v1/{path}", params=params)
            body = response.json()
            succeeded = body["status"] == "success"
        except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
            url = self._client.base_url
            raise LabError(f"expected a Prometheus at {url}, got: {error}; start it or give its address") from error
        if not succeeded:
            raise QueryError(f"expected a valid query, got: {body['error']}; asked for {params}")
        return body["data"]


def _series(labels: Mapping[str, str], points: list[list[Any]]) -> Series:
    return Series(labels, tuple((float(at), float(value)) for at, value in points))
