"""How fast the survivors repaired what the storm broke."""

from math import inf
from statistics import fmean, median
from typing import NamedTuple

from agent.membership import RESTART_STEP
from orchestrator.events.agents import Adopt, Alive, Repair, TaskFailed, TaskStart, Unadopt
from orchestrator.evidence import Evidence
from orchestrator.metrics.definition import Value, metric, null, spread, to_ms, unstruck


class Made(NamedTuple):
    """One repair, and how long after the first call of its victim's wave it was acknowledged, s."""

    repair: Repair
    after_s: float


def repairs(evidence: Evidence, link: str) -> list[Made]:
    """The first acknowledgement of each repair over such a link, one per sender and cause, in the order of time.

    A cause alone is a claim: a repair counts only when its sender's last suspicion of that victim, before the
    acknowledgement, began while the victim was struck, or when the sender had learned by then that the victim had been
    restarted, unnoticed.
    """
    firsts: dict[tuple[str, tuple[str, str]], Made] = {}
    begins: dict[tuple[str, str], list[float]] = {}
    for suspicion in evidence.suspicions:
        begins.setdefault((suspicion.node, suspicion.peer), []).append(suspicion.begin)
    replaced = _replacements(evidence)
    for repair in evidence.rows(Repair):
        victim = repair.cause[0]
        if repair.link == link and victim in evidence.victims:
            observer = (repair.node, victim)
            last = max((begin for begin in begins.get(observer, ()) if begin <= repair.t), default=-inf)
            outage, first = evidence.outage_at(victim, last), evidence.outages[victim][0]
            if outage is None and first.begin <= replaced.get(observer, inf) <= repair.t:
                outage = first
            if outage is not None:
                firsts.setdefault((repair.node, repair.cause), Made(repair, repair.t - outage.since))
    return list(firsts.values())


def _replacements(evidence: Evidence) -> dict[tuple[str, str], float]:
    """(observer, peer) → when it first learned of a later life of the peer whose end it had not suspected."""
    held = {(span.node, span.peer, span.end) for span in evidence.suspicions if span.retracted}
    found: dict[tuple[str, str], float] = {}
    for row in evidence.rows(Alive):
        if row.peer_inc >= RESTART_STEP and (row.node, row.peer, row.t) not in held:
            found.setdefault((row.node, row.peer), row.t)
    return found


def _none_repaired(evidence: Evidence, what: str) -> Value:
    censored = to_ms(evidence.end_s)
    in_force = [(span.node, span.peer) for span in evidence.suspicions if span.end > 0]
    if not any(node in evidence.survivors and peer in evidence.victims for node, peer in in_force):
        return null("no survivor suspected a victim before the end", censored_at_ms=censored)
    return null(f"no {what} was acknowledged before the end", censored_at_ms=censored)


@metric()
def recovery_ms(evidence: Evidence) -> Value:
    """First acknowledged protocol message that repairs an edge or a request which the kill broke, minus T0.

    Such a message carries cause = (victim, request) and was sent after its sender suspected that victim, while it was
    dead, or learned that it had been restarted before anybody here missed it. ``by`` says whether it went over a link
    that existed (``reroute``) or over a new one (``reconnect``). A step that an agent does itself after all is no
    message. Null with ``censored_at_ms`` when there is none.
    """
    if reason := unstruck(evidence):
        return null(reason)
    found = [("reroute", made.repair) for made in repairs(evidence, "warm")]
    found += [("reconnect", made.repair) for made in repairs(evidence, "new")]
    if not found:
        return _none_repaired(evidence, "repair")
    by, first = min(found, key=lambda item: item[1].t)
    detail = {"by": by, "kind": first.kind, "node": first.node, "victim": first.cause[0]}
    return Value(to_ms(first.t), detail=detail)


def _spread_of(evidence: Evidence, link: str, what: str) -> Value:
    if reason := unstruck(evidence):
        return null(reason)
    found = repairs(evidence, link)
    if not found:
        return _none_repaired(evidence, what)
    return Value(spread([made.after_s for made in found]))


@metric()
def reroute_ms(evidence: Evidence) -> Value:
    """Repairs acknowledged over a link that existed, minus T0: first, p50, p95, last, n.

    One per sender and cause, its first acknowledgement.
    """
    return _spread_of(evidence, "warm", "repair over an existing link")


@metric()
def reconnect_ms(evidence: Evidence) -> Value:
    """Repairs acknowledged over a new link made with the protocol's full connect, minus T0: first, p50, p95, last, n.

    One per sender and cause, its first acknowledgement.
    """
    return _spread_of(evidence, "new", "repair over a new link")


def _task_owners(evidence: Evidence, victim: str) -> dict[str, float]:
    """Each task that the kill orphaned → when it had a new owner (infinite: never).

    Orphaned are the tasks that the victim had begun and neither answered nor given up, and those that were taken over
    from it (it may have died before it could begin them), unless an answer was committed before.
    """
    outage = evidence.outages[victim][0]
    killed = outage.begin
    settled = {task.task for task in evidence.tasks if task.commits and task.commits[0].t < killed}
    settled |= {row.task for row in evidence.rows(TaskFailed) if row.node == victim and row.t < killed}
    owners: dict[str, float] = {}
    starts = [row for row in evidence.rows(TaskStart) if row.task not in settled]
    for row in starts:
        if row.node == victim and row.inc < RESTART_STEP:
            # Who was frozen or cut off takes up its own again when it is healed.
            owners[row.task] = inf if outage.fatal else outage.end
    for row in starts:
        orphaned = row.task in owners or (row.takeover and row.cause is not None and row.cause[0] == victim)
        alive = evidence.is_up(row.node, row.t) or row.inc >= RESTART_STEP
        if orphaned and alive and row.t >= killed:
            owners[row.task] = min(row.t, owners.get(row.task, inf))
    return {task: at - outage.since for task, at in owners.items()}


def _tool_owners(evidence: Evidence, victim: str) -> dict[str, float]:
    """Each tool that nobody alive had after the kill → when a survivor adopted it (infinite: never)."""
    outage = evidence.outages[victim][0]
    held = {member.node_id: {member.tool: None} for member in evidence.agents}
    changes: list[Adopt | Unadopt] = [*evidence.rows(Adopt), *evidence.rows(Unadopt)]
    for row in sorted(changes, key=lambda change: change.t):
        if row.t < 0 and isinstance(row, Adopt):
            held[row.node][row.tool] = None
        elif row.t < 0:
            held[row.node].pop(row.tool, None)
    left = {tool for node in evidence.survivors for tool in held[node]}
    adopted = [row for row in evidence.rows(Adopt) if row.node in evidence.survivors and row.t >= 0]
    return {
        tool: min((row.t for row in adopted if row.tool == tool and row.t >= outage.begin), default=inf) - outage.since
        for tool in held[victim]
        if tool not in left
    }


def _new_owners(evidence: Evidence) -> dict[str, list[float]]:
    return {
        victim: sorted([*_task_owners(evidence, victim).values(), *_tool_owners(evidence, victim).values()])
        for victim in evidence.victims
        if not evidence.outages[victim][0].weak
    }


def _finite_ms(seconds: float) -> float | None:
    return None if seconds == inf else to_ms(seconds)


@metric()
def time_to_new_owner_ms(evidence: Evidence) -> Value:
    """Time from T0 until what the victims left behind has a new owner; per victim n, unowned, median, last.

    Left behind are orphaned tasks, and a tool that nobody else had; a tool that another live agent has was never
    without an owner. ``median`` is taken over everything. What never found an owner (``unowned``) counts as longer
    than all that did, so a median is null when that is more than half.
    """
    if reason := unstruck(evidence):
        return null(reason)
    owners = _new_owners(evidence)
    every = [after for found in owners.values() for after in found]
    if not every:
        return null("idle: the victims held no task, and no tool that nobody else had")
    return Value({
        "median": _finite_ms(median(every)),
        "unowned": every.count(inf),
        "victims": {
            victim: {
                "n": len(found),
                "unowned": found.count(inf),
                "median": _finite_ms(median(found)) if found else None,
                "last": _finite_ms(found[-1]) if found else None,
            }
            for victim, found in owners.items()
        },
    })  # fmt: skip


@metric()
def mttr_ms(evidence: Evidence) -> Value:
    """Mean time to repair: the mean of time_to_new_owner_ms over everything that the victims left behind.

    Null when something never found an owner, since a mean over the others would flatter; it stands beside as
    ``mean_of_owned_ms``.
    """
    if reason := unstruck(evidence):
        return null(reason)
    every = [after for found in _new_owners(evidence).values() for after in found]
    owned = [after for after in every if after < inf]
    if not every:
        return null("idle: the victims held no task, and no tool that nobody else had")
    if len(owned) < len(every):
        beside = {"mean_of_owned_ms": to_ms(fmean(owned))} if owned else {}
        reason = f"{len(every) - len(owned)} of {len(every)} orphaned tasks and tools had no new owner by the end"
        return null(reason, censored_at_ms=to_ms(evidence.end_s), **beside)
    return Value(to_ms(fmean(owned)), detail={"n": len(owned)})
