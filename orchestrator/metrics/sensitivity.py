"""How recovery and the steady state depend on the constants of their definitions: one of them changed at a time."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from orchestrator.events.agents import Repair
from orchestrator.events.conductor import CanaryEof, KillCall
from orchestrator.evidence import Evidence
from orchestrator.metrics.definition import quantile, to_ms
from orchestrator.metrics.goodput import no_baseline
from orchestrator.metrics.recovery import repairs
from orchestrator.metrics.steady import METRICS_BARS, Bars, steady_from


@dataclass(frozen=True)
class Variant:
    """A definition with one choice made otherwise, and what it gives."""

    name: str
    ms: float | None
    """None where it gives nothing before the end."""


def recovery_variants(evidence: Evidence) -> tuple[Variant, ...]:
    """recovery_ms as defined (first), and with another choice: which repair, of what kind, by whom, counted from when.

    Empty in a control, and before the storm came.
    """
    if not evidence.victims:
        return ()
    found = _acknowledged(evidence, "warm", "new")
    own = _acknowledged(evidence, "warm", "new", "self")
    first = found[0].t if found else None
    return tuple(_variants(evidence, found, own, first))


def _variants(
    evidence: Evidence, found: Sequence[Repair], own: Sequence[Repair], first: float | None
) -> Iterator[Variant]:
    def choice(name: str, chosen: Sequence[Repair], pick: Callable[[list[float]], float] = min) -> Variant:
        return Variant(name, to_ms(pick([repair.t for repair in chosen])) if chosen else None)

    yield choice("as defined: the first repair", found)
    yield choice("half of the repairs", found, lambda times: quantile(times, 0.5))
    yield choice("95 % of the repairs", found, lambda times: quantile(times, 0.95))
    yield choice("the last repair", found, max)
    yield Variant("the first repair for each victim, the last of them", _each(evidence.victims, found, _victim))
    repairing = tuple(dict.fromkeys(repair.node for repair in found))
    yield Variant("the first repair of each agent that repairs, the last of them", _each(repairing, found, _node))
    for kind, what in (("request", "requests"), ("task", "tasks"), ("edge", "links")):
        yield choice(f"{what} alone", [repair for repair in found if repair.kind == kind])
    yield choice("steps that an agent does itself after all count too", own)
    for name, since in (("the last kill call", _last_call(evidence)), ("the first proof at a canary", _eof(evidence))):
        yield Variant(f"counted from {name}", None if first is None or since is None else to_ms(first - since))


def _acknowledged(evidence: Evidence, *links: str) -> list[Repair]:
    return sorted((made.repair for link in links for made in repairs(evidence, link)), key=lambda repair: repair.t)


def _victim(repair: Repair) -> str:
    return repair.cause[0]


def _node(repair: Repair) -> str:
    return repair.node


def _each(names: Sequence[str], found: Sequence[Repair], key: Callable[[Repair], str]) -> float | None:
    """When everybody had their first, in ms; None when somebody had none. ``found`` is in the order of time."""
    firsts: dict[str, float] = {}
    for repair in found:
        firsts.setdefault(key(repair), repair.t)
    if not names or any(name not in firsts for name in names):
        return None
    return to_ms(max(firsts[name] for name in names))


def _last_call(evidence: Evidence) -> float | None:
    return max((row.t for row in evidence.rows(KillCall)), default=None)


def _eof(evidence: Evidence) -> float | None:
    return min((row.t for row in evidence.rows(CanaryEof) if row.t >= 0), default=None)


def steady_variants(evidence: Evidence) -> tuple[Variant, ...]:
    """steady_state_ms as defined (first), and with one bar, the window or the hold changed.

    In a control too, where it shows what calm looks like. Empty without a baseline, and before the storm came.
    """
    if no_baseline(evidence) or not (evidence.victims or evidence.is_control):
        return ()
    windows = evidence.windows
    width_s, hold_s = windows.steady_window_s, windows.steady_hold_s
    bars = (
        ("as defined", METRICS_BARS),
        ("goodput at least 0.85 of before", Bars(goodput=0.85)),
        ("goodput at least 0.95 of before", Bars(goodput=0.95)),
        ("p95 latency at most 1.1 times before", Bars(latency=1.1)),
        ("p95 latency at most 1.5 times before", Bars(latency=1.5)),
        ("success may lose 1 point", Bars(success_drop=0.01)),
        ("success may lose 5 points", Bars(success_drop=0.05)),
        ("one task of a window may fail", Bars(failures=1)),
        ("four tasks of a window may fail", Bars(failures=4)),
    )
    spans = (
        (f"window {width_s / 2:g} s instead of {width_s:g} s", {"steady_window_s": width_s / 2}),
        (f"window {min(2 * width_s, hold_s):g} s instead of {width_s:g} s",
         {"steady_window_s": min(2 * width_s, hold_s)}),
        (f"hold {max(width_s, hold_s / 2):g} s instead of {hold_s:g} s",
         {"steady_hold_s": max(width_s, hold_s / 2)}),
        (f"hold {2 * hold_s:g} s instead of {hold_s:g} s", {"steady_hold_s": 2 * hold_s}),
    )  # fmt: skip
    found = [_steady(name, evidence, changed) for name, changed in bars]
    for name, changes in spans:
        run = evidence.run
        other = replace(evidence, run=replace(run, windows=windows.model_copy(update=changes)))
        found.append(_steady(name, other, METRICS_BARS))
    return tuple(found)


def _steady(name: str, evidence: Evidence, bars: Bars) -> Variant:
    at_s = steady_from(evidence, bars)
    return Variant(name, None if at_s is None else to_ms(at_s))
