"""How fast, and how reliably, the survivors noticed who died."""

from collections.abc import Mapping
from math import inf

from orchestrator.evidence import Evidence
from orchestrator.metrics.definition import Value, metric, null, quantile, spread, to_ms, unstruck
from orchestrator.metrics.spans import Span, length, minus
from orchestrator.outages import Outage
from orchestrator.suspicions import Suspicion


def _silences(evidence: Evidence) -> dict[str, Outage]:
    """The first outage of each victim that ought to be noticed: of those that were not only weakened."""
    firsts = {
        victim: next((outage for outage in evidence.outages[victim] if not outage.weak), None)
        for victim in evidence.victims
    }
    return {victim: outage for victim, outage in firsts.items() if outage is not None}


def _detected(evidence: Evidence, silences: Mapping[str, Outage]) -> Mapping[tuple[str, str], Suspicion]:
    """The lasting suspicion of each (survivor, victim): in force at the victim's healing, or at the end."""
    found: dict[tuple[str, str], Suspicion] = {}
    survivors = frozenset(evidence.survivors)
    for suspicion in evidence.suspicions:
        if suspicion.node in survivors and suspicion.peer in silences:
            until = min(silences[suspicion.peer].healing, evidence.end_s)
            if suspicion.begin < until <= suspicion.end:
                found[suspicion.node, suspicion.peer] = suspicion
    return found


@metric()
def detection_ms(evidence: Evidence) -> Value:
    """Time from T0 until a survivor suspects a victim for good, per (survivor, victim).

    Detection time as defined by Chen, Toueg and Aguilera (2002): a suspicion that was taken back while the victim was
    still dead does not count; one that began before the kill counts as 0. Frozen and cut off victims count as dead; of
    several outages of a victim the first one counts, and a later wave of blows counts from its own first call. First,
    p50, p95, last over all pairs, and ``by_mechanism``: native watch, connection error (``request``, ``tcp``), probe
    timeout, gossip. ``pairs`` lists [survivor, victim, ms or null, mechanism or null]; ``undetected`` the pairs without
    a detection.
    """
    if reason := unstruck(evidence):
        return null(reason)
    silences = _silences(evidence)
    if not silences:
        return null("no victim fell silent: the faults only weakened them")
    detected = _detected(evidence, silences)
    pairs: list[tuple[str, str, float | None, str | None]] = []
    by_mechanism: dict[str, list[float]] = {}
    for survivor in evidence.survivors:
        for victim, outage in silences.items():
            suspicion = detected.get((survivor, victim))
            if suspicion is None:
                pairs.append((survivor, victim, None, None))
            else:
                after = max(0.0, suspicion.begin - outage.since)
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
    """When the node was certainly alive and not struck, between t0 and the end."""
    outages = evidence.outages.get(node, ())
    return minus([(evidence.t0_s, evidence.end_s)], [(outage.begin, outage.end) for outage in outages])


def _mistake(evidence: Evidence, suspicion: Suspicion) -> tuple[float, bool] | None:
    """How long a suspicion of a live peer lasted, and whether it was corrected; None when the peer was not alive.

    Nor is it a mistake of an observer that is struck itself: one that is cut off cannot tell itself from the others. A
    mistake ends when it is taken back, or when the peer dies and the suspicion becomes true.
    """
    begin = max(suspicion.begin, evidence.t0_s)
    if begin > suspicion.end or not (evidence.is_up(suspicion.peer, begin) and evidence.is_up(suspicion.node, begin)):
        return None
    later = (outage.begin for outage in evidence.outages.get(suspicion.peer, ()) if outage.begin > begin)
    truth = next(later, inf)
    return min(suspicion.end, truth) - begin, suspicion.retracted and suspicion.end <= truth


@metric("count")
def false_suspicions(evidence: Evidence) -> Value:
    """Suspicions of a peer that was alive; from t0 to the end (Chen, Toueg and Aguilera 2002).

    By any agent that was not struck itself, of any that was not: who is frozen, cut off or weakened counts as dead.

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
