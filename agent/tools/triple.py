"""The third step: turn supporting sentences into (subject, relation, object), pronouns resolved."""

from agent.tools.contract import Lookup, Sentence, StepPayload, Tool, Triple
from agent.tools.grammar import read_sentence


class TripleInput(StepPayload):
    """The sentences to read."""

    sentences: tuple[Sentence, ...]


class TripleOutput(StepPayload):
    """Every fact that the sentences state, about whomever, in their order."""

    triples: tuple[Triple, ...]


async def run(request: TripleInput, _lookup: Lookup) -> TripleOutput:
    """Read each sentence; one that states nothing yields nothing."""
    return TripleOutput(
        triples=tuple(
            Triple(subject=fact.subject, relation=fact.relation, object=fact.object, fragment_id=sentence.fragment_id)
            for sentence in request.sentences
            for fact in read_sentence(sentence.text, sentence.title)
        )
    )


TOOL = Tool("triple", stage=30, request=TripleInput, result=TripleOutput, run=run)
