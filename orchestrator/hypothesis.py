"""The steady-state hypothesis: those bounds of ``expect`` that the baseline must keep before there may be a storm."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from orchestrator.evidence import Evidence
from orchestrator.expectation import Expectation, entry
from orchestrator.journal import Event, JournalTail
from orchestrator.metrics import registry
from orchestrator.windows import Windows

_SETTLED_BEFORE = ("pre", "baseline", "before")
"""Entries of metrics that nothing after the storm can change: ``success.pre.rate``, ``cpu_percent.baseline.mean``."""
_LEAD_S, _LEAD_SHARE = 1.0, 0.25

Kept = tuple[str, str, float | None, bool]
"""(name, bound, value, whether it is kept) as journaled."""


def is_settled_before(name: str) -> bool:
    """Whether the storm comes too late to change the number that this key of ``expect`` names."""
    return any(part in _SETTLED_BEFORE for part in name.split(".")[1:])


def lead_s(windows: Windows) -> float:
    """How long before the storm the baseline is looked at: 1 s, and at most a quarter of the task deadline."""
    return min(_LEAD_S, _LEAD_SHARE * windows.task_deadline_s)


def check(run_dir: Path, bounds: Mapping[str, Expectation], now_s: float) -> list[Kept]:
    """Measure the baseline by the journals as they are, as if the run broke off at ``now_s`` (journal time).

    The definitions are those of the report; tasks whose deadline has not passed count for nothing yet. Raises LabError
    when there is no run in the journals.
    """
    return judge(JournalTail(run_dir).read_new(), bounds, now_s)


def judge(events: Iterable[Event], bounds: Mapping[str, Expectation], now_s: float) -> list[Kept]:
    """The same from the events themselves; pure."""
    so_far = [event for event in events if float(str(event["t"])) <= now_s]
    end: Event = {"t": now_s, "node": "orchestrator", "inc": 0, "ev": "interrupted", "reason": "not over yet"}
    evidence = Evidence.from_events([*so_far, end])
    metrics = registry()
    kept = []
    for name, bound in bounds.items():
        metric = metrics.get(name.partition(".")[0])
        found = None if metric is None else metric.compute(evidence).value
        value = entry({name.partition(".")[0]: found}, name)
        kept.append((name, str(bound), value, bound.check(value)))
    return kept
