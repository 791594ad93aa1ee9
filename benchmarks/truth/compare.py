"""Holds a journal against the capture of its storm: pure, from connections and an account to the findings."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import inf

from benchmarks.truth.account import Account, Broke
from benchmarks.truth.results import Gap, NodeBytes, VictimTimes, WindowBytes
from benchmarks.truth.wire import Moved, Seen

CONDUCTOR = "orchestrator"


def node_bytes(account: Account, seen: Iterable[Seen]) -> list[NodeBytes]:
    """Each agent's journal beside its connections."""
    traffic = [connection for connection in seen if connection.service == "protocol"]
    return [_node(node, account, traffic) for node in account.agents]


def _node(node: str, account: Account, traffic: Sequence[Seen]) -> NodeBytes:
    until = account.until(node)
    told = [line for line in account.counted[node] if line.t <= until]
    # A connection to itself would count at both of its ends, here as in the journal.
    sent = [*_of(traffic, node, as_client=True, upward=True), *_of(traffic, node, as_client=False, upward=False)]
    received = [*_of(traffic, node, as_client=True, upward=False), *_of(traffic, node, as_client=False, upward=True)]
    return NodeBytes(
        node=node,
        is_victim=node in account.kills,
        journal_sent=sum(line.sent for line in told),
        journal_received=sum(line.received for line in told),
        wire_sent=_between(sent, -inf, until),
        wire_received=_between(received, -inf, until),
        untold=_between([*sent, *received], until, account.kills.get(node, account.run_end)),
    )


def _of(traffic: Iterable[Seen], node: str, *, as_client: bool, upward: bool) -> Iterator[Moved]:
    for connection in traffic:
        if (connection.client if as_client else connection.server) == node:
            yield from connection.upward if upward else connection.downward


def _between(moved: Iterable[Moved], after: float, until: float) -> int:
    """Bytes in (after, until]."""
    return sum(size for at_s, size in moved if after < at_s <= until)


def window_bytes(account: Account, seen: Iterable[Seen]) -> WindowBytes:
    """``bytes_reconnect`` beside all traffic of the mesh, which is what the agents say to each other.

    Whose lines tell of a connection: its client's, but its server's when the client was killed.
    """
    begin, end = account.storm_at, account.storm_at + account.byte_window_s
    wire = early = late = 0
    for connection in seen:
        if connection.service != "protocol" or CONDUCTOR in (connection.client, connection.server):
            continue
        moved = list(connection.moved())
        wire += sum(size for at_s, size in moved if begin <= at_s < end)
        teller = connection.server if connection.client in account.kills else connection.client
        if teller not in account.counted:
            continue  # nobody knows whose lines would tell of it
        lines = [line.t for line in account.counted[teller]]
        before = max((t for t in lines if t < begin), default=-inf)
        last = max((t for t in lines if t < end), default=-inf)
        early += _between(moved, before, begin)
        late += _between(moved, last, end)
    return WindowBytes(journal=account.bytes_reconnect, wire=wire, early=early, late=late)


def victim_times(account: Account, seen: Sequence[Seen], exits: Mapping[str, float]) -> list[VictimTimes]:
    """How each kill was seen. ``exits``: by node, when its process began to end (monotonic s), by the kernel.

    What a victim closed before its process began to end is an ordinary close, and none of the kill's doing.
    """
    return [_victim(victim, killed_s, account, seen, exits.get(victim)) for victim, killed_s in account.kills.items()]


def _victim(victim: str, killed_s: float, account: Account, seen: Sequence[Seen], exit_s: float | None) -> VictimTimes:
    def after(at_s: float | None) -> float | None:
        return None if at_s is None else round((at_s - killed_s) * 1000, 4)

    alive = [] if exit_s is None else [one for one in seen if one.began_s < exit_s and not _was_over(one, exit_s)]
    ends = [at_s for connection in alive if (at_s := connection.end_of(victim)) is not None]
    canary = [
        at_s
        for connection in alive
        if (connection.service, connection.client, connection.server) == ("admin", CONDUCTOR, victim)
        and not any(connection.moved())
        and (at_s := connection.server_end_s) is not None
    ]
    return VictimTimes(
        victim=victim,
        exit_ms=after(exit_s),
        closed_before=0 if exit_s is None else sum(_ended(one, victim, killed_s, exit_s) for one in seen),
        first_end_ms=after(min(ends, default=None)),
        canary_end_ms=after(min(canary, default=None)),
        canary_eof_ms=after(account.canary_eofs.get(victim)),
        death_ms=after(account.deaths.get(victim)),
    )


def _ended(connection: Seen, victim: str, begin: float, end: float) -> bool:
    at_s = connection.end_of(victim)
    return at_s is not None and begin <= at_s < end


def _was_over(connection: Seen, t: float) -> bool:
    """Whether either end had closed it before: what the kill then ends is no news to anybody."""
    ends = (connection.client_end_s, connection.server_end_s)
    return any(end is not None and end < t for end in ends)


def gaps(account: Account, seen: Sequence[Seen]) -> list[Gap]:
    """Of the end of every watched connection to a victim that is in the capture and that an observer told of."""
    found = (_gap(broke, account, seen) for broke in account.broke)
    return [gap for gap in found if gap is not None]


def _gap(broke: Broke, account: Account, seen: Sequence[Seen]) -> Gap | None:
    killed_s = account.kills[broke.victim]
    between = [
        one for one in seen if one.service == "protocol" and {one.client, one.server} == {broke.observer, broke.victim}
    ]
    own = [one for one in between if one.ports in (broke.ports, broke.ports[::-1]) and one.began_s < broke.t]
    ends = _ends(own[-1:], broke.victim, killed_s)
    if not ends:
        return None
    suspected = _brought(broke, account)
    first = min(_ends(between, broke.victim, killed_s))
    return Gap(
        observer=broke.observer,
        victim=broke.victim,
        mechanism=broke.mechanism,
        eof_ms=_ms(broke.eof_t - ends[0]),
        evidence_ms=_ms(broke.t - ends[0]),
        suspicion_ms=_ms(suspected - ends[0]) if suspected is not None else None,
        after_first_ms=_ms(suspected - first) if suspected is not None else None,
        lag_then_ms=broke.lag_ms,
        lag_ms=account.lag_ms(broke.observer, killed_s, broke.t),
    )


def _ends(connections: Iterable[Seen], victim: str, killed_s: float) -> list[float]:
    ended = (one.end_of(victim) for one in connections)
    return [at_s for at_s in ended if at_s is not None and at_s >= killed_s]


def _brought(broke: Broke, account: Account) -> float | None:
    """When the suspicion came that this evidence brought about; None when other evidence was first."""
    if not broke.probes:
        return None
    return next(
        (one.t for one in account.noticed
         if (one.observer, one.victim, one.mechanism) == (broke.observer, broke.victim, broke.mechanism)),
        None,
    )  # fmt: skip


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 4)
