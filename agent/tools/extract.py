"""The second step: pick from the fragments the sentences whose wording bears on the question."""

from agent.fragments import Fragment
from agent.tools.contract import Lookup, Sentence, StepPayload, Tool
from agent.tools.grammar import parse_question, split_sentences, touches


class ExtractInput(StepPayload):
    """What is asked, and the fragments to look through."""

    question: str
    fragments: tuple[Fragment, ...]


class ExtractOutput(StepPayload):
    """The supporting sentences in the order of the text; some may turn out to be about somebody else."""

    sentences: tuple[Sentence, ...]


async def run(request: ExtractInput, _lookup: Lookup) -> ExtractOutput:
    """Keep the sentences that use the wording of a relation that the question asks for."""
    inquiry = parse_question(request.question)
    relations = inquiry.chain if inquiry is not None else ()
    return ExtractOutput(
        sentences=tuple(
            Sentence(fragment_id=fragment.fragment_id, title=fragment.title, text=text)
            for fragment in request.fragments
            for text in split_sentences(fragment.text)
            if touches(text, relations)
        )
    )


TOOL = Tool("extract", stage=20, request=ExtractInput, result=ExtractOutput, run=run)
