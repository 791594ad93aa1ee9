"""Who keeps a warm link to whom."""

from collections.abc import Sequence
from random import Random
from typing import Literal, get_args

import networkx as nx

from orchestrator.seeds import stream
from protocols.errors import LabError

Kind = Literal["mesh", "full", "star", "ring"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_TRIES = 100


def node_names(agent_count: int) -> tuple[str, ...]:
    """``agent_1`` to ``agent_N``."""
    return tuple(f"agent_{number}" for number in range(1, agent_count + 1))


def neighbours(kind: Kind, names: Sequence[str], seed: int, k: int = 4) -> dict[str, tuple[str, ...]]:
    """Each node's neighbours, in the order of ``names``; undirected, connected, without loops.

    ``mesh`` is a random k-regular graph (Steger and Wormald 1999), and full up to k + 1 nodes; when the number of
    nodes and k are both odd, which no regular graph can have, every node gets k + 1. The hub of ``star`` is the first
    node. Raises ValueError for k < 3, where random regular graphs are rarely connected.
    """
    size = len(names)
    if kind == "mesh":
        graph = _regular(size, k, stream(seed, "topology"))
    elif kind == "full":
        graph = nx.complete_graph(size)
    elif kind == "star":
        graph = nx.star_graph(size - 1)
    else:
        # cycle_graph links a single node to itself.
        graph = nx.cycle_graph(size) if size > 1 else nx.empty_graph(size)
    return {name: tuple(names[other] for other in sorted(graph[place])) for place, name in enumerate(names)}


def _regular(size: int, k: int, rng: Random) -> "nx.Graph[int]":
    least_degree = 3
    if k < least_degree:
        raise ValueError(f"expected k of {least_degree} or more, got {k}")
    if size <= k + 1:
        complete: nx.Graph[int] = nx.complete_graph(size)
        return complete
    degree = k + 1 if size * k % 2 else k
    for _ in range(_TRIES):
        graph: nx.Graph[int] = nx.random_regular_graph(degree, size, seed=rng)
        if nx.is_connected(graph):
            return graph
    raise LabError(f"expected a connected {degree}-regular graph of {size} nodes, got none in {_TRIES} tries")
