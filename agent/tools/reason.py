"""The last step: chain triples from the question's anchor to its answer, or weigh them where no chain is asked for."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from agent.tools.contract import Lookup, StepPayload, Tool, Triple
from agent.tools.grammar import Inquiry, parse_question
from agent.tools.open_reason import weigh
from agent.tools.relations import OTHER_NAME, RELATIONS

KNOWN = frozenset(relation.name for relation in RELATIONS)
"""The relations of the lexicon; any other one is a sentence of natural language."""


class ReasonInput(StepPayload):
    """What is asked, and the facts at hand."""

    question: str
    triples: tuple[Triple, ...]


class ReasonOutput(StepPayload):
    """The answer and the triples it follows from.

    In the language of the lexicon one a hop; without an answer, the chain as far as it goes. In natural language the
    triple that has the answer, then the best one of each other fragment that was weighed.
    """

    answer: str | None
    chain: tuple[Triple, ...]


@runtime_checkable
class Thinker(Protocol):
    """Surroundings of a step that have something of their own to reason with: a language model, for instance."""

    async def conclude(self, request: ReasonInput) -> ReasonOutput:
        """Answer the question from the facts at hand."""


async def run(request: ReasonInput, lookup: Lookup) -> ReasonOutput:
    """Have the question answered by the agent's model, where there is none by rules."""
    return await lookup.conclude(request) if isinstance(lookup, Thinker) else conclude(request)


def conclude(request: ReasonInput) -> ReasonOutput:
    """Follow the question's relations; a hop without a triple leaves the question unanswered."""
    inquiry = parse_question(request.question)
    stated = [triple for triple in request.triples if triple.relation in KNOWN]
    if inquiry is not None and (stated or not request.triples):
        return _follow(inquiry, stated)
    answer, chain = weigh(request.question, request.triples)
    return ReasonOutput(answer=answer, chain=tuple(chain))


def _follow(inquiry: Inquiry, triples: Sequence[Triple]) -> ReasonOutput:
    chain: list[Triple] = []
    subject = inquiry.anchor
    for relation in inquiry.chain:
        step = _stated_of(subject, relation, triples)
        proper = _stated_of(subject, OTHER_NAME.name, triples)
        if step is None and proper is not None:
            chain.append(proper)
            step = _stated_of(proper.object, relation, triples)
        if step is None:
            return ReasonOutput(answer=None, chain=tuple(chain))
        chain.append(step)
        subject = step.object
    return ReasonOutput(answer=subject, chain=tuple(chain))


def _stated_of(subject: str, relation: str, triples: Sequence[Triple]) -> Triple | None:
    return next((fact for fact in triples if (fact.subject, fact.relation) == (subject, relation)), None)


TOOL = Tool(
    "reason",
    "Answers a question from facts, and names those that the answer follows from.",
    stage=40,
    request=ReasonInput,
    result=ReasonOutput,
    run=run,
)
