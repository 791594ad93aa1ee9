"""Which links a node should hold, given who is alive: rules that every survivor computes alike."""

from collections.abc import Iterable, Sequence

from agent.ranking import rank


def replacements(
    topology: str,
    me: str,
    neighbours: Sequence[str],
    roster: Sequence[str],
    alive: Sequence[str],
    edges: Sequence[tuple[str, str]] = (),
) -> tuple[str, ...]:
    """The links that ``me`` should hold, given who is alive: its live neighbours, and one stand-in for each dead one.

    ``ring``: the next living node on either side. ``star``: the first living node of the roster is the hub, the
    others are its leaves. Otherwise the stand-ins are the next living nodes, not linked yet, on one hashed circle of
    all (as the successors in Chord): so nobody stands in for more than it has neighbours itself. With a full mesh
    nothing is left to choose. A topology of the user's own (``edges``) need not be so well woven: where the deaths cut
    it into pieces, the first living node of each is linked to that of the next. Roster order in, deterministic order
    out.
    """
    living = [name for name in roster if name in alive or name == me]
    if topology == "star":
        hub = living[0]
        return tuple(name for name in living if name != me) if hub == me else (hub,)
    if topology == "ring":
        place = living.index(me)
        around = (living[place - 1], living[(place + 1) % len(living)])
        return tuple(dict.fromkeys(name for name in around if name != me))
    wanted = [name for name in neighbours if name in living]
    circle = rank("circle", living)
    place = circle.index(me)
    free = [name for name in (*circle[place + 1 :], *circle[:place]) if name not in wanted]
    standing_in = free[: len(neighbours) - len(wanted)]
    return tuple(dict.fromkeys((*wanted, *standing_in, *_bridges(me, living, edges))))


def _bridges(me: str, living: Sequence[str], edges: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """Whom ``me`` must link to so that the pieces into which ``edges`` have fallen hang together, in a ring."""
    if not edges:
        return ()
    heads = [piece[0] for piece in pieces(living, edges)]
    if me not in heads:
        return ()
    place = heads.index(me)
    around = (heads[place - 1], heads[(place + 1) % len(heads)])
    return tuple(dict.fromkeys(name for name in around if name != me))


def pieces(nodes: Sequence[str], edges: Iterable[tuple[str, str]]) -> list[list[str]]:
    """The connected components of ``nodes``, each in their order, ordered by their first; other edges are left out."""
    beside: dict[str, list[str]] = {node: [] for node in nodes}
    for one, other in edges:
        if one in beside and other in beside:
            beside[one].append(other)
            beside[other].append(one)
    found: list[list[str]] = []
    seen: dict[str, None] = {}
    for node in nodes:
        if node not in seen:
            reached = {node: None}
            waiting = [node]
            while waiting:
                new = [other for other in beside[waiting.pop()] if other not in reached]
                reached |= dict.fromkeys(new)
                waiting += new
            seen |= reached
            found.append([name for name in nodes if name in reached])
    return found


def most_links(topology: str, neighbours: Sequence[str], roster: Sequence[str]) -> int:
    """The most links that any node comes to hold: in a mesh as many for others as it has neighbours itself."""
    if topology == "ring":
        return 2
    return len(roster) - 1 if topology in ("star", "file") else min(2 * len(neighbours), len(roster) - 1)
