"""The third step: turn supporting sentences into (subject, relation, object), pronouns resolved."""

from collections.abc import Iterator

from agent.tools.contract import Lookup, Sentence, StepPayload, Tool, Triple
from agent.tools.grammar import read_sentence
from agent.tools.open_text import spans_of

_CONTEXT = 100


class TripleInput(StepPayload):
    """The sentences to read."""

    sentences: tuple[Sentence, ...]


class TripleOutput(StepPayload):
    """Every fact that the sentences state, about whomever, in their order."""

    triples: tuple[Triple, ...]


async def run(request: TripleInput, _lookup: Lookup) -> TripleOutput:
    """Read each sentence; one that states nothing yields nothing."""
    return TripleOutput(triples=tuple(triple for sentence in request.sentences for triple in _read(sentence)))


def _read(sentence: Sentence) -> Iterator[Triple]:
    facts = list(read_sentence(sentence.text, sentence.title))
    for fact in facts:
        yield Triple(subject=fact.subject, relation=fact.relation, object=fact.object, fragment_id=sentence.fragment_id)
    if facts:
        return
    for _, span in spans_of(sentence.text):
        before, _, after = sentence.text.partition(span)
        relation = f"{before[-_CONTEXT:]}_{after[:_CONTEXT]}"
        yield Triple(subject=sentence.title, relation=relation, object=span, fragment_id=sentence.fragment_id)


TOOL = Tool(
    "triple",
    "Turns sentences into facts of subject, relation and object.",
    stage=30,
    request=TripleInput,
    result=TripleOutput,
    run=run,
)
