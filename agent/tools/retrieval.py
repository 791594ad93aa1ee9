"""Finds fragments by their words: BM25 over one shard, and the merge of what several shards found."""

from collections.abc import Iterable, Sequence
from typing import Any

from agent.fragments import Fragment
from agent.tools.contract import StepPayload


class Hit(StepPayload):
    """A fragment and how well it matches, comparable over shards of similar content."""

    fragment: Fragment
    score: float


class ShardIndex:
    """BM25 (Robertson and others, TREC-3; Lucene's variant) over the fragments of one shard.

    Rare words are rare in the shard: with fragments spread by a hash, the shards' statistics are alike.
    """

    def __init__(self, fragments: Sequence[Fragment]) -> None:
        self._fragments = tuple(fragments)
        self._index = _index([f"{fragment.title} {fragment.text}" for fragment in self._fragments])

    def find(self, query: str, limit: int) -> tuple[Hit, ...]:
        """The best ``limit`` fragments that share a word with the query, the best first."""
        words = _words([query])[0]
        if self._index is None or not words:
            return ()
        count = min(limit, len(self._fragments))
        numbers, scores = self._index.retrieve([words], k=count, show_progress=False)
        found = zip(numbers[0].tolist(), scores[0].tolist(), strict=True)
        return best([Hit(fragment=self._fragments[one], score=round(score, 6)) for one, score in found], limit)


def preload() -> None:
    """Load what searching by words needs: seconds on a busy machine, during which a heartbeat would stand still."""
    ShardIndex([Fragment(fragment_id="f", title="warm", text="up")]).find("warm", 1)


def best(hits: Iterable[Hit], limit: int) -> tuple[Hit, ...]:
    """The best ``limit`` of these, each fragment once; equal scores in the order of the ids."""
    ranked = sorted((hit for hit in hits if hit.score > 0), key=lambda hit: (-hit.score, hit.fragment.fragment_id))
    unique: dict[str, Hit] = {}
    for hit in ranked:
        unique.setdefault(hit.fragment.fragment_id, hit)
    return tuple(unique.values())[:limit]


def _words(texts: list[str]) -> list[list[str]]:
    # Late: loading it takes longer than a failure detector waits, and generated documents do without.
    import bm25s  # noqa: PLC0415

    words: list[list[str]] = bm25s.tokenize(texts, return_ids=False, show_progress=False, stopwords="en")
    return words


def _index(texts: list[str]) -> Any:
    import bm25s  # noqa: PLC0415

    words = _words(texts) if texts else []
    if not any(words):
        return None
    index = bm25s.BM25()
    index.index(words, show_progress=False)
    return index
