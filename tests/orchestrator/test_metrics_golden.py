"""Golden journals: small journals with every expected number computed by hand beside them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.evidence import Evidence
from orchestrator.journal import load
from orchestrator.metrics import evaluate, registry
from orchestrator.verdict import judge

JOURNALS = Path(__file__).parent.parent / "journals"
NAMES = sorted(path.stem for path in JOURNALS.glob("*.jsonl"))


def expected_of(name: str) -> dict[str, Any]:
    """The hand-computed values of one golden journal."""
    loaded: dict[str, Any] = yaml.safe_load((JOURNALS / f"{name}.expected.yaml").read_text())
    return loaded


def differences(place: str, expected: object, got: object) -> list[str]:
    """Where ``got`` departs from ``expected``; mappings may have more keys, numbers differ by rounding to 6 digits."""
    if isinstance(expected, Mapping):
        if not isinstance(got, Mapping):
            return [f"{place}: expected a mapping, got {got!r}"]
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


@pytest.mark.parametrize("name", NAMES)
def test_golden_journal_gives_the_values_computed_by_hand(name: str) -> None:
    """Every listed metric of a golden journal has exactly its value, its detail and its reason."""
    values = evaluate(Evidence.from_events(load(JOURNALS / f"{name}.jsonl")))
    wrong = []
    for key, expected in expected_of(name)["metrics"].items():
        got = values[key]
        wrong += differences(key, expected["value"], got.value)
        wrong += differences(f"{key}.detail", expected.get("detail", {}), got.detail)
        if (got.value is None) != (got.reason is not None):
            wrong.append(f"{key}: expected a reason exactly for a null, got {got.value!r} with {got.reason!r}")
        if expected.get("reason") and expected["reason"] not in (got.reason or ""):
            wrong.append(f"{key}.reason: expected {expected['reason']!r}, got {got.reason!r}")
    assert wrong == []


@pytest.mark.parametrize("name", NAMES)
def test_golden_journal_gets_its_verdict(name: str) -> None:
    """The verdict, its tags and each of its reasons are the expected ones."""
    evidence = Evidence.from_events(load(JOURNALS / f"{name}.jsonl"))
    verdict, expected = judge(evidence, evaluate(evidence)), expected_of(name)["verdict"]
    assert (verdict.status, list(verdict.tags)) == (expected["status"], expected["tags"])
    assert len(verdict.reasons) == len(expected["reasons"])
    for text, reason in zip(expected["reasons"], verdict.reasons, strict=True):
        assert text in reason


def test_every_metric_has_a_golden_value() -> None:
    """A new metric is not tested until the storm journal says what it must be."""
    assert sorted(registry()) == sorted(expected_of("storm")["metrics"])
