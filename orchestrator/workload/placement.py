"""Says which agents hold which shard."""

from collections.abc import Iterable, Sequence

from agent.fragments import Fragment, shard_of
from orchestrator.seeds import stream


def place(shard_count: int, agents: Sequence[str], replication: int, seed: int) -> list[list[str]]:
    """Return the holders of each shard: ``replication`` distinct agents, or all where there are fewer.

    Chained declustering (Hsiao and DeWitt, ICDE 1990) on a seeded permutation: neighbours in the chain share shards, so
    the load is even and the loss of any one agent is carried by two.

    Raises:
        ValueError: there is no agent, or ``replication`` is not positive.
    """
    if not agents or replication < 1:
        message = f"expected agents and a positive replication, got {len(agents)} agents and replication {replication}"
        raise ValueError(message)
    chain = stream(seed, "placement").sample(list(agents), len(agents))
    copies = min(replication, len(chain))
    return [[chain[(shard + copy) % len(chain)] for copy in range(copies)] for shard in range(shard_count)]


def cut(fragments: Iterable[Fragment], shard_count: int) -> list[list[Fragment]]:
    """Return the fragments of each shard, in the order of the document."""
    shards: list[list[Fragment]] = [[] for _ in range(shard_count)]
    for fragment in fragments:
        shards[shard_of(fragment.title, shard_count)].append(fragment)
    return shards
