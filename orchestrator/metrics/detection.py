"""How fast, and how reliably, the survivors noticed who died."""

from collections.abc import Mapping
from math import inf

from orchestrator.evidence import Evidence, Suspicion
from orchestrator.metrics.definition import Value, metric, null, quantile, spread, to_ms, unstruck
from orchestrator.metrics.spans import Span, length, minus


def _detected(evidence: Evidence) -> Mapping[tuple[str, str], Suspicion]:
    """The lasting suspicion of each (survivor, victim): in force at the victim's restart, or at the end."""
    found: dict[tuple[str, str], Suspicion] = {}
    survivors = frozenset(evidence.survivors)
    for suspicion in evidence.suspicions:
        if suspicion.node in survivors and suspicion.peer in evidence.victims:
            outage = evidence.outages[suspicion.peer]
            until = min(outage.healing, evidence.end_s)
            if suspicion.begin < until <= suspicion.end:
                found[suspicion.node, suspicion.peer] = suspicion
    return found


@metric()
def detection_ms(evidence: Evidence) -> Value:
    """Time from T0 until a survivor suspects a victim for good, per (survivor, victim).

    Detection time as defined by Chen, Toueg and Aguilera (2002): a suspicion that was taken back while the victim was
    still dead does not count; one that began before the kill counts as 0. First, p50, p95, last over all pairs, and
    ``by_mechanism``: native watch, connection error (``request``, ``tcp``), probe timeout, gossip. ``pairs`` lists
    [survivor, victim, ms or null, mechanism or null]; ``undetected`` the pairs without a detection.
    """
    if reason := unstruck(evidence):
        return null(reason)
    detected = _detected(evidence)
    pairs: list[tuple[str, str, float | None, str | None]] = []
    by_mechanism: dict[str, list[float]] = {}
    for survivor in evidence.survivors:
        for victim in evidence.victims:
            suspicion = detected.get((survivor, victim))
            if suspicion is None:
                pairs.append((survivor, victim, None, None))
            else:
                after = max(0.0, suspicion.begin)
                pairs.append((survivor, victim, to_ms(after), suspicion.mechanism))
                by_mechanism.setdefault(suspicion.mechanism, []).append(after)
    undetected = [[survivor, victim] for survivor, victim, after, _ in pairs if after is None]
    every = [after for found in by_mechanism.values() for after in found]
    if not every:
        end_ms = to_ms(evidence.end_s)
        return null("no survivor suspected a victim for good", undetected=undetected, censored_at_ms=end_ms)
    result: dict[str, object] = {
        **spread(every),
        "by_mechanism": {name: spread(by_mechanism[name]) for name in sorted(by_mechanism)},
        "undetected": undetected,
        "pairs": [list(pair) for pair in pairs],
    }
    censored = {"censored_at_ms": to_ms(evidence.end_s)} if undetected else {}
    return Value(result, detail=censored)


def _up(evidence: Evidence, node: str) -> list[Span]:
    """When the node was certainly alive, between t0 and the end."""
    outage = evidence.outages.get(node)
    return minus([(evidence.t0_s, evidence.end_s)], [(outage.begin, outage.end)] if outage else [])


def _mistake(evidence: Evidence, suspicion: Suspicion) -> tuple[float, bool] | None:
    """How long a suspicion of a live peer lasted, and whether it was corrected; None when the peer was not alive.

    A mistake ends when it is taken back, or when the peer dies and the suspicion becomes true.
    """
    begin = max(suspicion.begin, evidence.t0_s)
    if begin > suspicion.end or not evidence.is_up(suspicion.peer, begin):
        return None
    outage = evidence.outages.get(suspicion.peer)
    truth = outage.begin if outage is not None and outage.begin > begin else inf
    return min(suspicion.end, truth) - begin, suspicion.retracted and suspicion.end <= truth


@metric("count")
def false_suspicions(evidence: Evidence) -> Value:
    """Suspicions, by any agent, of a peer that was alive; from t0 to the end (Chen, Toueg and Aguilera 2002).

    ``mistake_p50_ms`` and ``mistake_max_ms``: how long the mistakes lasted that were corrected; ``uncorrected`` are
    those that lasted until the observer or the peer died, or the run ended. ``query_accuracy``: the probability that
    a live agent, asked at a random time about a live peer, holds it for alive; null with fewer than two agents.
    A suspicion that was right stays no mistake when its victim is restarted, but costs accuracy from ``heal_done``
    until it is taken back; a new one after ``heal_done`` is a mistake. During a restart nothing is counted.
    """
    mistakes = [found for suspicion in evidence.suspicions if (found := _mistake(evidence, suspicion))]
    corrected = [duration for duration, retracted in mistakes if retracted]
    up = {member.node_id: _up(evidence, member.node_id) for member in evidence.agents}
    down = {node: minus([(evidence.t0_s, evidence.end_s)], spans) for node, spans in up.items()}
    asked = sum(length(minus(up[observer], down[peer])) for observer in up for peer in up if observer != peer)
    held: dict[tuple[str, str], list[Span]] = {}
    for suspicion in evidence.suspicions:
        held.setdefault((suspicion.node, suspicion.peer), []).append((suspicion.begin, suspicion.end))
    outside = [(-inf, evidence.t0_s), (evidence.end_s, inf)]
    wrong = sum(
        length(minus(spans, [*outside, *down[observer], *down[peer]])) for (observer, peer), spans in held.items()
    )
    return Value(
        {
            "count": len(mistakes),
            "uncorrected": len(mistakes) - len(corrected),
            "mistake_p50_ms": to_ms(quantile(corrected, 0.5)) if corrected else None,
            "mistake_max_ms": to_ms(max(corrected)) if corrected else None,
            "query_accuracy": 1 - wrong / asked if asked else None,
        }
    )
