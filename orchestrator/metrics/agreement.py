"""When all survivors agree on who is alive."""

from orchestrator.events.conductor import FaultCall, KillCall
from orchestrator.evidence import Evidence
from orchestrator.metrics.definition import Value, metric, null, to_ms, unstruck
from orchestrator.metrics.spans import Span, merged, minus
from orchestrator.suspicions import Suspicion


def disagreements(evidence: Evidence) -> list[Span]:
    """When at least one survivor's view was wrong, from T0 to the end: disjoint spans, in order, s since T0.

    To agree on who is alive means that each survivor holds every dead agent for dead and every other for alive: a view
    that all share, but that is wrong, is no agreement. Frozen and cut off victims count as dead. While a victim is
    being restarted or healed, or is only weakened, either view of it is right; once it serves again, holding it for
    dead is wrong.
    """
    held: dict[tuple[str, str], list[Suspicion]] = {}
    for suspicion in evidence.suspicions:
        held.setdefault((suspicion.node, suspicion.peer), []).append(suspicion)
    wrong: list[Span] = []
    for survivor in evidence.survivors:
        for member in evidence.agents:
            suspected = [(span.begin, span.end) for span in held.get((survivor, member.node_id), ())]
            outages = evidence.outages.get(member.node_id, ())
            wrong += minus(suspected, [(outage.begin, outage.end) for outage in outages])
            wrong += minus([(outage.begin, outage.healing) for outage in outages], suspected)
    return merged((max(begin, 0.0), min(end, evidence.end_s)) for begin, end in wrong)


@metric()
def agreement_ms(evidence: Evidence) -> Value:
    """First instant after the last call of a fault at which all survivors agree on who is alive, minus T0.

    They agree when each holds every dead agent for dead and every other for alive (while a victim is being restarted,
    either is right). ``lasting_ms`` is the start of the agreement that holds to the end of the run, or null.
    """
    if reason := unstruck(evidence):
        return null(reason)
    if not evidence.survivors:
        return null("no agent was left to agree")
    reached = max(row.t for row in (*evidence.rows(KillCall), *evidence.rows(FaultCall)))
    spans = disagreements(evidence)
    for begin, end in spans:
        if begin <= reached < end:
            reached = end
    if reached >= evidence.end_s:
        return null("the survivors never agreed on who is alive", censored_at_ms=to_ms(evidence.end_s))
    since = max([reached, *(end for _, end in spans)])
    return Value(to_ms(reached), detail={"lasting_ms": to_ms(since) if since < evidence.end_s else None})
