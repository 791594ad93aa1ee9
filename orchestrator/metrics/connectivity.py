"""Whether the survivors still hang together by the links that they keep."""

from collections.abc import Iterable, Iterator
from math import inf

from agent.links import pieces
from orchestrator.events.agents import LinkDown, LinkUp
from orchestrator.evidence import Evidence
from orchestrator.metrics.definition import Value, metric, null, to_ms

Edge = tuple[str, str]
"""Who keeps the link, and to whom."""


def _changes(evidence: Evidence) -> list[tuple[float, int, Edge | str]]:
    """(t, kind, what) in the order of time: an outage (0) takes its victim's links, a link goes (1), one comes (2).

    Links of who is frozen or cut off carry nothing; when it is healed the others have given them up and link anew.
    """
    deaths = ((outage.begin, 0, node) for node, own in evidence.outages.items() for outage in own if not outage.weak)
    downs = ((row.t, 1, (row.node, row.peer)) for row in evidence.rows(LinkDown))
    ups = ((row.t, 2, (row.node, row.peer)) for row in evidence.rows(LinkUp))
    return sorted([*deaths, *downs, *ups], key=lambda change: change[:2])


def _states(evidence: Evidence) -> Iterator[tuple[float, Iterable[Edge]]]:
    """(t, the live links from t on): just before T0, and at each change from then on."""
    links: dict[Edge, None] = {}
    begun = False
    for t, kind, what in _changes(evidence):
        if t >= 0 and not begun:
            begun = True
            yield -inf, links
        if isinstance(what, str):
            links = {edge: None for edge in links if what not in edge}
        elif kind == 1:
            links.pop(what, None)
        else:
            links[what] = None
        if begun:
            yield t, links
    if not begun:
        yield -inf, links


def _shares(evidence: Evidence) -> Iterator[tuple[float, float]]:
    """The same with the share of the pairs of survivors that these links connect."""
    nodes = [member.node_id for member in evidence.agents]
    survivors = frozenset(evidence.survivors)
    pairs = len(survivors) * (len(survivors) - 1)
    for t, links in _states(evidence):
        sizes = [sum(node in survivors for node in piece) for piece in pieces(nodes, links)]
        yield t, sum(size * (size - 1) for size in sizes) / pairs


@metric("ratio")
def connectivity(evidence: Evidence) -> Value:
    """Share of the pairs of survivors that are connected by live links, over other agents too: at any time, from T0 on.

    A link is live from ``link_up`` to ``link_down`` of the agent that keeps it, as long as both ends live; whoever
    keeps it, both can use it. A victim takes its links with it and, restarted, counts again as a way, not as a
    survivor. ``baseline`` is the share just before T0, ``min`` and ``end`` are from T0 on, ``disconnected_ms`` is how
    long it was below 1 in all, ``curve`` lists [t_s, share] at each change, t_s in seconds since T0.
    """
    if len(evidence.survivors) < 2:  # noqa: PLR2004
        return null("fewer than two agents survived")
    (_, baseline), *changes = _shares(evidence)
    curve = [(0.0, baseline)]
    for t, share in changes:
        if t == 0:
            curve = [(0.0, share)]
        elif t <= evidence.end_s and share != curve[-1][1]:
            curve.append((t, share))
    ends = [*(t for t, _ in curve[1:]), evidence.end_s]
    apart_s = sum(end - t for (t, share), end in zip(curve, ends, strict=True) if share < 1)
    return Value({
        "baseline": baseline,
        "min": min(share for _, share in curve),
        "end": curve[-1][1],
        "disconnected_ms": to_ms(max(0.0, apart_s)),
        "curve": [list(point) for point in curve],
    })  # fmt: skip
