"""Takes the numbers that are compared out of the results of single runs, censored and missing ones included."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from orchestrator.compare.plan import Slot
from orchestrator.compare.state import Finished
from orchestrator.report_content import SPECIFIED

Status = Literal["counted", "censored", "starved", "missing", "excluded"]
_TIME_UNITS = ("ms", "s")


@dataclass(frozen=True)
class Measure:
    """A number to compare: a metric, or an entry of one (``reroute_ms.first``)."""

    name: str
    unit: str
    counts_all: bool = True
    """False for what is taken over what was found alone: it says nothing where something was never found."""

    @property
    def is_time(self) -> bool:
        """Whether a starved host spoils it."""
        return self.unit in _TIME_UNITS

    @property
    def is_headline(self) -> bool:
        """Whether it is one of the specification's five, which are tested."""
        return self.name in SPECIFIED


MEASURES = (
    Measure("recovery_ms", "ms"),
    Measure("reroute_ms.first", "ms"),
    Measure("reroute_ms.p50", "ms"),
    Measure("reconnect_ms.first", "ms"),
    Measure("reconnect_ms.p50", "ms"),
    Measure("steady_state_ms", "ms"),
    Measure("bytes_reconnect", "bytes"),
    Measure("bytes_excess", "bytes"),
    Measure("success_rate_drop", "ratio"),
    Measure("excess_drop", "ratio"),
    Measure("duplicate_work_ratio", "ratio"),
    Measure("redundant", "ratio"),
    Measure("duplicate_effects", "count"),
    Measure("detection_ms.first", "ms"),
    Measure("detection_ms.p50", "ms", counts_all=False),
    Measure("detection_ms.last", "ms", counts_all=False),
    Measure("agreement_ms", "ms"),
    Measure("false_suspicions.count", "count"),
    Measure("lost_tasks", "count"),
    Measure("degradation_area_s", "s"),
    Measure("depth", "ratio"),
    Measure("mttr_ms", "ms"),
    Measure("liveness_cost_bytes_per_s", "bytes/s"),
    Measure("latency_ms.pre.p50", "ms"),
    Measure("broadcast_ms", "ms"),
    Measure("harness_floor_ms", "ms"),
)
"""What is compared, in the order of the tables."""
TIMED = ("recovery_ms", "reroute_ms.first", "reconnect_ms.first", "steady_state_ms")
"""Times that may not come before the end: these have a survival curve and a log-rank test."""


@dataclass(frozen=True)
class Observation:
    """One measure of one run."""

    seed: int
    status: Status
    value: float | None = None
    """The number; of a censored time, how long it was waited for in vain. There for starved runs too, to be shown."""
    reason: str = ""
    """Why it is not counted."""

    @property
    def counts(self) -> bool:
        """Whether it enters medians and tests."""
        return self.status in ("counted", "censored")


def observe(measure: Measure, slot: Slot, run: Finished) -> Observation:
    """Read one measure; never fails, what is not there is missing with its reason."""
    content = run.content
    metric, _, _ = measure.name.partition(".")
    if (why := exclusion(content)) is not None:
        return Observation(slot.seed, "excluded", reason=why)
    value = _walk(content, measure.name)
    end = content.get("details", {}).get(metric, {}).get("censored_at_ms")
    never = value is None or not measure.counts_all
    status: Status = "counted"
    if never and isinstance(end, int | float):
        status, value = "censored", float(end)
    if value is None:
        reason = content.get("reasons", {}).get(metric) or f"the results have no {measure.name}"
        return Observation(slot.seed, "missing", reason=reason)
    if measure.is_time and content["starved"]:
        return Observation(slot.seed, "starved", value, "the host was too busy for its times to count")
    return Observation(slot.seed, status, value)


def exclusion(content: Mapping[str, Any]) -> str | None:
    """Why a run counts for nothing: its verdict and the reasons; None for a valid one."""
    verdict = content["verdict"]
    if verdict["status"] == "valid":
        return None
    return f"{verdict['status']}: {'; '.join(verdict['reasons']) or 'no reason given'}"


def _walk(content: Mapping[str, Any], name: str) -> float | None:
    found: Any = content
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None
