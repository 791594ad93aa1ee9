"""Fragments of the Gaia document and the rule by which any agent finds the shard of one."""

import hashlib
from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict, Field

from protocols.errors import FailstormError, LabError


class FragmentUnavailableError(FailstormError):
    """The shard of a fragment has no holder that can be reached; ``title`` and ``shard`` name what was asked for."""

    def __init__(self, title: str, shard: int) -> None:
        super().__init__(f"expected a live holder of shard {shard} for {title!r}, reached none; ask again later")
        self.title = title
        self.shard = shard


class Fragment(BaseModel):
    """What the document says about one entity; ``title`` is the entity's unique name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fragment_id: str = Field(min_length=1)
    title: str = Field(min_length=1)
    text: str


def shard_of(title: str, shard_count: int) -> int:
    """Shard (0 … ``shard_count`` - 1) of the fragment with this title, the same in every process.

    SHA-256 of the UTF-8 title modulo the number of shards: nobody has to be asked where a fragment lives, as in a
    distributed hash table (Stoica et al., Chord, SIGCOMM 2001).

    Raises:
        ValueError: ``shard_count`` is not positive.
    """
    if shard_count < 1:
        message = f"expected at least one shard, got {shard_count}"
        raise ValueError(message)
    digest = hashlib.sha256(title.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") % shard_count


class FragmentStore:
    """The shards that one agent holds in memory, out of ``shard_count``."""

    def __init__(self, shard_count: int) -> None:
        self._shard_count = shard_count
        self._shards: dict[int, dict[str, Fragment]] = {}

    @property
    def shards(self) -> tuple[int, ...]:
        """Numbers of the shards held here, ascending."""
        return tuple(sorted(self._shards))

    @property
    def fragment_count(self) -> int:
        """Number of fragments over all shards held here."""
        return sum(len(fragments) for fragments in self._shards.values())

    def holds(self, title: str) -> bool:
        """Whether the shard of this title is here, so that :meth:`lookup` is the last word on it."""
        return shard_of(title, self._shard_count) in self._shards

    def store(self, shard: int, fragments: Iterable[Fragment]) -> None:
        """Keep a whole shard; storing it again replaces it, so a repeated broadcast does no harm.

        Raises:
            LabError: a fragment belongs to another shard, where every reader would look for it in vain.
        """
        by_title: dict[str, Fragment] = {}
        for fragment in fragments:
            home = shard_of(fragment.title, self._shard_count)
            if home != shard:
                message = f"expected fragments of shard {shard}, got {fragment.title!r} of {home}; cut by shard_of"
                raise LabError(message)
            by_title[fragment.title] = fragment
        self._shards[shard] = by_title

    def fragments_of(self, shard: int) -> tuple[Fragment, ...]:
        """The fragments of one shard, in the order of the document; none if it is not here."""
        return tuple(self._shards.get(shard, {}).values())

    def lookup(self, title: str) -> Fragment | None:
        """Return the fragment with exactly this title; None if its shard is elsewhere or has no such entity."""
        return self._shards.get(shard_of(title, self._shard_count), {}).get(title)
