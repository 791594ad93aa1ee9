"""When the mesh was steady again, and what it cost in retries."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from orchestrator.events.agents import Request
from orchestrator.evidence import Evidence
from orchestrator.metrics.agreement import disagreements
from orchestrator.metrics.definition import Value, metric, null, quantile, to_ms, unstruck
from orchestrator.metrics.goodput import Arrivals, Floats, arrivals, baseline_goodput, no_baseline

_DIGITS = 9
"""A window that is just at its bar passes: 6 of 10 is 0.9 of 2/3, although not in binary fractions."""


@dataclass(frozen=True)
class Bars:
    """What a window must reach to be steady; the constants of METRICS.md."""

    goodput: float = 0.9
    """Least share of the goodput before."""
    latency: float = 1.2
    """Most p95 latency, relative to the one before."""
    success_drop: float = 0.02
    """Most loss of success, absolute ..."""
    failures: float = 2.0
    """... or this many tasks of the window, whichever is more."""
    capacity: float = 1.0
    """Share of goodput and success before that is asked for: 1, or (N-k)/N for what the survivors can do."""


METRICS_BARS = Bars()


def steady_from(evidence: Evidence, bars: Bars = METRICS_BARS) -> float | None:
    """The start of the steady state in s since T0; None when there is none inside the evidence.

    Candidates are T0, each arrival, and each instant at which the survivors came to agree. The first one, t, is taken
    for which the survivors agree all through [t, t+hold], at least one window starts in it, and every window [a, a+w)
    that starts at an arrival a and lies inside [t, t+hold] passes the bars. Raises ValueError without a baseline.
    """
    seen = arrivals(evidence)
    width_s, hold_s = evidence.windows.steady_window_s, evidence.windows.steady_hold_s
    disagreed = np.array(disagreements(evidence), dtype=np.float64).reshape(-1, 2)
    candidates = np.unique(np.concatenate([[0.0], seen.at, disagreed[:, 1]]))
    latest = round(evidence.arrivals_end_s - hold_s, 6)
    candidates = candidates[(candidates >= 0) & (candidates <= latest)]
    last_start = np.round(candidates + (hold_s - width_s), 6)
    bad = seen.at[~_passing(evidence, seen, bars)]
    # Closed at both ends: a bad window that starts at the last possible instant is still inside.
    bad_inside = np.searchsorted(bad, last_start, side="right") - np.searchsorted(bad, candidates, side="left")
    starts = np.searchsorted(seen.at, last_start, side="right") - np.searchsorted(seen.at, candidates, side="left")
    # Disagreements are disjoint and ordered: those ended by t cannot touch [t, t+hold], the next one may.
    ended = np.searchsorted(disagreed[:, 1], candidates, side="right")
    begun = np.searchsorted(disagreed[:, 0], np.round(candidates + hold_s, 6), side="right")
    steady = candidates[(bad_inside == 0) & (starts > 0) & (ended == begun)]
    return float(steady[0]) if len(steady) else None


def _passing(evidence: Evidence, seen: Arrivals, bars: Bars) -> np.typing.NDArray[np.bool_]:
    """Whether the window that starts at each arrival passes the bars."""
    baseline = bars.capacity * baseline_goodput(evidence)
    before = [task.latency_s for task in evidence.decided("pre") if task.latency_s is not None]
    slowest_s = round(bars.latency * quantile(before, 0.95), _DIGITS)
    n, good = seen.between(seen.at, seen.at + evidence.windows.steady_window_s)
    rate = np.round(good / np.maximum(n, 1), _DIGITS)
    enough = rate >= round(bars.goodput * baseline, _DIGITS)
    least = baseline - np.maximum(bars.success_drop, bars.failures / np.maximum(n, 1))
    reliable = rate >= np.round(least, _DIGITS)
    return enough & reliable & (np.round(_p95(seen, n), _DIGITS) <= slowest_s)


def _p95(seen: Arrivals, n: np.typing.NDArray[np.int64]) -> Floats:
    """The p95 latency of the n tasks from each arrival on; infinite when none of them was answered."""
    latencies = [task.latency_s for task in seen.tasks]
    answered = np.array([latency for latency in latencies if latency is not None], dtype=np.float64)
    # Where the answered among the first i tasks end, so that a window is a slice of them and needs no copy.
    ends = np.cumsum([0, *(latency is not None for latency in latencies)])
    first = np.arange(len(latencies))
    bounds = zip(ends[first].tolist(), ends[first + n].tolist(), strict=True)
    found = (np.quantile(answered[low:high], 0.95) if low < high else np.inf for low, high in bounds)
    return np.array([float(p95) for p95 in found], dtype=np.float64)


def _before_storm(evidence: Evidence) -> str | None:
    return None if evidence.is_control else unstruck(evidence)


@metric()
def steady_state_ms(evidence: Evidence) -> Value:
    """Earliest t after T0 from which the mesh is as good as before for ``steady_hold_s``, minus T0.

    In every steady-state window [a, a+w) that starts at an arrival and lies inside [t, t+hold]: goodput g at least
    0.9 g_pre, p95 latency at most 1.2 times that of the pre phase, success at least pre - max(2 points, 2/n); and all
    survivors agree, rightly, on who is alive throughout. t is T0, an arrival, or the instant of agreement. Latency is
    that of answered tasks, late ones included; the unanswered weigh on g and success. ``against_capacity_ms``
    asks for (N-k)/N of g and success only. In a control: what calm looks like, from the planned T0 on.
    """
    if reason := _before_storm(evidence) or no_baseline(evidence):
        return null(reason)
    capacity = 1 - len(evidence.victims) / len(evidence.agents)
    full, reduced = steady_from(evidence), steady_from(evidence, Bars(capacity=capacity))
    latest_s = evidence.arrivals_end_s - evidence.windows.steady_hold_s
    detail: dict[str, float | None] = {"against_capacity_ms": None if reduced is None else to_ms(reduced)}
    if full is None:
        detail["censored_at_ms"] = max(0.0, to_ms(latest_s))
    if full is not None:
        return Value(to_ms(full), detail=detail)
    hold = f"{evidence.windows.steady_hold_s:g} s"
    if latest_s < 0:
        return null(f"the evidence ends before {hold} of steady state could be seen", **detail)
    return null(f"not steady for {hold} until the tasks ended", **detail)


@metric("ratio")
def retry_amplification(evidence: Evidence) -> Value:
    """Attempts per task after T0 over attempts per task before; an attempt belongs to the arrival of its task.

    ``before`` is the attempts per task of the pre phase; ``peak`` the highest ratio of a steady-state window that
    starts at an arrival after T0; ``after_steady`` the ratio of all tasks from the steady state on, null without one:
    above 1 there, the mesh is metastable.
    """
    if reason := _before_storm(evidence):
        return null(reason)
    attempts = Counter(row.task for row in evidence.rows(Request))
    seen = arrivals(evidence)
    made_before = np.cumsum([0, *(attempts[task.task] for task in seen.tasks)], dtype=np.int64)
    pre = evidence.decided("pre")
    before = sum(attempts[task.task] for task in pre) / len(pre) if pre else 0.0
    if not before:
        return null("no request was sent for a task before T0")
    width_s, end_s = evidence.windows.steady_window_s, evidence.arrivals_end_s
    whole = (seen.at >= 0) & (np.round(seen.at + width_s, 6) <= end_s)
    first = np.flatnonzero(whole)
    n, _ = seen.between(seen.at[first], seen.at[first] + width_s)
    per_task = (made_before[first + n] - made_before[first]) / np.maximum(n, 1)
    since = None if no_baseline(evidence) else steady_from(evidence)
    calm = [attempts[task.task] for task in seen.tasks if since is not None and task.arrival >= since]
    return Value(
        {
            "before": before,
            "peak": float(per_task.max()) / before if len(per_task) else None,
            "after_steady": sum(calm) / len(calm) / before if calm else None,
        }
    )
