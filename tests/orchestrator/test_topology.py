"""Shapes of the mesh: connected, undirected, seeded."""

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.topology import SHAPES, Shape, neighbours, node_names

SIZES = st.integers(1, 60)
SEEDS = st.integers(0, 10_000)


@given(kind=st.sampled_from(SHAPES), size=SIZES, seed=SEEDS)
@settings(deadline=None)
def test_every_shape_is_a_connected_undirected_graph(kind: Shape, size: int, seed: int) -> None:
    """Links go both ways, nobody links to itself, everybody can reach everybody, and the seed says which."""
    names = node_names(size)
    links = neighbours(kind, names, seed)
    assert tuple(links) == names
    assert all(node in links[other] for node in names for other in links[node])
    assert all(node not in links[node] for node in names)
    assert all(list(links[node]) == sorted(set(links[node]), key=names.index) for node in names)
    graph: nx.Graph[str] = nx.Graph()
    graph.add_nodes_from(names)
    graph.add_edges_from((node, other) for node in names for other in links[node])
    assert nx.is_connected(graph)
    assert links == neighbours(kind, names, seed)


@given(size=st.integers(5, 60), k=st.integers(3, 6), seed=SEEDS)
@settings(deadline=None)
def test_mesh_is_regular(size: int, k: int, seed: int) -> None:
    """Everybody has k links: all others up to k + 1 nodes, and k + 1 where no k-regular graph exists."""
    wanted = size - 1 if size <= k + 1 else k + 1 if size * k % 2 else k
    assert {len(found) for found in neighbours("mesh", node_names(size), seed, k).values()} == {wanted}


def test_mesh_differs_with_the_seed() -> None:
    """Another seed gives another mesh."""
    names = node_names(20)
    assert len({tuple(neighbours("mesh", names, seed).items()) for seed in range(10)}) == 10


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("star", {"agent_1": ("agent_2", "agent_3", "agent_4"), "agent_2": ("agent_1",)}),
        ("ring", {"agent_1": ("agent_2", "agent_4"), "agent_2": ("agent_1", "agent_3")}),
        ("full", {"agent_2": ("agent_1", "agent_3", "agent_4")}),
    ],
)
def test_plain_shapes(kind: Shape, expected: dict[str, tuple[str, ...]]) -> None:
    """The hub of a star is the first agent; a ring links the last to the first; full links everybody."""
    links = neighbours(kind, node_names(4), seed=1)
    assert {node: links[node] for node in expected} == expected


@pytest.mark.parametrize("kind", SHAPES)
def test_one_and_two_nodes(kind: Shape) -> None:
    """The smallest meshes have no link, and one."""
    assert neighbours(kind, ("agent_1",), 1) == {"agent_1": ()}
    assert neighbours(kind, ("agent_1", "agent_2"), 1) == {"agent_1": ("agent_2",), "agent_2": ("agent_1",)}


def test_too_few_links_are_refused() -> None:
    """A random graph of degree 2 falls apart into rings, so it is not offered."""
    with pytest.raises(ValueError, match="3 or more"):
        neighbours("mesh", node_names(10), 1, k=2)
