"""The last step: chain triples from the question's anchor to its answer."""

from agent.tools.contract import Lookup, StepPayload, Tool, Triple
from agent.tools.grammar import parse_question


class ReasonInput(StepPayload):
    """What is asked, and the facts at hand."""

    question: str
    triples: tuple[Triple, ...]


class ReasonOutput(StepPayload):
    """The answer and the triples it follows from, one a hop; without an answer, the chain as far as it goes."""

    answer: str | None
    chain: tuple[Triple, ...]


async def run(request: ReasonInput, _lookup: Lookup) -> ReasonOutput:
    """Follow the question's relations; a hop without a triple leaves the question unanswered."""
    inquiry = parse_question(request.question)
    if inquiry is None:
        return ReasonOutput(answer=None, chain=())
    chain: list[Triple] = []
    subject = inquiry.anchor
    for relation in inquiry.chain:
        step = next((fact for fact in request.triples if (fact.subject, fact.relation) == (subject, relation)), None)
        if step is None:
            return ReasonOutput(answer=None, chain=tuple(chain))
        chain.append(step)
        subject = step.object
    return ReasonOutput(answer=subject, chain=tuple(chain))


TOOL = Tool("reason", stage=40, request=ReasonInput, result=ReasonOutput, run=run)
