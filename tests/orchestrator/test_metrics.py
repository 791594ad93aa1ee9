"""The registry of metrics, what happens when one breaks, and what they cost."""

from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from orchestrator import metrics
from orchestrator.evidence import Evidence
from orchestrator.journal import load
from orchestrator.metrics import Metric, Value, evaluate, metric, registry
from orchestrator.metrics.definition import quantile
from orchestrator.metrics.proportion import drop_interval, wilson
from orchestrator.metrics.spans import length, merged, minus
from tests.effort import counted

STORM = Path(__file__).parent.parent / "journals" / "storm.jsonl"
HEAL = STORM.with_name("heal.jsonl")


@pytest.fixture
def storm() -> Evidence:
    """The evidence of the storm journal."""
    return Evidence.from_events(load(STORM))


def test_the_five_of_the_specification_come_first() -> None:
    """The order of the registry is the order of the results."""
    five = ["recovery_ms", "steady_state_ms", "bytes_reconnect", "success_rate_drop", "duplicate_work_ratio"]
    assert list(registry())[:5] == five


def test_every_metric_says_what_it_is() -> None:
    """Key, unit and documentation of each metric come from its function."""
    units = {"ms", "s", "%", "ratio", "count", "bytes", "bytes/s"}
    for name, entry in registry().items():
        assert (entry.name, entry.unit in units) == (name, True)
        summary = entry.doc.splitlines()[0]
        assert summary.endswith((".", ":")) or entry.doc.splitlines()[1]


def test_units_come_from_the_name_or_are_declared() -> None:
    """A suffix that is a unit is enough; without one the decorator must say it."""

    def rest_ms(_evidence: Evidence) -> Value:
        """Rest."""
        return Value(1)

    def rest(_evidence: Evidence) -> Value:
        """Rest."""
        return Value(1)

    assert metric()(rest_ms).unit == "ms"
    assert metric("count")(rest).unit == "count"
    with pytest.raises(ValueError, match="expected metric rest to have a unit"):
        metric()(rest)


def test_a_restart_that_nobody_missed_has_its_repairs_counted() -> None:
    """What its callers send again once they have learned of the new life is a repair; what they sent before is none."""
    lines = [event for event in load(HEAL) if event["ev"] not in ("suspect", "alive", "repair")]
    told = {"node": "agent_2", "inc": 0, "ev": "alive", "peer": "agent_3", "peer_inc": 1000, "mechanism": "gossip"}
    repair = {"inc": 0, "ev": "repair", "cause": ["agent_3", "r1"], "kind": "request", "peer": "agent_1"}
    lines += [
        {"t": 59.6, **told},
        {"t": 59.5, "node": "agent_2", **repair, "link": "warm"},
        {"t": 59.7, "node": "agent_4", **repair, "link": "warm"},  # it has not heard
        {"t": 59.8, "node": "agent_2", **repair, "link": "new"},
    ]
    values = evaluate(Evidence.from_events(lines))
    assert values["recovery_ms"].value == pytest.approx(3800.0)  # 59.8, and the kill was at 56
    assert values["recovery_ms"].detail["by"] == "reconnect"
    assert values["reroute_ms"].value is None


@pytest.mark.parametrize("error", [ZeroDivisionError("by zero"), KeyError("agent_9"), ValueError("no values")])
def test_a_metric_that_breaks_is_null_with_its_reason(
    error: Exception, storm: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others stand, and the reason names what happened."""

    def broken(_evidence: Evidence) -> Value:
        raise error

    entries = dict(registry()) | {"broken": Metric("broken", "ms", "Breaks.", broken)}
    monkeypatch.setattr(metrics, "registry", lambda: MappingProxyType(entries))
    found = evaluate(storm)
    assert found["broken"].value is None
    assert type(error).__name__ in (found["broken"].reason or "")
    assert found["recovery_ms"].value == 120.0


def test_a_slip_in_the_code_is_not_hidden(storm: Evidence, monkeypatch: pytest.MonkeyPatch) -> None:
    """What only a programming error raises comes through."""

    def slip(_evidence: Evidence) -> Value:
        raise TypeError("a slip")

    entries = MappingProxyType({"slip": Metric("slip", "ms", "Slips.", slip)})
    monkeypatch.setattr(metrics, "registry", lambda: entries)
    with pytest.raises(TypeError):
        evaluate(storm)


def test_the_work_of_an_evaluation_grows_with_the_run_and_no_faster(
    storm_events: Callable[..., list[dict[str, Any]]],
) -> None:
    """All metrics of 120 s with eight tasks a second; of the same storm at half the length, half the calls."""

    def evaluated(duration_s: float) -> tuple[int, int]:
        evidence = Evidence.from_events(storm_events(duration_s=duration_s))
        with counted() as effort:
            found = evaluate(evidence)
        assert isinstance(found["steady_state_ms"].value, float)
        return len(evidence.tasks), effort.calls

    (half, few), (whole, many) = evaluated(60.0), evaluated(120.0)
    assert whole == 920
    assert many / few < 1.3 * whole / half, (few, many)


def test_wilson_is_the_published_interval() -> None:
    """81 of 263 gives [0.2553, 0.3662] (Newcombe 1998, method 3)."""
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_drop_interval_knows_its_extremes() -> None:
    """No success after gives a drop whose interval ends at 1; all successes give one around 0 that is no point."""
    low, high = drop_interval((40, 40), (0, 40))
    assert (high, 0.8 < low < 1) == (1.0, True)
    low, high = drop_interval((240, 240), (240, 240))
    assert -0.02 < low < 0 < high < 0.02
    low, high = drop_interval((1, 40), (1, 40))
    assert low < 0 < high


def test_quantile_interpolates() -> None:
    """Type 7: the p95 of 1 ... 5 lies at rank 3.8; one value is its own quantile; none is an error."""
    assert quantile([5, 1, 4, 2, 3], 0.95) == pytest.approx(4.8)
    assert quantile([7.0], 0.5) == 7.0
    with pytest.raises(ValueError, match="got none"):
        quantile([], 0.5)


def test_spans_add_and_subtract() -> None:
    """Unions are disjoint and ordered, holes split spans, and the empty vanish."""
    assert merged([(3, 4), (1, 2), (2, 2.5), (5, 5)]) == [(1, 2.5), (3, 4)]
    assert minus([(0, 10)], [(2, 3), (9, 12), (-1, 1)]) == [(1, 2), (3, 9)]
    assert minus([(0, 1)], [(0, 1)]) == []
    assert length([(1, 2.5), (3, 4)]) == 2.5


def shortened(event: dict[str, Any], duration_s: float) -> dict[str, Any]:
    """The same line of a run that was planned to last ``duration_s``."""
    return event if event["ev"] != "run_start" else event | {"windows": event["windows"] | {"duration_s": duration_s}}


@pytest.mark.parametrize(("duration_s", "found"), [(11.5, (3500.0, None)), (11.4, (None, 3400.0))])
def test_a_steady_state_whose_hold_does_not_fit_is_censored(duration_s: float, found: tuple[float, float]) -> None:
    """The hold of 2 s must end with the schedule, D before the end: from 3.5 s on it does so at 11.5 s, at 11.4 not."""
    events = [shortened(dict(event), duration_s) for event in load(STORM.with_name("steady.jsonl"))]
    value = registry()["steady_state_ms"].compute(Evidence.from_events(events))
    assert (value.value, value.detail.get("censored_at_ms")) == found


@pytest.mark.parametrize(("failures", "steady"), [(2, True), (3, False)])
def test_two_failures_in_forty_are_within_the_bars(
    failures: int,
    steady: bool,  # noqa: FBT001 - a parameter of the table
    storm_events: Callable[..., list[dict[str, Any]]],
) -> None:
    """A window of 40 tasks may lose max(2 points, 2/n) = 2 of them although 3 would still be 0.9 of the goodput."""
    lost = {f"task_{number:05d}" for number in range(490, 490 + failures)}
    events = [event for event in storm_events(8, ()) if event["ev"] != "answer" or event["task"] not in lost]
    value = registry()["steady_state_ms"].compute(Evidence.from_events(events)).value
    assert (value == 0.0) is steady
