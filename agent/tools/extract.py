"""The second step: pick from the fragments the sentences whose wording bears on the question."""

from collections.abc import Sequence

from agent.fragments import Fragment
from agent.tools.contract import Lookup, Sentence, StepPayload, Tool
from agent.tools.grammar import Inquiry, parse_question, speaks_the_lexicon, split_sentences, touches
from agent.tools.open_text import content_words, sentences_of
from agent.tools.relations import OTHER_NAME

_MOST_SENTENCES = 10


class ExtractInput(StepPayload):
    """What is asked, and the fragments to look through."""

    question: str
    fragments: tuple[Fragment, ...]


class ExtractOutput(StepPayload):
    """The supporting sentences in the order of the text; some may turn out to be about somebody else."""

    sentences: tuple[Sentence, ...]


async def run(request: ExtractInput, _lookup: Lookup) -> ExtractOutput:
    """Keep the sentences that use the wording that was asked for, or in natural language share words with it."""
    inquiry = parse_question(request.question)
    understood = any(speaks_the_lexicon(fragment.title, fragment.text) for fragment in request.fragments)
    if inquiry is not None and understood:
        return ExtractOutput(sentences=tuple(_stated(inquiry, request.fragments)))
    return ExtractOutput(sentences=tuple(_related(request.question, request.fragments)))


def _stated(inquiry: Inquiry, fragments: Sequence[Fragment]) -> list[Sentence]:
    relations = (*inquiry.chain, OTHER_NAME.name)
    return [
        Sentence(fragment_id=fragment.fragment_id, title=fragment.title, text=text)
        for fragment in fragments
        for text in split_sentences(fragment.text)
        if touches(text, relations)
    ]


def _related(question: str, fragments: Sequence[Fragment]) -> list[Sentence]:
    """The sentences that share most words with the question, those of the best fragments first among equals."""
    asked = content_words(question)
    sentences = [
        Sentence(fragment_id=fragment.fragment_id, title=title, text=text)
        for fragment in fragments
        for title, text in sentences_of(fragment.title, fragment.text)
    ]
    shared = [len(asked & content_words(f"{sentence.title} {sentence.text}")) for sentence in sentences]
    ranked = sorted(range(len(sentences)), key=lambda number: -shared[number])
    return [sentences[number] for number in sorted(ranked[:_MOST_SENTENCES])]


TOOL = Tool(
    "extract",
    "Picks from fragments the sentences that bear on a question.",
    stage=20,
    request=ExtractInput,
    result=ExtractOutput,
    run=run,
)
