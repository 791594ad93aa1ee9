"""Which shards are to be copied, from whom to whom: a rule without I/O that every survivor computes alike."""

from collections.abc import Sequence
from dataclasses import dataclass

from agent.ranking import rank


@dataclass(frozen=True)
class Copy:
    """``target`` is to fetch ``shard`` from ``source``."""

    shard: int
    source: str
    target: str


def copies(
    holders: Sequence[Sequence[str]],
    alive: Sequence[str],
    replication: int,
    seed: int,
    doubtful: Sequence[str] = (),
) -> list[Copy]:
    """What brings every shard back to ``replication`` live holders, or to all the living where they are fewer.

    ``holders`` is the placement: shard → who holds it, dead or alive. Targets are drawn by rendezvous hashing, so that
    another death moves no other copy, and sources too, so that the load is spread. A shard without any live holder is
    lost, and one whose holders live needs nothing. Who is ``doubtful`` counts for dead, but for one thing: where
    nobody else holds a shard, it is the source.
    """
    planned: list[Copy] = []
    for shard, names in enumerate(holders):
        living = [name for name in alive if name in names]
        trusted = [name for name in living if name not in doubtful]
        sound = [name for name in alive if name not in doubtful]
        missing = min(replication, len(sound)) - len(trusted)
        if living and missing > 0:
            free = [name for name in sound if name not in living]
            targets = rank(f"{seed}|replica|{shard}", free)[:missing]
            planned += [Copy(shard, source_of(shard, target, trusted or living, seed), target) for target in targets]
    return planned


def source_of(shard: int, target: str, living: Sequence[str], seed: int) -> str:
    """From which of its live holders ``target`` fetches a shard."""
    return rank(f"{seed}|source|{shard}|{target}", living)[0]
