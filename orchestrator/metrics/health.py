"""How the lab itself was doing: what it costs, and whether the host could keep up."""

from collections.abc import Sequence

from orchestrator.events.agents import LoopLag, Request, StepDone
from orchestrator.events.conductor import Broadcast, CanaryEof, FaultCall, HostLoad, KillCall
from orchestrator.events.row import RowType
from orchestrator.evidence import Evidence
from orchestrator.metrics.definition import Value, metric, null, quantile, to_ms, unstruck


def _baseline(evidence: Evidence, kind: type[RowType]) -> list[RowType]:
    """The rows of the pre phase, [T0-D-W, T0-D)."""
    windows = evidence.windows
    begin = round(-windows.task_deadline_s - windows.rate_window_s, 6)
    return [row for row in evidence.rows(kind) if begin <= row.t < -windows.task_deadline_s]


def _lag(rows: Sequence[LoopLag]) -> dict[str, float | None]:
    if not rows:
        return {"p50": None, "p99": None, "max": None}
    p99s = [row.p99_ms for row in rows]
    return {"p50": quantile(p99s, 0.5), "p99": quantile(p99s, 0.99), "max": max(row.max_ms for row in rows)}


@metric()
def loop_lag_ms(evidence: Evidence) -> Value:
    """How late the agents' event loops were, in the pre phase (``baseline``) and from t0 to the end (``run``).

    An agent reports the p99 and the maximum of each second. p50 and p99 are taken over these p99s, one per agent and
    second: more than the p99 of all samples, which cannot be had from them, so the error is on the careful side.
    """
    run = [row for row in evidence.rows(LoopLag) if row.t >= evidence.t0_s]
    if not run:
        return null("no agent reported its loop lag")
    return Value({"baseline": _lag(_baseline(evidence, LoopLag)), "run": _lag(run)})


def _load(rows: Sequence[HostLoad]) -> dict[str, float | None]:
    if not rows:
        return {"mean": None, "max": None}
    loads = [row.cpu_percent for row in rows]
    return {"mean": sum(loads) / len(loads), "max": max(loads)}


@metric()
def cpu_percent(evidence: Evidence) -> Value:
    """CPU use of the whole host, mean and max of its seconds: in the pre phase (``baseline``), from t0 on (``run``)."""
    run = [row for row in evidence.rows(HostLoad) if row.t >= evidence.t0_s]
    if not run:
        return null("the host's load was not recorded")
    return Value({"baseline": _load(_baseline(evidence, HostLoad)), "run": _load(run)})


@metric()
def harness_floor_ms(evidence: Evidence) -> Value:
    """Kill call to first EOF on a canary connection to the victim: no time below it can be the agents' doing.

    The slowest of the victims; ``victims`` has each, ``kill_skew_ms`` is last minus first kill call
    of one wave. Null where no victim's process ended: a freeze and a cut break no connection.
    """
    if reason := unstruck(evidence):
        return null(reason)
    calls: list[KillCall | FaultCall] = [*evidence.rows(KillCall), *evidence.rows(FaultCall)]
    ended = [row for row in calls if isinstance(row, KillCall) or row.effect == "ends"]
    if not ended:
        return null("no victim's process was ended, so that no connection broke")
    called = {row.victim: row.t for row in sorted(ended, key=lambda row: -row.t)}
    first_wave = [row.t for row in ended if row.wave == min(row.wave for row in ended)]
    skew = to_ms(max(first_wave) - min(first_wave))
    broke = {row.victim: row.t for row in reversed(evidence.rows(CanaryEof)) if row.victim in called}
    floors = {victim: to_ms(broke[victim] - called[victim]) for victim in evidence.victims if victim in broke}
    missing = [victim for victim in evidence.victims if victim in called and victim not in floors]
    if missing:
        return null(f"no canary connection broke for {', '.join(missing)}", victims=floors, kill_skew_ms=skew)
    return Value(max(floors.values()), detail={"victims": floors, "kill_skew_ms": skew})


@metric()
def broadcast_ms(evidence: Evidence) -> Value:
    """How long it took until every agent had acknowledged the document."""
    rows = evidence.rows(Broadcast)
    return Value(rows[-1].ms) if rows else null("the broadcast was not recorded as acknowledged")


@metric("count")
def inflight_on_victims(evidence: Evidence) -> Value:
    """Requests under way on the victims at T0: sent to one in the D before T0, and their step not ended yet.

    Fewer than one sets the tag ``idle_at_kill``: the storm broke no request.
    """
    if reason := unstruck(evidence):
        return null(reason)
    ended = {row.req for row in evidence.rows(StepDone) if row.t < 0}
    recent = [row for row in evidence.rows(Request) if -evidence.windows.task_deadline_s <= row.t < 0]
    return Value(len({row.req for row in recent if row.peer in evidence.victims and row.req not in ended}))
