"""The four tools read English, do their own work each, and survive whatever a fragment or a peer sends."""

import asyncio
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import JsonValue

import agent.tools
from agent.fragments import Fragment, FragmentUnavailableError
from agent.tools import REGISTRY, TOOLS, run_pipeline, tool_named
from agent.tools.contract import Lookup, StepRejectedError
from agent.tools.relations import RELATIONS

QUESTION = "On which river lies the birthplace of the designer of the Aurora Bridge?"


FRAGMENTS = (
    Fragment(
        fragment_id="f-1",
        title="Aurora Bridge",
        text="The former Aurora Bridge was designed by Jon Pell. The Aurora Bridge hums in the wind. "
        "It was designed by Mira Holt, as the records show. The bridge crosses the Tavel River.",
    ),
    Fragment(
        fragment_id="f-2",
        title="Mira Holt",
        text="Holt works for Karsund Works. She was born in Karsund. Mira Holt the Elder was born in Lund.",
    ),
    Fragment(fragment_id="f-3", title="Karsund", text="Guides like Karsund. The Nive River runs through the city."),
    Fragment(fragment_id="f-4", title="Aurora Tower", text="The tower was designed by Jon Pell."),
)


def lookup_in(fragments: Iterable[Fragment], out_of_reach: tuple[str, ...] = ()) -> Lookup:
    """Return a lookup over these fragments, some of which have no living holder."""
    by_title = {fragment.title: fragment for fragment in fragments}

    async def lookup(title: str) -> Fragment | None:
        if title in out_of_reach:
            raise FragmentUnavailableError(title, 0)
        return by_title.get(title)

    return lookup


def run(question: str, fragments: Iterable[Fragment] = FRAGMENTS) -> dict[str, JsonValue]:
    """Run the whole pipeline over these fragments."""
    return asyncio.run(run_pipeline(question, lookup_in(fragments)))


def step(tool: str, payload: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Run one tool that needs no lookup, or may look into FRAGMENTS."""
    return asyncio.run(tool_named(tool).execute(payload, lookup_in(FRAGMENTS)))


def as_json(*fragments: Fragment) -> list[JsonValue]:
    """Return fragments as they travel."""
    return [fragment.model_dump(mode="json") for fragment in fragments]


def test_the_pipeline_answers_through_three_hops_and_shows_the_chain() -> None:
    """From the bridge to its designer, to her birthplace, to its river; look-alikes and other facts are ignored."""
    state = run(QUESTION)
    assert state["answer"] == "Nive River"
    assert state["chain"] == [
        {"subject": "Aurora Bridge", "relation": "designer", "object": "Mira Holt", "fragment_id": "f-1"},
        {"subject": "Mira Holt", "relation": "birthplace", "object": "Karsund", "fragment_id": "f-2"},
        {"subject": "Karsund", "relation": "river", "object": "Nive River", "fragment_id": "f-3"},
    ]


def test_search_returns_the_fragments_on_the_way_and_no_others() -> None:
    """Search fetches a fragment a hop, in the order of the hops, and does not fetch the answer's own fragment."""
    assert step("search", {"question": QUESTION}) == {"fragments": as_json(*FRAGMENTS[:3])}


def test_search_ends_where_an_entity_is_unknown() -> None:
    """A missing fragment ends the trail; what was found until then is returned and the question stays unanswered."""
    state = run(QUESTION, [FRAGMENTS[0], FRAGMENTS[2]])
    assert state["fragments"] == as_json(FRAGMENTS[0])
    assert state["answer"] is None


def test_a_fragment_out_of_reach_is_an_error_and_no_guess() -> None:
    """When no holder can be reached, the step fails with the title and the shard."""
    with pytest.raises(FragmentUnavailableError, match="Mira Holt") as caught:
        asyncio.run(run_pipeline(QUESTION, lookup_in(FRAGMENTS, out_of_reach=("Mira Holt",))))
    assert (caught.value.title, caught.value.shard) == ("Mira Holt", 0)


def test_extract_keeps_the_wording_that_was_asked_for_whoever_it_is_about() -> None:
    """Extract drops chatter and other relations; telling the bridge from its namesake is left to later steps."""
    result = step("extract", {"question": QUESTION, "fragments": as_json(FRAGMENTS[0])})
    sentences = result["sentences"]
    assert isinstance(sentences, list)
    assert [sentence["text"] for sentence in sentences if isinstance(sentence, dict)] == [
        "The former Aurora Bridge was designed by Jon Pell.",
        "It was designed by Mira Holt, as the records show.",
    ]


@pytest.mark.parametrize(
    ("sentence", "title", "subject"),
    [
        ("It was designed by Mira Holt.", "Aurora Bridge", "Aurora Bridge"),
        ("The bridge was designed by Mira Holt", "Aurora Bridge", "Aurora Bridge"),
        ("The Aurora Tower was designed by Mira Holt!", "Aurora Bridge", "Aurora Tower"),
        ("Mira Holt drew up the plans for the tower.", "Aurora Tower", "Aurora Tower"),
    ],
)
def test_triple_resolves_what_a_subject_refers_to(sentence: str, title: str, subject: str) -> None:
    """Pronouns and common nouns stand for the fragment's title; another name stands for itself."""
    result = step("triple", {"sentences": [{"fragment_id": "f-1", "title": title, "text": sentence}]})
    assert result["triples"] == [
        {"subject": subject, "relation": "designer", "object": "Mira Holt", "fragment_id": "f-1"}
    ]


def test_reason_needs_an_unbroken_chain() -> None:
    """Without the middle triple there is no answer, only the chain as far as it goes."""
    first: JsonValue = {"subject": "Aurora Bridge", "relation": "designer", "object": "Mira Holt", "fragment_id": "f-1"}
    last: JsonValue = {"subject": "Karsund", "relation": "river", "object": "Nive River", "fragment_id": "f-3"}
    assert step("reason", {"question": QUESTION, "triples": [last, first]}) == {"answer": None, "chain": [first]}


@pytest.mark.parametrize("question", ["", "?", "What?", "How do you feel?", "Who designed the wibble of Karsund?"])
def test_a_question_outside_the_language_has_no_answer(question: str) -> None:
    """The pipeline runs to its end and answers None."""
    state = run(question)
    assert (state["answer"], state["chain"]) == (None, [])


_HOSTILE = st.lists(
    st.one_of(
        st.text(max_size=30),
        st.sampled_from([piece for relation in RELATIONS for piece in relation.statements]),
        st.sampled_from(
            ["It", " was designed by ", "Aurora Bridge", ".", ",", "\u2028", "\u202e", "{s}", "(?P<s>", "\\"]
        ),
    ),
    max_size=12,
).map("".join)


@settings(max_examples=60, deadline=None)
@given(text=_HOSTILE, title=st.one_of(st.just("Aurora Bridge"), _HOSTILE.filter(bool)), question=_HOSTILE)
def test_hostile_text_raises_nothing(text: str, title: str, question: str) -> None:
    """Whatever a fragment or a question contains, every step ends with a result."""
    fragment = Fragment(fragment_id="f-1", title=title, text=text)
    for asked in (QUESTION, question):
        assert set(run(asked, [fragment])) >= {"answer", "chain"}
        extracted = step("extract", {"question": asked, "fragments": as_json(fragment)})
        assert "triples" in step("triple", extracted)


def test_tools_come_in_pipeline_order() -> None:
    """The four tools of the specification, first to last, each under its own name."""
    assert TOOLS == ("search", "extract", "triple", "reason")
    assert [tool.name for tool in REGISTRY.values()] == list(TOOLS)


def test_every_step_is_fed_by_the_steps_before_it() -> None:
    """A tool's request needs nothing but the question and what earlier tools deliver."""
    known = {"question"}
    for tool in REGISTRY.values():
        assert set(tool.request.model_fields) <= known
        known |= set(tool.result.model_fields)


def test_no_request_has_room_for_the_key() -> None:
    """No field of any request, however deep, is or may become an answer key."""
    declared = {name for tool in REGISTRY.values() for name in _property_names(tool.request.model_json_schema())}
    assert declared == {
        "question", "fragments", "sentences", "triples",
        "fragment_id", "title", "text", "subject", "relation", "object",
    }  # fmt: skip
    for tool in REGISTRY.values():
        assert tool.request.model_config["extra"] == "forbid"


def _property_names(schema: JsonValue) -> set[str]:
    if isinstance(schema, list):
        return {name for item in schema for name in _property_names(item)}
    if not isinstance(schema, dict):
        return set()
    own = schema.get("properties")
    names = set(own) if isinstance(own, dict) else set()
    return names.union(*(_property_names(value) for value in schema.values()))


def test_a_new_tool_is_one_new_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that defines TOOL joins the pipeline at its stage; nothing else is edited."""
    (tmp_path / "polish.py").write_text(
        "from agent.tools.contract import Tool\n"
        "from agent.tools.reason import ReasonInput, ReasonOutput, run\n"
        "TOOL = Tool('polish', 'Polishes.', stage=35, request=ReasonInput, result=ReasonOutput, run=run)\n",
        encoding="utf-8",
    )
    monkeypatch.setattr(agent.tools, "__path__", [*agent.tools.__path__, str(tmp_path)])
    try:
        assert tuple(agent.tools._discover()) == ("search", "extract", "triple", "polish", "reason")
    finally:
        del sys.modules["agent.tools.polish"]


def test_an_unknown_tool_is_refused_with_the_choices() -> None:
    """The message lists the tools there are."""
    with pytest.raises(StepRejectedError, match=r"search, extract, triple, reason.*'guess'"):
        tool_named("guess")


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"question": 7},
        {"question": "Who?", "answer": "Mira Holt"},
        {"question": "Who?", "triples": [{"subject": "A"}]},
    ],
)
def test_a_malformed_request_is_refused(payload: dict[str, JsonValue]) -> None:
    """A request that is not the tool's own is refused by name, not half understood."""
    with pytest.raises(StepRejectedError, match="reason: expected ReasonInput with question, triples"):
        step("reason", payload)


def test_a_step_left_out_stops_the_pipeline() -> None:
    """Extract cannot be asked for before search has delivered."""
    with pytest.raises(StepRejectedError, match="'fragments'"):
        tool_named("extract").next_input({"question": QUESTION})


def test_a_result_that_is_no_result_is_refused() -> None:
    """What a peer sends back is checked before it becomes part of the task."""
    with pytest.raises(StepRejectedError, match="SearchOutput"):
        tool_named("search").advance({"question": QUESTION}, {"fragments": "none"})
