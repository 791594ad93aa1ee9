"""How recovery and the steady state move when one constant of their definitions is another, computed by hand."""

import pytest

from orchestrator.evidence import Evidence
from orchestrator.metrics import evaluate
from orchestrator.metrics.sensitivity import Variant, recovery_variants, steady_variants
from tests.orchestrator.golden import NAMES, events_of


def _by_name(variants: tuple[Variant, ...]) -> dict[str, float | None]:
    return {variant.name: variant.ms for variant in variants}


def _evidence(name: str) -> Evidence:
    return Evidence.from_events(events_of(name))


def test_recovery_under_other_choices() -> None:
    """Repairs at 120 (request, agent_4), 420 (edge, agent_4), 620 (request), 1300 (task, agent_5), 1620 (edge)."""
    assert _by_name(recovery_variants(_evidence("storm"))) == {
        "as defined: the first repair": 120,
        "half of the repairs": 620,
        "95 % of the repairs": 1556,  # rank 3.8: 1300 + 0.8 * 320
        "the last repair": 1620,
        "the first repair for each victim, the last of them": 1300,
        "the first repair of each agent that repairs, the last of them": 620,
        "requests alone": 120,
        "tasks alone": 1300,
        "links alone": 420,
        "steps that an agent does itself after all count too": 60,
        "counted from the last kill call": 118,
        "counted from the first proof at a canary": 111,
    }


def test_without_repairs_every_choice_finds_nothing_and_a_control_has_none() -> None:
    """None stands for never; where nobody is killed there is nothing to vary."""
    assert set(_by_name(recovery_variants(_evidence("no-recovery"))).values()) == {None}
    assert recovery_variants(_evidence("control")) == ()


def test_steady_state_under_other_bars_windows_and_holds() -> None:
    """The slow task passes a bar of 1.5; half of the hold fits between the two bad stretches; twice does not fit."""
    found = _by_name(steady_variants(_evidence("steady")))
    assert found["p95 latency at most 1.5 times before"] == 100  # agreement; what is wrong comes later than the hold
    assert found["hold 1 s instead of 2 s"] == 1500
    assert found["hold 4 s instead of 2 s"] is None
    others = [ms for name, ms in found.items() if not name.startswith(("hold", "p95 latency at most 1.5"))]
    assert set(others) == {3500}


@pytest.mark.parametrize("name", NAMES)
def test_the_first_row_is_the_metric_itself(name: str) -> None:
    """As defined means as defined: the tables begin with what the results say."""
    evidence = _evidence(name)
    values = evaluate(evidence)
    for metric, variants in (("recovery_ms", recovery_variants), ("steady_state_ms", steady_variants)):
        found = variants(evidence)
        assert not found or found[0].ms == values[metric].value
