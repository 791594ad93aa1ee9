"""Harder documents stay answerable: distractors, aliases, missing facts, other domains and styles, any size."""

import json
import random
import re
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from agent.tools.grammar import split_sentences
from orchestrator.cli import main
from orchestrator.workload import generator
from orchestrator.workload.command import DIFFICULTIES
from orchestrator.workload.document import NO_ANSWER, GaiaDocument, GeneratorParameters
from orchestrator.workload.generator import WrittenFragment, generate, stream
from orchestrator.workload.grade import is_correct
from orchestrator.workload.loaders import load_document
from orchestrator.workload.placement import cut, place
from orchestrator.workload.questions import AskedQuestion
from protocols.errors import ConfigError
from tests.orchestrator.questioning import failed, lookup_in

SEEDS = range(5)
HARD = DIFFICULTIES["hard"]


def made(seed: int, fragment_count: int = 200, question_count: int = 80, **more: Any) -> GaiaDocument:
    """Generate a document from its seed."""
    parameters = GeneratorParameters(seed=seed, fragment_count=fragment_count, question_count=question_count, **more)
    return generate(parameters, random.Random(seed))


@pytest.mark.parametrize("more", [{"min_hops": 3, "max_hops": 3, "distractor_rate": 0.1}, HARD], ids=["3 hops", "hard"])
@pytest.mark.parametrize("seed", SEEDS)
def test_every_question_of_a_hard_document_is_answered(seed: int, more: dict[str, Any]) -> None:
    """Three hops among 10 % distractors, or everything that makes it hard at once: with all in reach, nothing fails."""
    document = made(seed, **more)
    assert failed(document, lookup_in(document)) == []


@pytest.mark.parametrize("more", [{"min_hops": 3, "max_hops": 3, "distractor_rate": 0.1}, HARD], ids=["3 hops", "hard"])
@pytest.mark.parametrize("seed", SEEDS)
def test_exactly_the_questions_that_need_a_dead_holders_fragment_fail(seed: int, more: dict[str, Any]) -> None:
    """With both holders of a shard dead, the key's needed fragments say who fails: no more, no fewer."""
    document = made(seed, **more)
    agents = [f"agent_{number}" for number in range(1, 9)]
    dead = place(8, agents, 2, seed)[seed]
    holders = place(8, agents, 2, seed)
    shards = cut(document.fragments, 8)
    lost = {f.title: f.fragment_id for number, s in enumerate(shards) if set(holders[number]) <= set(dead) for f in s}
    needy = [question for question in document.questions if set(question.fragments) & set(lost.values())]
    assert failed(document, lookup_in(document, lost)) == needy
    assert 0 < len(needy) < len(document.questions)


def test_no_question_needs_a_distractor_and_nobody_mentions_one() -> None:
    """A tenth of the fragments is there to be passed over, each with a name that some other entity shares in part."""
    parameters = GeneratorParameters(seed=1, fragment_count=300, question_count=200, distractor_rate=0.1)
    pieces = list(stream(parameters, random.Random(1)))
    written = [piece for piece in pieces if isinstance(piece, WrittenFragment)]
    distractors = [piece.fragment for piece in written if piece.role == "distractor"]
    assert len(distractors) == 30
    needed = {one for piece in pieces if isinstance(piece, AskedQuestion) for one in piece.question.fragments}
    assert not needed & {fragment.fragment_id for fragment in distractors}
    others = " ".join(piece.fragment.text for piece in written if piece.role == "entity")
    assert not [fragment.title for fragment in distractors if f" {fragment.title}." in others]
    stems = Counter(word for piece in written for word in piece.fragment.title.split())
    alike = sum(any(stems[word] > 1 for word in fragment.title.split()) for fragment in distractors)
    assert alike > 0.8 * len(distractors)  # the others share theirs with a currency, or but the root, as Karsland


def test_an_alias_leads_over_a_fragment_of_its_own() -> None:
    """Some questions need more fragments than hops, the extra ones being those of other names."""
    document = made(2, 300, 200, alias_rate=0.2)
    texts = {fragment.fragment_id: fragment.text for fragment in document.fragments}
    aliases = {one for one, text in texts.items() if " is another name for " in text}
    assert len(aliases) == 60
    for question in document.questions:
        assert len(question.fragments) == question.hops + len(aliases & set(question.fragments))
    assert sum(len(question.fragments) > question.hops for question in document.questions) > 20


def test_what_nobody_wrote_down_has_no_answer() -> None:
    """A fifth of the questions ends in a fact that no fragment states: an agent that guesses is wrong."""
    document = made(3, unanswerable_rate=0.2, question_count=100)
    unanswerable = [question for question in document.questions if question.answer == NO_ANSWER]
    assert len(unanswerable) == 20
    assert is_correct(None, NO_ANSWER)
    assert not is_correct("Nive River", NO_ANSWER)
    assert not is_correct(None, "Nive River")


@pytest.mark.parametrize(
    ("domain", "kinds"),
    [
        ("voyages", {"date", "tonnage", "population", "ship"}),
        ("science", {"date", "period", "citations", "observatory"}),
    ],
)
def test_a_domain_has_numbers_and_dates_of_its_own(domain: str, kinds: set[str]) -> None:
    """Each domain stands alone, is fully answerable, and asks for dates, numbers and entities of its own."""
    document = made(4, 120, 150, domains=(domain,), min_hops=1)
    assert failed(document, lookup_in(document)) == []
    facts = " ".join(fragment.text for fragment in document.fragments)
    assert not re.search(r"\b(?:novel|institute|bridge)\b", facts)
    parameters = document.header.generator
    assert parameters is not None
    asked = [piece for piece in stream(parameters, random.Random(4)) if isinstance(piece, AskedQuestion)]
    assert kinds <= {piece.answer_kind for piece in asked}
    answers = [piece.question.answer for piece in asked if piece.answer_kind in {"date", "population", "citations"}]
    assert any(re.fullmatch(r"\d{1,2} [A-Z][a-z]+ \d{4}", answer) for answer in answers)
    assert any(re.fullmatch(r"\d{1,3},\d{3} \w+", answer) for answer in answers)


def test_styles_differ_in_length() -> None:
    """A register is terse, a chronicle long-winded, and one document may mix them."""

    def sentences(*styles: str) -> float:
        fragments = made(5, 100, 10, styles=styles).fragments
        return sum(len(split_sentences(fragment.text)) for fragment in fragments) / len(fragments)

    assert sentences("register") < sentences("guide") < sentences("chronicle")
    assert sentences("register") < sentences("register", "chronicle") < sentences("chronicle")


def test_memory_is_bounded_by_the_region_and_not_by_the_document(monkeypatch: pytest.MonkeyPatch) -> None:
    """A document four times as large takes not twice the memory: of a written region only the names are kept."""
    monkeypatch.setattr(generator, "_LARGEST_REGION", 200)

    def peak(fragment_count: int) -> int:
        parameters = GeneratorParameters(seed=1, fragment_count=fragment_count, question_count=fragment_count // 50)
        tracemalloc.start()
        for _ in stream(parameters, random.Random(1)):
            pass
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    assert peak(1600) < 2 * peak(400)


def test_a_document_of_several_regions_can_be_read_back(tmp_path: Path) -> None:
    """Questions come after the fragments of their region, and need nothing that comes later."""
    out = tmp_path / "large.jsonl"
    assert main(["generate", "--fragments", "4100", "--questions", "300", "--hops", "3", "-o", str(out)], {}) == 0
    document = load_document(out)
    assert (len(document.fragments), len(document.questions)) == (4100, 300)
    assert failed(document, lookup_in(document)) == []


def test_the_command_says_what_it_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The table and the JSON agree with the document, and flags win over the difficulty."""
    out, stats = tmp_path / "gaia.jsonl", tmp_path / "stats.json"
    argv = ["generate", "--fragments", "200", "--questions", "50", "--difficulty", "hard", "--hops", "2-3"]
    assert main([*argv, "--seed", "7", "-o", str(out), "--stats", str(stats)], {}) == 0
    document, counted = load_document(out), json.loads(stats.read_text())
    assert counted["fragments"]["by_role"] == {"entity": 140, "distractor": 40, "alias": 20}
    assert counted["questions"]["by_hops"] == {"2": 25, "3": 25}
    assert counted["questions"]["unanswerable"] == sum(one.answer == NO_ANSWER for one in document.questions) == 5
    assert counted["bytes"] == out.stat().st_size - len(out.read_bytes().splitlines(keepends=True)[0])
    assert "fragments by role distractor" in capsys.readouterr().out


def test_a_document_that_cannot_be_finished_leaves_no_file(tmp_path: Path) -> None:
    """The world turns out too small after the fragments are written: the user gets the reason and no half document."""
    out = tmp_path / "gaia.jsonl"
    assert main(["generate", "--fragments", "10", "--questions", "900", "-o", str(out)], {}) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"distractor_rate": 0.95}, "lower distractor_rate or alias_rate"),
        ({"alias_rate": 0.6}, "lower distractor_rate or alias_rate"),
        ({"unanswerable_rate": 2.0}, "got 2 as unanswerable_rate"),
        ({"domains": ("atlas", "poetry")}, "expected domains out of atlas, voyages, science, got poetry"),
        ({"styles": ()}, "expected styles out of guide, register, chronicle, got none"),
    ],
)
def test_the_generator_says_what_makes_no_document(change: dict[str, Any], problem: str) -> None:
    """Shares that leave no room, and names that nobody knows, are the user's error."""
    with pytest.raises(ConfigError, match=problem):
        made(1, 96, 10, **change)
