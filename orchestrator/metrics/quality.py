"""Whether the questions were answered: rightly, in time, at all."""

from collections.abc import Sequence

from orchestrator.events.conductor import Placement
from orchestrator.evidence import Evidence
from orchestrator.metrics.definition import Value, metric, null, quantile, to_ms
from orchestrator.metrics.proportion import drop_interval, wilson
from orchestrator.tasks import Phase, Task


def succeeded(tasks: tuple[Task, ...]) -> tuple[int, int]:
    """(successes, n)."""
    return sum(task.success for task in tasks), len(tasks)


def _unanswerable(evidence: Evidence, task: Task) -> bool:
    """Whether all holders of a shard that the task needs were struck at one time; raises LookupError without placement.

    A victim that is only weakened still holds what it holds.
    """
    holders = evidence.rows(Placement)[0].holders
    return any(_were_struck_together(evidence, holders[shard]) for shard in task.shards)


def _were_struck_together(evidence: Evidence, nodes: Sequence[str]) -> bool:
    silent = [[outage for outage in evidence.outages.get(node, ()) if not outage.weak] for node in nodes]
    if not all(node in evidence.victims for node in nodes):
        return False
    return any(
        all(any(other.begin <= outage.begin < other.end for other in each) for each in silent)
        for own in silent
        for outage in own
    )


@metric("ratio")
def success_rate_drop(evidence: Evidence) -> Value:
    """(S_pre - S_post)/S_pre, where S is the share of tasks whose graded answer is a success and in its deadline.

    A success is an answer that is right; in real text one that the same model gives without a mesh, or where that
    cannot be known, any answer with evidence (docs/adr/0006).

    The first committed answer counts; an unfinished task failed. pre = [T0-D-W, T0-D), post = [T0, T0+W), by the
    scheduled arrival. ``interval`` is the 95 % interval by variance estimates recovery from the Wilson intervals of
    both shares (Donner and Zou 2012). Null if no task succeeded before. In a control T0 is the planned instant.
    """
    before, after = succeeded(evidence.decided("pre")), succeeded(evidence.decided("post"))
    if not before[1] or not after[1]:
        return null(f"no decided task {'before' if not before[1] else 'after'} T0")
    if not before[0]:
        return null(f"none of {before[1]} tasks succeeded before T0", n_pre=before[1], n_post=after[1])
    drop = 1 - (after[0] / after[1]) / (before[0] / before[1])
    return Value(drop, detail={"interval": list(drop_interval(before, after)), "n_pre": before[1], "n_post": after[1]})


@metric("ratio")
def unavoidable_drop(evidence: Evidence) -> Value:
    """Share of the post tasks that need a shard whose holders were all struck at one time: the data placement's fault.

    A later restart of a holder does not change it.
    """
    tasks = evidence.decided("post")
    if not tasks:
        return null("no decided task after T0")
    lost = sum(_unanswerable(evidence, task) for task in tasks)
    return Value(lost / len(tasks), detail={"unanswerable": lost, "n_post": len(tasks)})


@metric("ratio")
def excess_drop(evidence: Evidence) -> Value:
    """success_rate_drop - unavoidable_drop: the mesh's fault. Negative when unanswerable questions were answered."""
    drop, unavoidable = success_rate_drop.compute(evidence), unavoidable_drop.compute(evidence)
    if isinstance(drop.value, float) and isinstance(unavoidable.value, float):
        return Value(drop.value - unavoidable.value)
    return null(drop.reason or unavoidable.reason or "")


def _share(tasks: tuple[Task, ...]) -> dict[str, float | int | None]:
    good, n = succeeded(tasks)
    if not n:
        return {"n": 0, "correct": 0, "rate": None, "low": None, "high": None}
    low, high = wilson(good, n)
    return {"n": n, "correct": good, "rate": good / n, "low": low, "high": high}


@metric("ratio")
def success(evidence: Evidence) -> Value:
    """Success of each phase: n, correct, rate, and its 95 % Wilson interval.

    pre = [T0-D-W, T0-D), inflight = [T0-D, T0), post = [T0, T0+W), by the scheduled arrival.
    """
    phases: tuple[Phase, ...] = ("pre", "inflight", "post")
    return Value({phase: _share(evidence.decided(phase)) for phase in phases})


@metric("count")
def lost_tasks(evidence: Evidence) -> Value:
    """Tasks that were scheduled and answerable, but have no committed answer, right or wrong, at the end.

    Unanswerable are tasks that were under way or arrived after T0 (from T0-D on) and need a shard whose holders were
    all struck at one time.
    """
    phases: tuple[Phase, ...] = ("warmup", "pre", "inflight", "post", "tail")
    after: tuple[Phase, ...] = ("inflight", "post", "tail")
    lost: dict[str, int] = {}
    scheduled = 0
    for phase in phases:
        tasks = evidence.decided(phase)
        scheduled += len(tasks)
        silent = [task for task in tasks if not task.commits]
        lost[phase] = sum(not (phase in after and _unanswerable(evidence, task)) for task in silent)
    return Value(sum(lost.values()), detail={"by_phase": lost, "scheduled": scheduled})


def _latency(tasks: tuple[Task, ...]) -> dict[str, float | int | None]:
    seen = [task.latency_s for task in tasks if task.latency_s is not None]
    if not seen:
        return {"p50": None, "p95": None, "n": 0, "unanswered": len(tasks)}
    p50, p95 = to_ms(quantile(seen, 0.5)), to_ms(quantile(seen, 0.95))
    return {"p50": p50, "p95": p95, "n": len(seen), "unanswered": len(tasks) - len(seen)}


@metric()
def latency_ms(evidence: Evidence) -> Value:
    """From the scheduled arrival to the first committed answer, right or wrong, in time or late; before and after T0.

    Tasks without any answer have no latency; their number stands beside as ``unanswered``.
    """
    return Value({"pre": _latency(evidence.decided("pre")), "post": _latency(evidence.decided("post"))})
