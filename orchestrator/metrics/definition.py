"""What a metric is: a pure function over the evidence, with a name, a unit and a meaning."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from orchestrator.evidence import Evidence

_UNIT_OF_SUFFIX = (("_bytes_per_s", "bytes/s"), ("_ms", "ms"), ("_s", "s"), ("_percent", "%"), ("_ratio", "ratio"))


@dataclass(frozen=True)
class Value:
    """What a metric found, ready for JSON."""

    value: float | int | str | dict[str, Any] | list[Any] | None
    reason: str | None = None
    """Why there is no value; None where there is one."""
    detail: Mapping[str, Any] = field(default_factory=dict)
    """What belongs beside the value: ``censored_at_ms``, ``interval``, ``n``, ``by`` ..."""


@dataclass(frozen=True)
class Metric:
    """One entry of the results: JSON key, unit, documentation, and the function that finds the value."""

    name: str
    unit: str
    doc: str
    compute: Callable[[Evidence], Value]


def metric(unit: str | None = None) -> Callable[[Callable[[Evidence], Value]], Metric]:
    """Make a function a metric of the same name; the unit comes from the name's suffix unless it is given.

    Raises ValueError when neither gives a unit, or the function has no docstring.
    """

    def declare(compute: Callable[[Evidence], Value]) -> Metric:
        name, doc = compute.__name__, compute.__doc__
        declared = unit or next((known for suffix, known in _UNIT_OF_SUFFIX if name.endswith(suffix)), None)
        if declared is None or not doc:
            raise ValueError(f"expected metric {name} to have a unit and a docstring; give both")
        return Metric(name, declared, doc, compute)

    return declare


def null(reason: str, **detail: Any) -> Value:
    """No value, and why."""
    return Value(None, reason, detail)


def to_ms(seconds: float) -> float:
    """Seconds to milliseconds, to the microsecond that the journal resolves."""
    return round(seconds * 1000, 3)


def quantile(values: Sequence[float], share: float) -> float:
    """The quantile by linear interpolation (Hyndman and Fan 1996, type 7); raises ValueError without values."""
    if not values:
        raise ValueError("expected at least one value for a quantile, got none")
    return float(np.quantile(values, share))


def spread(seconds: Sequence[float]) -> dict[str, float | int | None]:
    """First, p50, p95 and last in ms, and how many; all None when there are none."""
    if not seconds:
        return {"first": None, "p50": None, "p95": None, "last": None, "n": 0}
    return {
        "first": to_ms(min(seconds)),
        "p50": to_ms(quantile(seconds, 0.5)),
        "p95": to_ms(quantile(seconds, 0.95)),
        "last": to_ms(max(seconds)),
        "n": len(seconds),
    }


def unstruck(evidence: Evidence) -> str | None:
    """Why nothing about a storm can be said; None when a kill was called."""
    if evidence.victims:
        return None
    return "control: nothing was killed" if evidence.is_control else "the run ended before the storm came"
