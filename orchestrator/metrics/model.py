"""The model's part: what it was asked and cost, and what it is worth without a mesh around it."""

from collections import Counter

from orchestrator.events.agents import ModelCall
from orchestrator.evidence import Evidence
from orchestrator.metrics.definition import Value, metric, null, spread
from orchestrator.success import best_f1, is_right
from orchestrator.tasks import Task
from orchestrator.workload.document import NO_ANSWER
from orchestrator.workload.grade import is_correct


@metric("count")
def model_calls(evidence: Evidence) -> Value:
    """Calls to a language model over the whole run, one for each step that was reasoned, by how they ended.

    ``ok``, or why there was no answer: ``rate_limited``, ``server_error``, ``timeout``, ``unreachable``, ``cut``,
    ``malformed``, ``refused``, ``unrecorded``. ``attempts`` are the requests sent, retries included; ``fallbacks`` the
    steps that the rules answered instead. ``cost`` is in the currency of ``llm.model.price``; ``ms`` the time of a
    call. All zero where the rules reason (type local).
    """
    calls = evidence.rows(ModelCall)
    outcomes = Counter(call.outcome for call in calls)
    return Value(
        {
            "calls": len(calls),
            "by_outcome": {name: outcomes[name] for name in sorted(outcomes)},
            "attempts": sum(call.attempts for call in calls),
            "fallbacks": sum(call.fallback for call in calls),
            "prompt_tokens": sum(call.prompt_tokens for call in calls),
            "completion_tokens": sum(call.completion_tokens for call in calls),
            "cost": round(sum(call.cost for call in calls), 6),
            "ms": spread([call.ms / 1000 for call in calls]),
        }
    )


@metric("ratio")
def single_process(evidence: Evidence) -> Value:
    """Answers of the mesh beside those of the same model with the whole document in one process; real text only.

    Over the decided tasks of pre, inflight and post: ``agree`` is the share on which both say the same; ``exact`` and
    ``f1`` the worth of the one process by the document's grader, ``mesh_exact`` and ``mesh_f1`` that of the mesh, whose
    unanswered tasks count as wrong.
    """
    tasks = [task for task in evidence.decided("pre", "inflight", "post") if task.plan.success_by == "reference"]
    if not tasks:
        return null("no decided task has the answer of a single process")
    answered = [task for task in tasks if task.commits]
    count = len(tasks)
    return Value(
        {
            "n": count,
            "agree": sum(map(_agrees, answered)) / count,
            "exact": sum(is_right(task.plan, task.plan.reference) for task in tasks) / count,
            "f1": sum(best_f1(task.plan, task.plan.reference) for task in tasks) / count,
            "mesh_exact": sum(is_right(task.plan, task.commits[0].answer) for task in answered) / count,
            "mesh_f1": sum(best_f1(task.plan, task.commits[0].answer) for task in answered) / count,
        },
        detail={"answered": len(answered)},
    )


def _agrees(task: Task) -> bool:
    return is_correct(task.commits[0].answer, task.plan.reference or NO_ANSWER)


@metric("ratio")
def answer_in_evidence(evidence: Evidence) -> Value:
    """Share of the answered tasks whose evidence holds the key: one of its fragments has it as whole words.

    Over the decided tasks of pre, inflight and post whose answer is a span that stands somewhere in the document
    (``n``); in real text alone, where nobody says which fragments are needed.
    """
    tasks = evidence.decided("pre", "inflight", "post")
    known = [task for task in tasks if task.commits and task.plan.sources]
    if not known:
        return null("no answered task has an answer that is known to stand in the document")
    found = sum(any(one in (task.plan.sources or ()) for one in task.commits[0].evidence) for task in known)
    return Value(found / len(known), detail={"n": len(known)})
