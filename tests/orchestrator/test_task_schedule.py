"""Shards are placed evenly, tasks arrive evenly, and answers are graded by their key."""

import json
import random
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.fragments import shard_of
from orchestrator.workload.document import (
    GaiaDocument,
    GeneratorParameters,
)
from orchestrator.workload.generator import generate
from orchestrator.workload.grade import is_correct, normalise
from orchestrator.workload.placement import cut, place
from orchestrator.workload.schedule import arrivals, schedule_tasks


def made(seed: int, fragment_count: int = 96, question_count: int = 200) -> GaiaDocument:
    """Generate a document from its seed."""
    parameters = GeneratorParameters(seed=seed, fragment_count=fragment_count, question_count=question_count)
    return generate(parameters, random.Random(seed))


@given(agent_count=st.integers(1, 60), replication=st.integers(1, 70), seed=st.integers())
def test_shards_are_placed_evenly_on_distinct_agents(agent_count: int, replication: int, seed: int) -> None:
    """With a shard an agent, everybody holds equally many; more copies than agents are capped."""
    agents = [f"agent_{number}" for number in range(1, agent_count + 1)]
    holders = place(agent_count, agents, replication, seed)
    copies = min(replication, agent_count)
    assert len(holders) == agent_count
    assert all(len(set(names)) == len(names) == copies for names in holders)
    assert Counter(name for names in holders for name in names) == dict.fromkeys(agents, copies)
    assert holders == place(agent_count, agents, replication, seed)


def test_another_seed_places_shards_otherwise() -> None:
    """The permutation comes from the seed."""
    agents = [f"agent_{number}" for number in range(1, 9)]
    assert len({str(place(8, agents, 2, seed)) for seed in range(10)}) > 5


@pytest.mark.parametrize(("agents", "replication"), [([], 2), (["agent_1"], 0)])
def test_a_placement_without_agents_or_copies_is_refused(agents: list[str], replication: int) -> None:
    """There is nowhere to put a shard."""
    with pytest.raises(ValueError, match="positive replication"):
        place(1, agents, replication, 1)


def test_the_document_is_cut_where_readers_will_look() -> None:
    """Every fragment lies in the shard of its title, and nowhere else."""
    document = made(1)
    shards = cut(document.fragments, 8)
    assert sorted(f.fragment_id for shard in shards for f in shard) == [f.fragment_id for f in document.fragments]
    assert all(shard_of(f.title, 8) == number for number, shard in enumerate(shards) for f in shard)


@given(task_rate=st.floats(0.1, 50), start_s=st.floats(0, 100), length_s=st.floats(0, 60), seed=st.integers())
def test_arrivals_are_evenly_spaced_with_a_small_jitter(
    task_rate: float, start_s: float, length_s: float, seed: int
) -> None:
    """Each arrival is in its own slot, within 10 % of the spacing around its middle, and inside the interval."""
    end_s = start_s + length_s
    times = arrivals(task_rate, start_s, end_s, random.Random(seed))
    assert abs(len(times) - (end_s - start_s) * task_rate) < 1.000001
    for slot, at_s in enumerate(times):
        assert abs((at_s - start_s) * task_rate - slot - 0.5) <= 0.1 + 1e-6
        assert start_s <= at_s < end_s
    assert times == arrivals(task_rate, start_s, end_s, random.Random(seed))


def test_eight_tasks_a_second_make_eight_a_second() -> None:
    """The rate is exact, also where floating point falls a shade short, and the jitter is really there."""
    times = arrivals(8.0, 0.3, 1.3, random.Random(1))
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert len(times) == 8
    assert max(gaps) - min(gaps) > 0.005
    assert len(arrivals(10.0, 1.1, 1.2, random.Random(1))) == 1


def test_a_rate_of_nothing_is_refused() -> None:
    """A schedule needs a positive rate."""
    with pytest.raises(ValueError, match="positive task rate, got 0"):
        arrivals(0, 0.0, 1.0, random.Random(1))


def test_questions_are_asked_again_in_a_new_order_when_they_run_out() -> None:
    """Each round asks every question once; task ids are never reused."""
    document = made(1, question_count=30)
    tasks = schedule_tasks(document, [float(number) for number in range(75)], 8, random.Random(4))
    rounds = [[task.question for task in tasks[begin : begin + 30]] for begin in (0, 30, 60)]
    assert sorted(rounds[0]) == sorted(rounds[1]) == sorted(question.question for question in document.questions)
    assert rounds[0] != rounds[1]
    assert set(rounds[2]) < set(rounds[0])
    assert [tasks[0].task_id, tasks[74].task_id] == ["task-0001", "task-0075"]
    assert len({task.task_id for task in tasks}) == 75
    assert tasks == schedule_tasks(document, [float(number) for number in range(75)], 8, random.Random(4))


def test_a_task_knows_the_shards_it_needs() -> None:
    """The shards are those of the needed fragments, so unavoidable failures can be told beforehand."""
    document = made(1)
    titles = {fragment.fragment_id: fragment.title for fragment in document.fragments}
    for task in schedule_tasks(document, [0.0] * 50, 8, random.Random(1)):
        assert list(task.shards) == sorted({shard_of(titles[fragment], 8) for fragment in task.fragments})


def test_agents_get_the_question_and_nothing_that_answers_it() -> None:
    """What is broadcast about a task is its id, its time and its question."""
    document = made(1)
    for task in schedule_tasks(document, [0.5] * 50, 8, random.Random(1)):
        told = task.for_agents().model_dump()
        assert told == {"task_id": task.task_id, "at_s": 0.5, "question": task.question}
        assert task.answer not in json.dumps(told)


@pytest.mark.parametrize(
    ("answer", "key", "correct"),
    [
        ("Nive River", "Nive River", True),
        ("the nive river.", "Nive River", True),
        ("  The   NIVE\tRiver ", "Nive River", True),
        ("Nive-River", "Nive River", False),
        ("NiveRiver", "Nive-River", True),
        ("Theodor", "odor", False),
        ("1,234", "1234", True),
        ("Nive", "Nive River", False),
        ("Å River", "å river", True),
        ("", "Nive River", False),
        (None, "Nive River", False),
        (None, "", False),
    ],
)
def test_an_answer_is_correct_if_it_is_the_key_after_normalisation(
    answer: str | None, key: str, *, correct: bool
) -> None:
    """Case, ASCII punctuation, English articles and blanks do not count; everything else does."""
    assert is_correct(answer, key) is correct


@given(text=st.text())
def test_normalising_twice_changes_nothing(text: str) -> None:
    """Normalisation is idempotent, so every text is a correct answer to itself."""
    assert normalise(normalise(text)) == normalise(text)
    assert is_correct(text, text)
