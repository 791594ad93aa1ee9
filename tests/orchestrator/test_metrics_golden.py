"""Golden journals: small journals with every expected number computed by hand beside them."""

import pytest

from orchestrator.evidence import Evidence
from orchestrator.metrics import evaluate, registry
from orchestrator.verdict import judge
from tests.orchestrator.golden import NAMES, departures, events_of, expected_of


@pytest.mark.parametrize("name", NAMES)
def test_golden_journal_gives_the_values_computed_by_hand(name: str) -> None:
    """Every listed metric of a golden journal has exactly its value, its detail and its reason."""
    values = evaluate(Evidence.from_events(events_of(name)))
    assert list(departures(name, values.__getitem__)) == []


@pytest.mark.parametrize("name", NAMES)
def test_golden_journal_gets_its_verdict(name: str) -> None:
    """The verdict, its tags and each of its reasons are the expected ones."""
    evidence = Evidence.from_events(events_of(name))
    verdict, expected = judge(evidence, evaluate(evidence)), expected_of(name)["verdict"]
    assert (verdict.status, list(verdict.tags)) == (expected["status"], expected["tags"])
    assert len(verdict.reasons) == len(expected["reasons"])
    for text, reason in zip(expected["reasons"], verdict.reasons, strict=True):
        assert text in reason


def test_every_metric_has_a_golden_value() -> None:
    """A new metric is not tested until the storm journal says what it must be."""
    assert sorted(registry()) == sorted(expected_of("storm")["metrics"])
