"""The generated questions can be answered from the fragments, and only from them."""

import asyncio
import json
import random
import statistics
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import JsonValue

from agent.tools import REGISTRY, TOOLS, run_pipeline
from agent.tools.contract import Lookup
from orchestrator.workload.document import (
    GaiaDocument,
    GeneratorParameters,
)
from orchestrator.workload.generator import generate
from orchestrator.workload.loaders import load_document
from orchestrator.workload.placement import cut
from tests.effort import counted
from tests.orchestrator.questioning import failed, lookup_in

SAMPLE = Path(__file__).parents[2] / "docs" / "gaia_document.jsonl"
SEEDS = range(5)
Corruption = Callable[[dict[str, JsonValue]], dict[str, JsonValue]]


def made(seed: int, fragment_count: int = 96, question_count: int = 200) -> GaiaDocument:
    """Generate a document from its seed."""
    parameters = GeneratorParameters(seed=seed, fragment_count=fragment_count, question_count=question_count)
    return generate(parameters, random.Random(seed))


@pytest.mark.parametrize("seed", SEEDS)
def test_every_question_is_answered_when_every_fragment_is_in_reach(seed: int) -> None:
    """All questions of 2, 3 and 4 hops, in equal numbers, are answered correctly."""
    document = made(seed)
    assert failed(document, lookup_in(document)) == []
    hops = Counter(question.hops for question in document.questions)
    assert set(hops) == {2, 3, 4}
    assert max(hops.values()) - min(hops.values()) <= 1


def test_every_question_of_the_sample_document_is_answered() -> None:
    """The committed document works as it stands, read from its file."""
    document = load_document(SAMPLE)
    assert failed(document, lookup_in(document)) == []


@pytest.mark.parametrize("raises", [True, False])
@pytest.mark.parametrize("seed", SEEDS)
def test_exactly_the_questions_that_need_a_lost_fragment_fail(seed: int, *, raises: bool) -> None:
    """With one shard of eight lost, the key's list of needed fragments says who fails: no more, no fewer."""
    document = made(seed)
    lost = {fragment.title: fragment.fragment_id for fragment in cut(document.fragments, 8)[seed]}
    needy = [q for q in document.questions if set(q.fragments) & set(lost.values())]
    assert failed(document, lookup_in(document, lost, raises=raises)) == needy
    assert 0 < len(needy) < len(document.questions)


def _shortened(result: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return {name: value[:-1] if isinstance(value, list) else value for name, value in result.items()}


_CONTENT = ("text", "object", "answer")


def _garbled(result: dict[str, JsonValue]) -> dict[str, JsonValue]:
    def garble(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
        spoilt = {name: f"{text[::-1]}x" for name, text in value.items() if name in _CONTENT and isinstance(text, str)}
        return {**value, **spoilt}

    garbled: dict[str, JsonValue] = json.loads(json.dumps(result), object_hook=garble)
    return garbled


async def _run_corrupted(question: str, lookup: Lookup, tool: str, corrupt: Corruption) -> JsonValue:
    state: dict[str, JsonValue] = {"question": question}
    for name, step in REGISTRY.items():
        result = await step.execute(step.next_input(state), lookup)
        state = step.advance(state, corrupt(result) if name == tool else result)
    return state["answer"]


@pytest.mark.parametrize(
    ("tool", "corrupt"),
    [("search", _shortened), ("extract", _shortened), ("triple", _shortened), *((tool, _garbled) for tool in TOOLS)],
)
def test_a_step_that_does_its_work_badly_makes_answers_wrong(tool: str, corrupt: Corruption) -> None:
    """No later step repairs, or works around, what an earlier one left out or got wrong."""
    document = made(1, question_count=40)
    lookup = lookup_in(document)
    answers = [asyncio.run(_run_corrupted(q.question, lookup, tool, corrupt)) for q in document.questions]
    right = sum(answer == question.answer for answer, question in zip(answers, document.questions, strict=True))
    # Dropping the last sentence does no harm where that was a look-alike's.
    assert right <= (len(answers) // 2 if corrupt is _shortened else 0)


def test_a_pipeline_is_little_work() -> None:
    """A few thousand calls a question (1 to 2 ms of CPU), so that an agent's own work stays out of the measurement."""
    document = made(1)
    lookup = lookup_in(document)

    async def costs() -> list[int]:
        spent = []
        for question in document.questions:
            with counted() as effort:
                await run_pipeline(question.question, lookup)
            spent.append(effort.calls)
        return spent

    assert 100 < statistics.median(asyncio.run(costs())) < 10_000
