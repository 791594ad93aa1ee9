"""The first step: fetch the fragments that the answer rests on, hop by hop or by what they say."""

from agent.fragments import Fragment, FragmentUnavailableError
from agent.tools.contract import Library, Lookup, StepPayload, Tool
from agent.tools.grammar import Inquiry, parse_question, read_sentence, speaks_the_lexicon, split_sentences
from agent.tools.open_text import content_words, names_in, sentences_of
from agent.tools.relations import OTHER_NAME

_HITS = 3
_BRIDGES = 3


class SearchInput(StepPayload):
    """What is asked."""

    question: str


class SearchOutput(StepPayload):
    """The fragments fetched, in the order of the hops or of how well they match; fewer if the trail was lost."""

    fragments: tuple[Fragment, ...]


async def run(request: SearchInput, lookup: Lookup) -> SearchOutput:
    """Follow the question from fragment to fragment; where it is natural language, search for its words.

    Raises:
        FragmentUnavailableError: from ``lookup``: a fragment on the way is out of reach.
    """
    inquiry = parse_question(request.question)
    fragments = await _follow(inquiry, lookup) if inquiry is not None else []
    understood = bool(fragments) and speaks_the_lexicon(fragments[0].title, fragments[0].text)
    if isinstance(lookup, Library) and not understood and content_words(request.question):
        fragments = await _browse(request.question, fragments, lookup)
    return SearchOutput(fragments=tuple(fragments))


async def _follow(inquiry: Inquiry, lookup: Lookup) -> list[Fragment]:
    """Fetch a fragment, read in it whose fragment comes next, and so on to the last hop."""
    fragments: list[Fragment] = []
    title: str | None = inquiry.anchor
    for relation in inquiry.chain:
        fragment = await lookup(title) if title is not None else None
        if fragment is None:
            break
        fragments.append(fragment)
        proper = _object(fragment, OTHER_NAME.name)
        if proper is not None:
            fragment = await lookup(proper)
            if fragment is None:
                break
            fragments.append(fragment)
        title = _object(fragment, relation)
    return fragments


def _object(fragment: Fragment, relation: str) -> str | None:
    for sentence in split_sentences(fragment.text):
        for fact in read_sentence(sentence, fragment.title):
            if fact.subject == fragment.title and fact.relation == relation:
                return fact.object
    return None


async def _browse(question: str, known: list[Fragment], library: Library) -> list[Fragment]:
    """Fetch what matches the question best, then the fragments of those whom the best one names (the bridges)."""
    found = {fragment.title: fragment for fragment in (*known, *await library.find(question, _HITS))}
    best = next(iter(found.values()), None)
    sentences = [sentence for _, sentence in sentences_of(best.title, best.text)] if best else []
    names = dict.fromkeys(name for sentence in sentences for name in names_in(sentence))
    for name in [name for name in names if name not in found and name not in question][:_BRIDGES]:
        try:
            bridge = await library(name)
        except FragmentUnavailableError:
            continue  # whether there is such a fragment cannot be known
        if bridge is not None:
            found[name] = bridge
    return list(found.values())


TOOL = Tool(
    "search",
    "Finds the fragments of the document that a question rests on, hop by hop or by their words.",
    stage=10,
    request=SearchInput,
    result=SearchOutput,
    run=run,
)
