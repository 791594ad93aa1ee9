"""Fragments are found by their title alone, and an agent answers for its own shards only."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.fragments import Fragment, FragmentStore, shard_of
from protocols.errors import LabError

HERE = Fragment(fragment_id="f-1", title="Aurora Bridge", text="It crosses the Tavel River.")


def test_shard_of_is_the_same_in_every_process_and_version() -> None:
    """Two titles whose shards were worked out by hand with sha256sum."""
    assert (shard_of("Aurora Bridge", 8), shard_of("Karsund", 8)) == (6, 0)


@given(title=st.text(), shard_count=st.integers(1, 1000))
def test_shard_of_is_in_range(title: str, shard_count: int) -> None:
    """Any title has a shard, and always the same."""
    assert 0 <= shard_of(title, shard_count) < shard_count
    assert shard_of(title, shard_count) == shard_of(title, shard_count)


def test_shard_of_refuses_no_shards() -> None:
    """Without shards there is nowhere to look."""
    with pytest.raises(ValueError, match="at least one shard, got 0"):
        shard_of("Karsund", 0)


def test_a_store_answers_for_its_own_shards_only() -> None:
    """Lookup finds what is stored; holds tells an unknown entity from a shard that lives elsewhere."""
    store = FragmentStore(shard_count=1000)
    shard = shard_of(HERE.title, 1000)
    store.store(shard, [HERE])
    store.store(shard, [HERE])
    assert (store.shards, store.fragment_count) == ((shard,), 1)
    assert store.lookup(HERE.title) == HERE
    assert (store.holds(HERE.title), store.holds("Karsund")) == (True, False)
    assert store.lookup("Karsund") is None


def test_a_store_refuses_a_fragment_of_another_shard() -> None:
    """A misfiled fragment would never be found, so it is an error of the lab."""
    with pytest.raises(LabError, match="Aurora Bridge"):
        FragmentStore(shard_count=1000).store(shard_of("Aurora Bridge", 1000) + 1, [HERE])
