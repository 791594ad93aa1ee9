"""Golden journals, and where computed values depart from those that were computed by hand beside them."""

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator import journal
from orchestrator.journal import Event
from orchestrator.metrics import Value

JOURNALS = Path(__file__).parent.parent / "journals"
NAMES = sorted(path.stem for path in JOURNALS.glob("*.jsonl"))


@cache
def expected_of(name: str) -> dict[str, Any]:
    """The hand-computed values of one golden journal."""
    loaded: dict[str, Any] = yaml.safe_load((JOURNALS / f"{name}.expected.yaml").read_text())
    return loaded


@cache
def events_of(name: str) -> tuple[Event, ...]:
    """The lines of one golden journal."""
    return tuple(journal.load(JOURNALS / f"{name}.jsonl"))


def departures(name: str, value_of: Callable[[str], Value]) -> Iterator[str]:
    """Where the metrics of a golden journal are not as computed by hand: value, detail or reason."""
    for key, expected in expected_of(name)["metrics"].items():
        got = value_of(key)
        yield from differences(key, expected["value"], got.value)
        if "detail" in expected:
            yield from differences(f"{key}.detail", expected["detail"], got.detail)
        if (got.value is None) != (got.reason is not None):
            yield f"{key}: expected a reason exactly for a null, got {got.value!r} with {got.reason!r}"
        if "could not be computed" in (got.reason or ""):
            yield f"{key}: expected a reason of its own, got {got.reason!r}"
        if expected.get("reason") and expected["reason"] not in (got.reason or ""):
            yield f"{key}.reason: expected {expected['reason']!r}, got {got.reason!r}"


def differences(place: str, expected: object, got: object) -> list[str]:
    """Where ``got`` departs from ``expected``; mappings may have more keys, numbers differ by rounding to 6 digits.

    An empty mapping is expected to be empty.
    """
    if isinstance(expected, Mapping):
        if not isinstance(got, Mapping) or (got and not expected):
            return [f"{place}: expected {'a mapping' if expected else 'nothing'}, got {got!r}"]
        items = [(f"{place}.{key}", value, got.get(key, "absent")) for key, value in expected.items()]
        return [text for item in items for text in differences(*item)]
    if isinstance(expected, list):
        if not isinstance(got, list | tuple) or len(got) != len(expected):
            return [f"{place}: expected {expected!r}, got {got!r}"]
        pairs = zip(expected, got, strict=True)
        return [text for i, (one, other) in enumerate(pairs) for text in differences(f"{place}[{i}]", one, other)]
    if isinstance(expected, int | float) and isinstance(got, int | float):
        return [] if got == pytest.approx(expected, abs=1e-6) else [f"{place}: expected {expected!r}, got {got!r}"]
    return [] if got == expected else [f"{place}: expected {expected!r}, got {got!r}"]
