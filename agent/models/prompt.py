"""Puts a question and its facts into words for a language model, and reads the answer back."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, ValidationError

from agent.tools.contract import Triple
from agent.tools.reason import KNOWN, ReasonInput

INSTRUCTIONS = (
    "Answer the question from the numbered statements alone. Reply with one JSON object and nothing else: "
    '{"answer": "as few words as possible, or yes or no", "evidence": [the numbers of the statements it rests on]}. '
    'If the statements do not say it, "answer" is null.'
)


class Reply(BaseModel):
    """What the model is asked to say."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    answer: str | int | float | None
    evidence: tuple[int, ...] = ()


@dataclass(frozen=True)
class Prompt:
    """One question in words; ``facts`` are the triples behind the statements 1, 2, 3 and on."""

    text: str
    facts: tuple[Triple, ...]

    def read(self, content: str) -> tuple[str | None, tuple[Triple, ...]]:
        """The answer and its chain; raises ValueError for a reply that is none.

        The chain is what the reply names as evidence, in its order; where it names nothing, one fact of each fragment.
        """
        reply = _reply(content)
        answer = None if reply.answer is None else str(reply.answer).strip() or None
        named = [self.facts[number - 1] for number in reply.evidence if 0 < number <= len(self.facts)]
        first_of = {fact.fragment_id: fact for fact in reversed(self.facts)}
        whole = [fact for fact in self.facts if first_of[fact.fragment_id] is fact]
        return answer, tuple(dict.fromkeys(named)) or tuple(whole)


def prompt(request: ReasonInput) -> Prompt:
    """Number the statements, each once, and put the question last."""
    facts: dict[str, Triple] = {}
    for triple in request.triples:
        facts.setdefault(_statement(triple), triple)
    lines = [f"{number}. {statement}" for number, statement in enumerate(facts, start=1)]
    text = "\n".join(["Statements:", *lines, "", f"Question: {request.question}"])
    return Prompt(text, tuple(facts.values()))


def messages(asked: Prompt) -> Sequence[dict[str, str]]:
    """The conversation as the interface of OpenAI wants it."""
    return [{"role": "system", "content": INSTRUCTIONS}, {"role": "user", "content": asked.text}]


def _statement(triple: Triple) -> str:
    if triple.relation in KNOWN:
        return f"{triple.subject} | {triple.relation} | {triple.object}"
    return f"{triple.subject}: {triple.relation.replace('_', triple.object, 1)}"


def _reply(content: str) -> Reply:
    """The first JSON object in the text: some models wrap it in a fence or in words."""
    begin = content.find("{")
    try:
        found, _ = json.JSONDecoder().raw_decode(content, max(begin, 0))
        return Reply.model_validate(found)
    except (ValidationError, RecursionError) as error:
        raise ValueError(str(error)) from error
