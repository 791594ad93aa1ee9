"""What the lexicon can write, the grammar can read, and nothing else."""

import pytest

from agent.tools.grammar import Fact, Inquiry, parse_question, read_sentence
from agent.tools.lexicon import KINDS, OTHER_FRAMES, PERSON_FRAMES, Relation
from agent.tools.relations import RELATIONS


def test_a_surname_stands_for_the_person_of_the_fragment() -> None:
    """In the fragment about Mira Holt, Holt is she."""
    assert list(read_sentence("Holt was born in Karsund.", "Mira Holt")) == [Fact("Mira Holt", "birthplace", "Karsund")]


def test_an_object_that_is_no_name_states_nothing() -> None:
    """A city that lies on a plateau has told us no river."""
    assert list(read_sentence("Karsund lies on a high plateau.", "Karsund")) == []


@pytest.mark.parametrize("relation", RELATIONS, ids=lambda relation: relation.name)
def test_every_statement_of_the_lexicon_is_read_as_what_it_states(relation: Relation) -> None:
    """A statement written from its template reads back as one fact, the right way round, with or without a tail."""
    for template in relation.statements:
        for tail in ("", ".", ", as the records show."):
            sentence = template.format(s="Vela", o="the Orr River") + tail
            assert list(read_sentence(sentence, "Elsewhere")) == [Fact("Vela", relation.name, "Orr River")]


@pytest.mark.parametrize("relation", RELATIONS, ids=lambda relation: relation.name)
def test_every_question_and_phrase_of_the_lexicon_is_understood(relation: Relation) -> None:
    """Each form of words asks for its own relation, also around another phrase."""
    inner = "the mayor of the Orr Tower"
    forms = [*relation.questions]
    forms += [frame.format(x=phrase) for phrase in relation.phrases for frame in (*PERSON_FRAMES, *OTHER_FRAMES)]
    for form in forms:
        assert parse_question(form.format(x=inner)) == Inquiry("Orr Tower", ("mayor", relation.name))
    assert any(phrase.endswith("{x}") for phrase in relation.phrases)
    assert {*relation.subjects, relation.target} <= set(KINDS)


@pytest.mark.parametrize("text", [" is in " * 20_000, "It was designed by " * 50_000, "," * 100_000, "A" * 1_000_000])
def test_overlong_text_is_not_read(text: str) -> None:
    """A sentence no generator writes is passed over instead of being matched for minutes."""
    assert list(read_sentence(text, "Aurora Bridge")) == []
    assert parse_question(text) is None
