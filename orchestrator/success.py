"""What counts as a success of the mesh: the answer to a task, measured by what its run was told to measure it by."""

from orchestrator.events.agents import Answer
from orchestrator.events.conductor import Scheduled
from orchestrator.workload.document import NO_ANSWER
from orchestrator.workload.grade import grade, is_correct, token_f1


def is_success(plan: Scheduled, answer: Answer) -> bool:
    """Whether this answer, were it in time, is a success of the mesh (docs/adr/0006).

    By the ``key``: it is right. By the ``reference``: it is right, or what the same model says with the whole document
    in one process. By being ``answered``: there is an answer, with evidence.
    """
    match plan.success_by:
        case "answered":
            return answer.answer is not None and bool(answer.evidence)
        case "reference":
            return is_right(plan, answer.answer) or is_correct(answer.answer, plan.reference or NO_ANSWER)
        case "key":
            return is_right(plan, answer.answer)


def is_right(plan: Scheduled, answer: str | None) -> bool:
    """Whether the document's grader finds the answer equal to the key or one of its aliases."""
    return any(grade(plan.grader, answer, key) for key in (plan.answer, *plan.aliases))


def best_f1(plan: Scheduled, answer: str | None) -> float:
    """F1 over words, the best over the key and its aliases, as in the MuSiQue evaluation."""
    return max(token_f1(answer, key) for key in (plan.answer, *plan.aliases))
