"""What the answers were worth, apart from when they came: their words, and the evidence behind them."""

from orchestrator.evidence import Evidence
from orchestrator.metrics.definition import Value, metric, null
from orchestrator.success import best_f1, is_right
from orchestrator.workload.grade import evidence_recall as recall_of


@metric("ratio")
def answer_f1(evidence: Evidence) -> Value:
    """Mean F1 over the words of the first answers, as in the HotpotQA evaluation, in time or late.

    Over the decided tasks of pre, inflight and post that have an answer; ``answered`` of ``n`` have. Beside it the
    shares of these answers that the document's grader finds right (``exact``) and that came by their deadline
    (``in_time``). Where a key has aliases, the best of them counts.
    """
    tasks = evidence.decided("pre", "inflight", "post")
    answered = [task for task in tasks if task.commits]
    if not answered:
        return null("no decided task was answered")
    count = len(answered)
    f1 = sum(best_f1(task.plan, task.commits[0].answer) for task in answered)
    exact = sum(is_right(task.plan, task.commits[0].answer) for task in answered)
    due_s = evidence.windows.task_deadline_s
    in_time = sum(task.latency_s is not None and task.latency_s <= due_s for task in answered)
    detail = {"answered": count, "n": len(tasks), "exact": exact / count, "in_time": in_time / count}
    return Value(f1 / count, detail=detail)


@metric("ratio")
def evidence_recall(evidence: Evidence) -> Value:
    """Mean share of the needed fragments that the first answer names as its evidence, in time or late.

    Over the answered tasks of pre, inflight and post whose needed fragments the document knows (``n``).
    """
    tasks = evidence.decided("pre", "inflight", "post")
    recalls = [recall_of(task.commits[0].evidence, task.fragments) for task in tasks if task.commits]
    known = [recall for recall in recalls if recall is not None]
    if not known:
        return null("no answered task has fragments that are known to be needed")
    return Value(sum(known) / len(known), detail={"n": len(known)})
