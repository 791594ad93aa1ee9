"""Whether a run may be believed: its assumptions, checked one by one."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import fisher_exact

from orchestrator.events.conductor import (
    Abort,
    AgentLost,
    Death,
    EdgeCheck,
    FaultCall,
    FaultDone,
    FaultFailed,
    HealCall,
    HealDone,
    Interrupted,
    KillCall,
)
from orchestrator.evidence import Evidence
from orchestrator.metrics import Value
from orchestrator.metrics.quality import succeeded
from orchestrator.timeline import BASELINE_TASKS, BASELINE_TASKS_LEAST

BASELINE_SUCCESS = 0.95
HALVES_DIFFER = 0.05
CHANCE = 0.05
STARVED_LAG_MS = 50.0
STARVED_CPU_PERCENT = 70.0
_SIGKILL = 9


@dataclass(frozen=True)
class Verdict:
    """``valid``, ``invalid`` (an assumption broke) or ``unknown`` (the lab could not tell), and why."""

    status: Literal["valid", "invalid", "unknown"]
    reasons: tuple[str, ...]
    """One sentence each; empty when the run is valid."""
    tags: tuple[str, ...]
    """``partial``, ``control``, ``scaled``, ``idle_at_kill``, ``starved``: what to know before comparing the run."""


def judge(evidence: Evidence, values: Mapping[str, Value]) -> Verdict:
    """Judge a run by METRICS.md, Validity; ``values`` are its evaluated metrics.

    A partial run is unknown whatever else is found, since the rest may only be missing; otherwise a broken
    assumption makes it invalid, and evidence that is missing makes it unknown.
    """
    broken = [*_baseline(evidence), *_fault(evidence), *_lab(evidence, values)]
    unclear = list(_unclear(evidence, values))
    if evidence.is_control:
        broken += _disturbed(evidence, values)
    reasons = tuple(dict.fromkeys([*unclear, *broken]))
    tags = tuple(_tags(evidence, values))
    if evidence.partial:
        return Verdict("unknown", reasons, tags)
    if broken:
        return Verdict("invalid", reasons, tags)
    return Verdict("unknown" if unclear else "valid", reasons, tags)


def _baseline(evidence: Evidence) -> Iterator[str]:
    tasks = evidence.decided("pre")
    good, n = succeeded(tasks)
    least = max(BASELINE_TASKS_LEAST, BASELINE_TASKS * min(1.0, evidence.windows.scale))
    if n < least:
        yield f"the baseline has {n} tasks, expected at least {least:g}"
    if n and good / n < BASELINE_SUCCESS:
        yield f"the baseline's success is {good / n:.1%}, expected at least {BASELINE_SUCCESS:.0%}"
    middle = -evidence.windows.task_deadline_s - evidence.windows.rate_window_s / 2
    first = succeeded(tuple(task for task in tasks if task.arrival < middle))
    second = succeeded(tuple(task for task in tasks if task.arrival >= middle))
    if first[1] and second[1]:
        before, after = first[0] / first[1], second[0] / second[1]
        table = np.array([[good, n - good] for good, n in (first, second)])
        if abs(before - after) > HALVES_DIFFER and fisher_exact(table).pvalue < CHANCE:
            yield f"the baseline is not stationary: success {before:.1%} in its first half, {after:.1%} in its second"


def _fault(evidence: Evidence) -> Iterator[str]:
    killed = {row.victim for row in evidence.rows(KillCall)}
    called = killed | {row.victim for row in evidence.rows(FaultCall)}
    deaths = {row.victim: row for row in reversed(evidence.rows(Death))}
    failed = {row.victim: row.reason for row in evidence.rows(FaultFailed)}
    lost = {row.victim: row.status for row in evidence.rows(AgentLost)}
    for victim in evidence.run.victims:
        if victim not in called and victim not in failed and not evidence.rows(Abort):
            yield f"{victim} was to be killed, but no kill was called"
    yield from _unproven(evidence, failed)
    for victim in (name for name in evidence.victims if name in killed):
        if victim not in deaths and victim not in failed:
            yield f"the kill of {victim} has no proof of death"
        elif victim in deaths and deaths[victim].signal not in {None, _SIGKILL}:
            yield f"{victim} ended by signal {deaths[victim].signal}, not by the kill"
    for victim, reason in failed.items():
        yield f"the fault on {victim} did not land: {reason}"
    for node, status in lost.items():
        yield f"{node} ended without being killed (status {status})"


def _unproven(evidence: Evidence, failed: Mapping[str, str]) -> Iterator[str]:
    """Faults other than the kill of which nobody proved that they landed, or that they were healed."""
    landed = Counter((row.victim, row.fault) for row in evidence.rows(FaultDone))
    struck = Counter((row.victim, row.fault) for row in evidence.rows(FaultCall))
    for (victim, fault), count in struck.items():
        if victim not in failed and landed[victim, fault] < count:
            yield f"the {fault} of {victim} has no proof that it landed"
    healed = Counter((row.victim, row.fault) for row in evidence.rows(HealDone))
    to_heal = Counter((row.victim, row.fault) for row in evidence.rows(HealCall) if row.fault is not None)
    for (victim, name), count in to_heal.items():
        if victim not in failed and healed[victim, name] < count:
            yield f"{victim} was not healed of the {name}"


def _lab(evidence: Evidence, values: Mapping[str, Value]) -> Iterator[str]:
    for check in evidence.rows(EdgeCheck):
        for sender, receiver, reason in check.failed:
            yield f"the edge {sender} to {receiver} did not deliver before the start: {reason}"
    unclassified = values["bytes_unclassified"].value
    if unclassified:
        yield f"{unclassified} bytes have no class, expected 0"


def _unclear(evidence: Evidence, values: Mapping[str, Value]) -> Iterator[str]:
    if evidence.partial:
        interrupted = [row.reason for row in evidence.rows(Interrupted)]
        yield f"the run broke off: {interrupted[0] if interrupted else 'the orchestrator wrote no end'}"
    for called_off in evidence.rows(Abort):
        yield f"the storm was called off: {called_off.reason}"
    if not evidence.rows(EdgeCheck):
        yield "no edge check was recorded"
    if evidence.malformed:
        yield f"{len(evidence.malformed)} journal lines lack promised fields, the first: {evidence.malformed[0]}"
    if evidence.is_control:
        for name in ("success_rate_drop", "duplicate_work_ratio"):
            if values[name].value is None:
                yield f"{name} of the control is unknown: {values[name].reason}"


def _disturbed(evidence: Evidence, values: Mapping[str, Value]) -> Iterator[str]:
    """Whatever a control must not show."""
    if evidence.victims:
        yield f"a control, but {', '.join(evidence.victims)} was killed"
    suspicions = values["false_suspicions"].value
    if isinstance(suspicions, dict) and suspicions["count"]:
        yield f"a control with {suspicions['count']} suspicions, expected none"
    for name in ("duplicate_work_ratio", "duplicate_effects"):
        if values[name].value:
            yield f"a control with {name} {values[name].value:.3g}, expected 0"
    interval = values["success_rate_drop"].detail.get("interval")
    if interval is not None and not interval[0] <= 0 <= interval[1]:
        yield f"a control whose success_rate_drop interval [{interval[0]:.3f}, {interval[1]:.3f}] excludes 0"


def _tags(evidence: Evidence, values: Mapping[str, Value]) -> Iterator[str]:
    if evidence.partial:
        yield "partial"
    if evidence.is_control:
        yield "control"
    if evidence.windows.scale < 1:
        yield "scaled"
    if values["inflight_on_victims"].value == 0:
        yield "idle_at_kill"
    lag, cpu = values["loop_lag_ms"].value, values["cpu_percent"].value
    slow = isinstance(lag, dict) and (lag["baseline"]["p99"] or 0.0) > STARVED_LAG_MS
    busy = isinstance(cpu, dict) and (cpu["baseline"]["mean"] or 0.0) > STARVED_CPU_PERCENT
    if slow or busy:
        yield "starved"
