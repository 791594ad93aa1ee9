"""The generator makes well-formed documents of any size, the same from the same seed."""

import os
import random
import statistics
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.tools.grammar import read_sentence, split_sentences
from orchestrator.workload.document import (
    GaiaDocument,
    GeneratorParameters,
)
from orchestrator.workload.generator import generate
from orchestrator.workload.grade import normalise
from protocols.errors import ConfigError

CHECKOUT = Path(__file__).parents[2]
SEEDS = range(5)


def made(seed: int, fragment_count: int = 96, question_count: int = 200) -> GaiaDocument:
    """Generate a document from its seed."""
    parameters = GeneratorParameters(seed=seed, fragment_count=fragment_count, question_count=question_count)
    return generate(parameters, random.Random(seed))


def test_the_same_seed_gives_the_same_bytes_in_any_process() -> None:
    """Neither the process nor its hash seed shows in the document; another seed does."""
    code = (
        "import random, sys\n"
        "from orchestrator.workload.document import GeneratorParameters\n"
        "from orchestrator.workload.generator import generate\n"
        "print(*generate(GeneratorParameters(seed=7), random.Random(7)).lines(), sep='\\n')\n"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(CHECKOUT), "PYTHONUTF8": "1"},
            capture_output=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1] == "".join(f"{line}\n" for line in made(7).lines()).encode()
    assert list(made(7).lines()) != list(made(8).lines())


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), fragment_count=st.integers(10, 60))
def test_every_document_is_well_formed(seed: int, fragment_count: int) -> None:
    """Any size from ten up: unique names, needed fragments a hop, answers not given away, ten questions a fragment."""
    document = made(seed, fragment_count, question_count=10 * fragment_count)
    ids = {fragment.fragment_id: fragment for fragment in document.fragments}
    assert len(ids) == len({fragment.title for fragment in document.fragments}) == fragment_count
    assert len({question.question for question in document.questions}) == 10 * fragment_count
    for question in document.questions:
        assert set(question.fragments) <= set(ids)
        assert len(set(question.fragments)) == question.hops
        assert normalise(question.answer) not in normalise(question.question)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_fragment_states_each_relation_of_its_entity_once_among_other_things(seed: int) -> None:
    """3 to 6 sentences, some 300 to 600 bytes: every fact once, chatter that states nothing, and look-alikes."""
    document = made(seed)
    titles = {fragment.title for fragment in document.fragments}
    others = 0
    for fragment in document.fragments:
        sentences = split_sentences(fragment.text)
        facts = [list(read_sentence(sentence, fragment.title)) for sentence in sentences]
        own = [fact.relation for found in facts for fact in found if fact.subject == fragment.title]
        assert 3 <= len(own) == len(set(own))
        assert 3 <= len(sentences) <= 6
        assert any(not found for found in facts)
        stated_of = {fact.subject for found in facts for fact in found}
        assert stated_of & titles == {fragment.title}
        others += len(stated_of - titles)
    assert 0.15 < others / len(document.fragments) < 0.45
    assert 300 < statistics.mean(len(f.model_dump_json().encode()) for f in document.fragments) < 600


def test_names_are_alike_on_purpose() -> None:
    """With overlap, entities share the distinctive part of their names, as the Aurora Bridge and the Aurora Tower."""

    def shared_words(name_overlap: float) -> int:
        parameters = GeneratorParameters(seed=1, name_overlap=name_overlap)
        titles = [fragment.title for fragment in generate(parameters, random.Random(1)).fragments]
        return sum(count > 1 for count in Counter(word for title in titles for word in title.split()).values())

    assert shared_words(0.3) > shared_words(0.0) + 10


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"fragment_count": 9}, "at least 10 fragments, got 9"),
        ({"question_count": 0}, "at least 1 question, got 0"),
        ({"min_hops": 4, "max_hops": 3}, "1 to 5 hops, got 4 to 3"),
        ({"max_hops": 6}, "1 to 5 hops, got 2 to 6"),
        ({"decoy_rate": 1.5}, "shares from 0 to 1"),
        ({"fragment_count": 10, "question_count": 500}, "expected 500 distinct questions"),
    ],
)
def test_the_generator_says_what_it_cannot_make(change: dict[str, int | float], problem: str) -> None:
    """Parameters out of range, or more questions than the world has, are the user's error."""
    parameters = GeneratorParameters(seed=1).model_copy(update=change)
    with pytest.raises(ConfigError, match=problem):
        generate(parameters, random.Random(1))
