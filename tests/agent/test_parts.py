"""A broadcast of any size comes in parts that every protocol carries, and is the same when they are joined."""

import random

from hypothesis import given
from hypothesis import strategies as st

from agent.fragments import Fragment
from agent.parts import Assembly, split
from agent.workspace import Broadcast, Question

SHARDS = st.dictionaries(st.integers(0, 5), st.lists(st.text(max_size=60), max_size=8), max_size=4)


def whole(texts: dict[int, list[str]], questions: int) -> Broadcast:
    """A broadcast with these texts in these shards."""
    shards = {
        shard: tuple(Fragment(fragment_id=f"{shard}-{n}", title=f"t{n}", text=text) for n, text in enumerate(lines))
        for shard, lines in texts.items()
    }
    schedule = tuple(Question(task_id=f"q{n}", question="?", at_s=float(n)) for n in range(questions))
    return Broadcast(document="d", shards=shards, placement=(("agent_1",),), schedule=schedule)


@given(SHARDS, st.integers(0, 20), st.integers(1, 500), st.randoms(use_true_random=False))
def test_parts_join_to_the_whole(texts: dict[int, list[str]], questions: int, most: int, rng: random.Random) -> None:
    """In any order, some of them twice; nothing is complete before the last."""
    sent = whole(texts, questions)
    parts = split(sent, most)
    order = [*parts, *rng.sample(parts, len(parts) // 2)]
    rng.shuffle(order)
    assembly, seen = Assembly(), set[int]()
    for part in order:
        joined = assembly.add(part)
        seen.add(part.part)
        if len(seen) == len(parts):
            assert joined == sent
            break
        assert joined is None


def test_parts_keep_their_size() -> None:
    """No part is much larger than asked for, unless a single fragment is."""
    sent = whole({0: ["x" * 300] * 50, 1: ["y" * 5000]}, 50)
    sizes = [len(part.model_dump_json()) for part in split(sent, 2000)]
    assert len(sizes) > 10
    assert sorted(sizes)[-2] < 2600
    assert max(sizes) < 5400


def test_a_small_document_is_one_message() -> None:
    """Nothing changes for it."""
    assert split(whole({0: ["a"], 3: []}, 2)) == [whole({0: ["a"], 3: []}, 2)]
