"""The first step: walk from the question's anchor, hop by hop, to the fragments that the answer rests on."""

from agent.fragments import Fragment
from agent.tools.contract import Lookup, StepPayload, Tool
from agent.tools.grammar import parse_question, read_sentence, split_sentences


class SearchInput(StepPayload):
    """What is asked."""

    question: str


class SearchOutput(StepPayload):
    """The fragments fetched, in the order of the hops; fewer than hops if the trail was lost."""

    fragments: tuple[Fragment, ...]


async def run(request: SearchInput, lookup: Lookup) -> SearchOutput:
    """Fetch a fragment, read in it whose fragment comes next, and so on to the last hop.

    Raises:
        FragmentUnavailableError: from ``lookup``: a fragment on the way is out of reach.
    """
    inquiry = parse_question(request.question)
    if inquiry is None:
        return SearchOutput(fragments=())
    fragments: list[Fragment] = []
    title: str | None = inquiry.anchor
    for relation in inquiry.chain:
        fragment = await lookup(title) if title is not None else None
        if fragment is None:
            break
        fragments.append(fragment)
        title = _next_title(fragment, relation)
    return SearchOutput(fragments=tuple(fragments))


def _next_title(fragment: Fragment, relation: str) -> str | None:
    for sentence in split_sentences(fragment.text):
        for fact in read_sentence(sentence, fragment.title):
            if fact.subject == fragment.title and fact.relation == relation:
                return fact.object
    return None


TOOL = Tool("search", stage=10, request=SearchInput, result=SearchOutput, run=run)
