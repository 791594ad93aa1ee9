"""Work that was done, and answers that were given, more than once."""

from collections import Counter

from orchestrator.events.agents import StepDone, StepStart
from orchestrator.evidence import Evidence
from orchestrator.metrics.definition import Value, metric, null
from orchestrator.tasks import Phase

_EXPOSED: tuple[Phase, ...] = ("inflight", "post", "tail")


def _exposed(evidence: Evidence) -> frozenset[str]:
    """Tasks that the storm could touch: arriving from T0-D on."""
    return frozenset(task.task for task in evidence.tasks if task.phase in _EXPOSED)


def _starts(evidence: Evidence) -> Counter[tuple[str, str]]:
    exposed = _exposed(evidence)
    return Counter((row.task, row.step) for row in evidence.rows(StepStart) if row.task in exposed)


def _beyond_first(executions: Counter[tuple[str, str]]) -> int:
    return sum(count - 1 for count in executions.values())


@metric()
def duplicate_work_ratio(evidence: Evidence) -> Value:
    """Sum of max(0, starts - 1) over sum of starts of each (task_id, step_id), for tasks arriving from T0-D on.

    A step that a victim began and a survivor began again is one duplicate of two starts, finished or not.
    """
    starts = _starts(evidence)
    total = starts.total()
    if not total:
        return null("no step was started for a task arriving from T0-D on")
    return Value(_beyond_first(starts) / total, detail={"duplicates": _beyond_first(starts), "starts": total})


@metric("ratio")
def redundant(evidence: Evidence) -> Value:
    """Executions of a step beyond the first that ended well, over all starts of duplicate_work_ratio: pure waste."""
    total = _starts(evidence).total()
    if not total:
        return null("no step was started for a task arriving from T0-D on")
    exposed = _exposed(evidence)
    done = Counter((row.task, row.step) for row in evidence.rows(StepDone) if row.ok and row.task in exposed)
    return Value(_beyond_first(done) / total, detail={"executions": _beyond_first(done), "starts": total})


@metric("count")
def duplicate_effects(evidence: Evidence) -> Value:
    """Tasks arriving from T0-D on whose answer was committed more than once."""
    return Value(sum(len(task.commits) > 1 for task in evidence.tasks if task.phase in _EXPOSED))
