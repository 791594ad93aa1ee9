"""Bounds that a user puts on metrics: ``expect: {success_rate_drop: "<= 0.1"}``."""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, InstanceOf, PlainSerializer
from pydantic_core import PydanticCustomError

Compare = Callable[[float, float], bool]
_OPERATORS: MappingProxyType[str, Compare] = MappingProxyType(
    {
        "<=": operator.le,
        ">=": operator.ge,
        "==": operator.eq,
        "!=": operator.ne,
        "<": operator.lt,
        ">": operator.gt,
    }
)
_BOUND = re.compile(r"\s*(?P<operator>[<>=!]{1,2})\s*(?P<limit>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*")


@dataclass(frozen=True, slots=True)
class Expectation:
    """One bound; the metric it belongs to is its key in ``expect``."""

    operator: str
    limit: float

    def check(self, value: float | None) -> bool:
        """Whether ``value`` keeps the bound; a null metric keeps none."""
        return value is not None and _OPERATORS[self.operator](value, self.limit)

    def __str__(self) -> str:
        """The bound as a user writes it."""
        return f"{self.operator} {self.limit:g}"


def entry(metrics: Mapping[str, Any], name: str) -> float | None:
    """The number that a key of ``expect`` names; None where there is none."""
    found: Any = metrics
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found if isinstance(found, int | float) and not isinstance(found, bool) else None


def parse(text: object) -> Expectation:
    """Read a bound such as ``"<= 0.1"``; raises PydanticCustomError, which pydantic reports with its place."""
    if isinstance(text, Expectation):
        return text
    match = _BOUND.fullmatch(text) if isinstance(text, str) else None
    if match is None or match["operator"] not in _OPERATORS:
        raise PydanticCustomError("bound", "a comparison out of <= >= == != < > with a number, such as '<= 0.1'")
    return Expectation(match["operator"], float(match["limit"]))


Bound = Annotated[InstanceOf[Expectation], BeforeValidator(parse), PlainSerializer(str, return_type=str)]
MetricName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*(\.[a-z0-9_]+)*$")]
"""A key of ``failstorm_metrics.json``; a dot leads into a nested one (``detection_ms.p95``)."""
