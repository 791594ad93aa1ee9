"""Asks a Prometheus server over its HTTP API (prometheus.io/docs/prometheus/latest/querying/api)."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError

from protocols.errors import LabError

_TIMEOUT_S = 5.0
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+)(ms|s|m|h)")
_SHOWN_CHARACTERS = 120
Sample = tuple[float, float]
"""(Unix seconds, value)."""


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


_Kind = TypeVar("_Kind", bound=_Answer)


class _Point(_Answer):
    metric: dict[str, str]
    value: tuple[float, float]


class _Row(_Answer):
    metric: dict[str, str]
    values: tuple[tuple[float, float], ...]


class _Vector(_Answer):
    result: tuple[_Point, ...]


class _Matrix(_Answer):
    result: tuple[_Row, ...]


class _Target(_Answer):
    labels: dict[str, str]
    scrapeInterval: str  # noqa: N815 - the API's own name


class _Targets(_Answer):
    activeTargets: tuple[_Target, ...]  # noqa: N815 - the API's own name


class Series(BaseModel):
    """One series: its labels and its samples, a single one for an instant."""

    model_config = ConfigDict(frozen=True)

    labels: dict[str, str]
    samples: tuple[Sample, ...]

    @property
    def last(self) -> float:
        """The newest value."""
        return self.samples[-1][1]


class Prometheus:
    """One server; every method raises LabError, with what came instead of an answer."""

    def __init__(self, client: httpx.AsyncClient, url: str) -> None:
        self._client = client
        self.url = url

    async def query(self, expression: str, at: float) -> tuple[Series, ...]:
        """Evaluate at one instant, Unix seconds."""
        data = await self._get("query", {"query": expression, "time": at})
        vector = _parse(_Vector, data)
        return tuple(Series(labels=point.metric, samples=(point.value,)) for point in vector.result)

    async def samples(self, selector: str, over_s: int, at: float) -> tuple[Series, ...]:
        """The raw samples of the last ``over_s`` seconds with the very times at which they were scraped."""
        return await self._matrix("query", {"query": f"{selector}[{over_s}s]", "time": at})

    async def query_range(self, expression: str, start: float, end: float, step_s: float) -> tuple[Series, ...]:
        """Evaluate at every step of a stretch of time, Unix seconds."""
        return await self._matrix(
            "query_range", {"query": expression, "start": start, "end": end, "step": f"{step_s:g}s"}
        )

    async def scrape_interval_s(self, run_id: str) -> float:
        """How often it scrapes the targets of this run; LabError as well when it has none of them."""
        found = _parse(_Targets, await self._get("targets", {"state": "active"}))
        ours = [target.scrapeInterval for target in found.activeTargets if target.labels.get("run") == run_id]
        if not ours:
            raise LabError(
                f"expected {self.url} to scrape the run {run_id}, it knows {len(found.activeTargets)} targets and none "
                f"of them is this run's; give it prometheus/prometheus.yml"
            )
        return max(_seconds(text) for text in ours)

    async def _matrix(self, path: str, parameters: Mapping[str, str | float]) -> tuple[Series, ...]:
        matrix = _parse(_Matrix, await self._get(path, parameters))
        return tuple(Series(labels=row.metric, samples=row.values) for row in matrix.result)

    async def _get(self, path: str, parameters: Mapping[str, str | float]) -> Any:
        try:
            response = await self._client.get(f"{self.url}/api/v1/{path}", params=dict(parameters), timeout=_TIMEOUT_S)
            answer = response.json()
        except httpx.HTTPError as error:
            raise LabError(f"expected an answer from {self.url}, got {type(error).__name__}: {error}") from error
        except ValueError as error:
            raise LabError(
                f"expected JSON from {self.url}, got status {response.status_code} with something else; "
                f"is it a Prometheus?"
            ) from error
        if not isinstance(answer, dict) or answer.get("status") != "success":
            said = str(answer.get("error") if isinstance(answer, dict) else answer)[:_SHOWN_CHARACTERS]
            raise LabError(f"expected {self.url} to answer /api/v1/{path}, got status {response.status_code}: {said}")
        return answer.get("data")


def _parse(kind: type[_Kind], data: Any) -> _Kind:
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise LabError(f"expected an answer of the Prometheus API, got: {place or 'data'}: {first['msg']}") from error


def _seconds(text: str) -> float:
    """Prometheus writes ``1s``, ``500ms``, ``1m30s``."""
    parts: Sequence[tuple[str, str]] = _DURATION.findall(text)
    if not parts:
        raise LabError(f"expected a scrape interval such as 1s, got {text!r}")
    return sum(int(number) * _UNIT_S[unit] for number, unit in parts)
