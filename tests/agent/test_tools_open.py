"""On natural language the four tools retrieve, pick sentences, read triples and weigh them; nothing invented helps."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import JsonValue

from agent.fragments import Fragment, FragmentUnavailableError
from agent.tools import run_pipeline
from agent.tools.contract import Library
from agent.tools.open_text import names_in, sentences_of, spans_of
from agent.tools.retrieval import Hit, ShardIndex, best

FRAGMENTS = (
    Fragment(
        fragment_id="f-1",
        title="Kite Point Light",
        text="Kite Point Light is a lighthouse near Orrin. It was drawn by the engineer Tova Brandt in 1874.",
    ),
    Fragment(
        fragment_id="f-2",
        title="Tova Brandt",
        text="Tova Brandt (3 May 1841 \u2013 1902) was a Danish engineer. She grew up in Skagen with 14 others.",
    ),
    Fragment(
        fragment_id="f-3",
        title="Emil Roth",
        text="Emil Roth (9 June 1850 \u2013 1911) was a Danish painter. He painted 212 harbour scenes.",
    ),
    Fragment(fragment_id="f-4", title="Orrin", text="Orrin is a fishing town. Its market hall has 96 stalls."),
    Fragment(fragment_id="f-5", title="Marmalade", text="Marmalade is a preserve made of oranges and sugar."),
)


class InProcess:
    """A document in this process, cut into shards that are searched one by one; some may be out of reach."""

    def __init__(self, shards: Sequence[Sequence[Fragment]], unreachable: Sequence[str] = ()) -> None:
        self._indexes = [ShardIndex(shard) for shard in shards]
        self._fragments = {fragment.title: fragment for shard in shards for fragment in shard}
        self._unreachable = unreachable

    async def __call__(self, title: str) -> Fragment | None:
        """Fetch by title."""
        if title in self._unreachable:
            raise FragmentUnavailableError(title, 0)
        return self._fragments.get(title)

    async def find(self, query: str, limit: int) -> tuple[Fragment, ...]:
        """Find by what they say."""
        hits = (hit for index in self._indexes for hit in index.find(query, limit))
        return tuple(hit.fragment for hit in best(hits, limit))


ONE_PROCESS = InProcess([FRAGMENTS])


def run(question: str, library: Library = ONE_PROCESS) -> dict[str, JsonValue]:
    """Run the whole pipeline."""
    return asyncio.run(run_pipeline(question, library))


def found(state: dict[str, JsonValue]) -> list[str]:
    """Return the titles of the fragments that search returned."""
    fragments = state["fragments"]
    assert isinstance(fragments, list)
    return [str(fragment["title"]) for fragment in fragments if isinstance(fragment, dict)]


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Kite Point Light was drawn by which engineer?", "Tova Brandt"),
        ("In what year was Kite Point Light drawn by the engineer?", "1874"),
        ("How many stalls has the market hall of the fishing town?", "96"),
        ("In which town grew up the engineer Tova Brandt?", "Skagen"),
        ("Who was born earlier, Tova Brandt or Emil Roth?", "Tova Brandt"),
        ("Who is younger, Tova Brandt or Emil Roth?", "Emil Roth"),
        ("Who had more to count, Tova Brandt or Emil Roth?", "Emil Roth"),
        ("Were Tova Brandt and Emil Roth both Danish?", "yes"),
        ("Are Orrin and Marmalade the same?", "no"),
    ],
)
def test_plain_questions_are_answered_from_plain_text(question: str, answer: str) -> None:
    """Names, dates, numbers, comparisons, yes and no."""
    assert run(question)["answer"] == answer


def test_search_returns_what_matches_best_and_whom_it_names() -> None:
    """The best fragment names the engineer, whose own fragment shares no word with the question."""
    assert found(run("Near which town stands the lighthouse Kite Point Light?")) == [
        "Kite Point Light", "Orrin", "Tova Brandt",
    ]  # fmt: skip


def test_a_bridge_out_of_reach_is_passed_over() -> None:
    """Whether the name has a fragment cannot be known; what was found still counts."""
    library = InProcess([FRAGMENTS], unreachable=("Tova Brandt",))
    assert "Tova Brandt" not in found(run("Near which town stands the lighthouse Kite Point Light?", library))


def test_the_evidence_names_every_fragment_that_was_weighed() -> None:
    """The chain begins with the triple that has the answer and goes on with one of each other fragment."""
    chain = run("Which engineer drew the lighthouse Kite Point Light?")["chain"]
    assert isinstance(chain, list)
    ids = [link["fragment_id"] for link in chain if isinstance(link, dict)]
    assert ids[0] == "f-1"
    assert len(ids) == len(set(ids)) > 1


@pytest.mark.parametrize("question", ["Zyx qwv?", "Who?", "", "..."])
def test_what_nothing_matches_has_no_answer(question: str) -> None:
    """Without a fragment there is no triple, and without a triple no guess."""
    state = run(question)
    assert (found(state), state["answer"], state["chain"]) == ([], None, [])


def test_a_lookup_without_search_leaves_plain_questions_unanswered() -> None:
    """Titles alone do not find what a natural question is about."""

    async def lookup(title: str) -> Fragment | None:
        return next((fragment for fragment in FRAGMENTS if fragment.title == title), None)

    state = asyncio.run(run_pipeline("Which engineer drew the lighthouse?", lookup))
    assert (found(state), state["answer"]) == ([], None)


def test_shards_searched_one_by_one_lose_nothing() -> None:
    """Each shard names its best, and the best of these are the best of all."""
    apart = InProcess([FRAGMENTS[:2], FRAGMENTS[2:4], FRAGMENTS[4:], ()])
    for question in ("Which engineer drew the lighthouse Kite Point Light?", "Which town has a market hall?"):
        assert run(question, apart)["answer"] == run(question)["answer"]
        assert set(found(run(question, apart))) >= set(found(run(question))[:1])


def test_an_index_ranks_by_shared_words_and_never_returns_what_shares_none() -> None:
    """The best first, no more than asked for; an empty shard has nothing."""
    hits = ShardIndex(FRAGMENTS).find("Danish engineer", 5)
    assert [hit.fragment.title for hit in hits] == ["Tova Brandt", "Kite Point Light", "Emil Roth"]
    assert len(ShardIndex(FRAGMENTS).find("Danish engineer", 1)) == 1
    assert ShardIndex(()).find("Danish engineer", 5) == ()
    assert ShardIndex([Fragment(fragment_id="f-1", title="?", text="")]).find("Danish", 5) == ()


def test_merged_hits_come_once_each_in_one_order() -> None:
    """Two holders of one shard name the same fragment; equal scores go by the id, whoever answers first."""
    hits = [
        Hit(fragment=fragment, score=score)
        for fragment, score in zip(FRAGMENTS, (1.0, 2.0, 1.0, 0.0, 3.0), strict=True)
    ]
    expected = ["f-5", "f-2", "f-1", "f-3"]
    assert [hit.fragment.fragment_id for hit in best([*hits, *(hit.model_copy() for hit in hits)], 9)] == expected
    assert [hit.fragment.fragment_id for hit in best(reversed(hits), 9)] == expected


def test_a_line_may_say_what_it_is_about() -> None:
    """Bundles name their paragraphs; an abbreviation does not end a sentence."""
    text = "Orrin: It lies in the north. Mr. J. Holm runs it.\nIt is small."
    assert list(sentences_of("Atlas", text)) == [
        ("Orrin", "It lies in the north."), ("Orrin", "Mr. J. Holm runs it."), ("Atlas", "It is small."),
    ]  # fmt: skip


def test_spans_are_dates_numbers_names_and_what_something_is() -> None:
    """A year inside of a date is no number, and a word that opens a sentence no name."""
    sentence = 'On May 3, 1841 Tova Brandt opened "The Lamp", which was a small inn with 1,204 guests.'
    assert spans_of(sentence) == [
        ("date", "May 3, 1841"), ("number", "1,204"), ("name", "The Lamp"), ("name", "Tova Brandt"),
        ("phrase", "small inn"),
    ]  # fmt: skip
    assert names_in("After dinner Tova left.") == ["Tova"]


_HOSTILE = st.lists(
    st.sampled_from(
        ["A", "a ", "Aa ", "is a ", " or ", "1,", "(", '"', ": ", "\n", "19", "May ", ".", "'", "\u2028", "_"]
    ),
    max_size=40,
).map("".join)


@settings(max_examples=60, deadline=None)
@given(text=_HOSTILE, question=_HOSTILE)
def test_hostile_text_raises_nothing(text: str, question: str) -> None:
    """Whatever a fragment or a question contains, the pipeline ends with an answer or without."""
    library = InProcess([[Fragment(fragment_id="f-1", title="A", text=text), *FRAGMENTS]])
    for asked in (question, f"Who is older, {question} or A?", f"Is A {question}?"):
        assert set(run(asked, library)) >= {"answer", "chain"}


@pytest.mark.parametrize("piece", ["A", "Aa ", "is a ", "1,", '"', "A. ", "is a b c "])
def test_overlong_text_is_read_in_bounded_time(piece: str) -> None:
    """A fragment of a million characters takes no minutes (the test suite's timeout is the bound)."""
    library = InProcess([[Fragment(fragment_id="f-1", title="Orrin", text=f"Orrin {piece * 200_000}"[:1_000_000])]])
    assert "answer" in run("What is Orrin?", library)
