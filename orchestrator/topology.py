"""Who keeps a warm link to whom."""

from collections.abc import Iterable, Sequence
from random import Random
from typing import Literal, get_args

import networkx as nx

from orchestrator.seeds import stream
from protocols.errors import ConfigError, LabError

Shape = Literal["mesh", "full", "star", "ring"]
SHAPES: tuple[Shape, ...] = get_args(Shape)
Kind = Literal["mesh", "full", "star", "ring", "file"]
"""``file`` is one whose edges the user gives."""
_TRIES = 100
_KEY = "scenario.topology"


def node_names(agent_count: int) -> tuple[str, ...]:
    """``agent_1`` to ``agent_N``."""
    return tuple(f"agent_{number}" for number in range(1, agent_count + 1))


def neighbours(kind: Shape, names: Sequence[str], seed: int, k: int = 4) -> dict[str, tuple[str, ...]]:
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


def from_edges(edges: Iterable[Sequence[str]], names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Each node's neighbours as :func:`neighbours` gives them, out of edges that a user wrote.

    Raises ConfigError with one line for an edge that is none of two nodes, an unknown node, a loop, and a graph that
    does not hang together. An edge that stands there twice, either way round, is one.
    """
    graph: nx.Graph[str] = nx.Graph()
    graph.add_nodes_from(names)
    for edge in edges:
        if len(edge) != 2:  # noqa: PLR2004
            raise ConfigError(f"{_KEY}: expected edges of two nodes, got {list(edge)}; correct the edge")
        one, other = edge
        for name in edge:
            if name not in graph:
                raise ConfigError(
                    f"{_KEY}: expected nodes agent_1 to {names[-1]}, got {name!r}; rename it, or set agent_count"
                )
        if one == other:
            raise ConfigError(f"{_KEY}: expected links to others, got {one} linked to itself; leave that edge out")
        graph.add_edge(one, other)
    if not nx.is_connected(graph):
        piece = min(nx.connected_components(graph), key=len)
        alone = ", ".join(name for name in names if name in piece)
        raise ConfigError(f"{_KEY}: expected one connected graph, got {alone} apart from the others; add an edge")
    return {name: tuple(other for other in names if other in graph[name]) for name in names}


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
