"""The curve of correct answers, and how deep and how long it dipped."""

from math import ceil, floor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from orchestrator.evidence import Evidence
from orchestrator.metrics.definition import Value, metric, null
from orchestrator.metrics.quality import succeeded
from orchestrator.tasks import Task

Floats = NDArray[np.float64]
_POINTS_PER_WINDOW = 5


def no_baseline(evidence: Evidence) -> str | None:
    """Why nothing can be compared with the time before T0; None when it can."""
    good, n = succeeded(evidence.decided("pre"))
    return None if good else f"none of {n} tasks succeeded before T0"


def baseline_goodput(evidence: Evidence) -> float:
    """g_pre: the share of pre tasks answered correctly in time; raises ValueError if there is none."""
    if reason := no_baseline(evidence):
        raise ValueError(reason)
    good, n = succeeded(evidence.decided("pre"))
    return good / n


class Arrivals(NamedTuple):
    """The decided tasks in the order of arrival, as columns."""

    tasks: tuple[Task, ...]
    at: Floats
    """Arrival, s since T0."""
    good_before: NDArray[np.int64]
    """Number of successes among the first i tasks; one longer than the others."""

    def between(self, begin: Floats, end: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(tasks, successes) of the tasks that arrive in [begin, end), elementwise."""
        # The journal resolves microseconds; sums of such numbers must meet again.
        low = np.searchsorted(self.at, np.round(begin, 6), side="left")
        high = np.searchsorted(self.at, np.round(end, 6), side="left")
        return high - low, self.good_before[high] - self.good_before[low]


def arrivals(evidence: Evidence) -> Arrivals:
    """The decided tasks of all phases."""
    tasks = evidence.decided("warmup", "pre", "inflight", "post", "tail")
    good = np.cumsum([0, *(task.success for task in tasks)], dtype=np.int64)
    return Arrivals(tasks, np.array([task.arrival for task in tasks], dtype=np.float64), good)


@metric("ratio")
def goodput(evidence: Evidence) -> Value:
    """Goodput before the storm (``baseline``) and as a ``curve`` of [t_s, g], t_s in seconds since T0.

    g(t) = correct in-deadline answers to the tasks scheduled in the steady-state window that ends at t, [t-w, t), over
    the tasks scheduled in it. It looks back; what dips before T0 are the tasks that were under way then. Points come
    five a window, from t0 on; a window without a task has none. The baseline is the success of the pre phase.
    """
    seen = arrivals(evidence)
    width_s = evidence.windows.steady_window_s
    step_s = width_s / _POINTS_PER_WINDOW
    first, last = ceil((evidence.t0_s + width_s) / step_s), floor(evidence.arrivals_end_s / step_s)
    at = np.round(np.arange(first, last + 1) * step_s, 6)
    n, good = seen.between(at - width_s, at)
    before = succeeded(evidence.decided("pre"))
    return Value(
        {
            "baseline": before[0] / before[1] if before[1] else None,
            "window_s": width_s,
            "curve": [[float(t), int(g) / int(m)] for t, m, g in zip(at, n, good, strict=True) if m],
        }
    )


def _losses(evidence: Evidence) -> tuple[Floats, Floats]:
    """Widths in s, and max(0, 1 - g/g_pre) over them, of the stretches from T0 on in which g does not change."""
    baseline = baseline_goodput(evidence)
    seen = arrivals(evidence)
    width_s, end_s = evidence.windows.steady_window_s, evidence.arrivals_end_s
    edges = np.unique(np.round(np.concatenate([[0.0, end_s], seen.at, seen.at + width_s]), 6))
    edges = edges[(edges >= 0) & (edges <= end_s)]
    middles = (edges[:-1] + edges[1:]) / 2
    n, good = seen.between(middles - width_s, middles)
    # No task, no loss: nothing can be said about an empty window.
    loss = np.where(n > 0, 1 - good / np.maximum(n, 1) / baseline, 0.0)
    return np.diff(edges), np.maximum(loss, 0.0)


@metric()
def degradation_area_s(evidence: Evidence) -> Value:
    """Integral of max(0, 1 - g/g_pre) dt from T0 to the last arrival: seconds of work lost.

    g looks back over one steady-state window, as in ``goodput``; the integral is exact, not sampled.
    """
    if reason := no_baseline(evidence):
        return null(reason)
    widths, losses = _losses(evidence)
    return Value(float(widths @ losses)) if len(widths) else null("no task was decided after T0")


@metric("ratio")
def depth(evidence: Evidence) -> Value:
    """The deepest dip: the maximum of max(0, 1 - g/g_pre) from T0 to the last arrival; 1 is a standstill."""
    if reason := no_baseline(evidence):
        return null(reason)
    _, losses = _losses(evidence)
    return Value(float(losses.max())) if len(losses) else null("no task was decided after T0")
