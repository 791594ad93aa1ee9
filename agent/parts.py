"""Cuts a broadcast into messages that every protocol carries, whatever the size of the document, and joins them."""

from collections.abc import Iterator

from agent.fragments import Fragment
from agent.workspace import Broadcast, Question

PART_BYTES = 1_000_000
"""Of JSON before a protocol wraps it; the protocols refuse bodies of more than 8 MiB."""


def split(whole: Broadcast, most_bytes: int = PART_BYTES) -> list[Broadcast]:
    """Parts of at most about ``most_bytes``, one at least; a single larger fragment is a part of its own."""
    parts: list[tuple[dict[int, list[Fragment]], list[Question]]] = []
    size = most_bytes + 1
    for shard, item in _items(whole):
        length = len(item.model_dump_json())
        if size + length > most_bytes:
            parts.append(({}, []))
            size = 0
        size += length
        if isinstance(item, Question):
            parts[-1][1].append(item)
        else:
            parts[-1][0].setdefault(shard, []).append(item)
    parts = parts or [({}, [])]
    # A shard without a fragment is one that is held all the same.
    for shard in whole.shards:
        parts[0][0].setdefault(shard, [])
    return [
        Broadcast(
            document=whole.document,
            shards={shard: tuple(fragments) for shard, fragments in shards.items()},
            placement=whole.placement,
            schedule=tuple(schedule),
            part=number,
            parts=len(parts),
        )
        for number, (shards, schedule) in enumerate(parts)
    ]


def _items(whole: Broadcast) -> Iterator[tuple[int, Fragment | Question]]:
    for shard, fragments in whole.shards.items():
        yield from ((shard, fragment) for fragment in fragments)
    yield from ((-1, question) for question in whole.schedule)


class Assembly:
    """Collects the parts of a broadcast, in any order, each any number of times."""

    def __init__(self) -> None:
        self._parts: dict[int, Broadcast] = {}

    def add(self, part: Broadcast) -> Broadcast | None:
        """Take a part in; the whole once it is complete, and then begin anew."""
        self._parts[part.part] = part
        if len(self._parts) < part.parts:
            return None
        parts = [self._parts[number] for number in sorted(self._parts)]
        self._parts = {}
        shards: dict[int, list[Fragment]] = {}
        for one in parts:
            for shard, fragments in one.shards.items():
                shards.setdefault(shard, []).extend(fragments)
        return Broadcast(
            document=part.document,
            shards={shard: tuple(fragments) for shard, fragments in shards.items()},
            placement=part.placement,
            schedule=tuple(question for one in parts for question in one.schedule),
        )
