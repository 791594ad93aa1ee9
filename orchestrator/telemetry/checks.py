"""Compares what Prometheus scraped with what the journal says; a difference beyond one scrape interval is flagged."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from orchestrator.evidence import Evidence
from orchestrator.telemetry.prometheus import Sample
from orchestrator.telemetry.tally import Curve, Life, Tally

Samples = Mapping[str, Sequence[Sample]]
"""Node → its samples, in the order of time."""
_CLOCKS_S = 0.05
"""Scrapes are stamped when they begin, to the millisecond, and are off their schedule by a few."""
_DISCOVERY_S = 6.0
"""A Prometheus from before the run learns of its targets within the refresh of 1 s and its own pause of 5 s."""


@dataclass(frozen=True, slots=True)
class Check:
    """One number as both have it; ``bound`` is what one scrape interval may change."""

    name: str
    unit: str
    journal: float | None
    prometheus: float | None
    difference: float | None
    bound: float
    ok: bool


@dataclass(frozen=True)
class Scraped:
    """What Prometheus has of one run; times are Unix seconds."""

    interval_s: float
    unix_offset_s: float
    last_scrape: Mapping[Life, float]
    """When each life of an agent was scraped last."""
    scrape_s: Mapping[str, float]
    """The longest scrape of each agent."""
    bytes: Mapping[tuple[str, ...], float]
    """(node, life, class) → both directions at both ends, at the last scrape."""
    tasks: Mapping[tuple[str, ...], float]
    """(node, life, outcome), as well."""
    graded: Mapping[str, float]
    """Outcome → tasks, from the orchestrator."""
    killed: Mapping[str, float]
    """Victim → the orchestrator's timestamp."""
    up: Samples
    alive: Sequence[Sample]
    """``failstorm_agents_alive``."""


def compare(tally: Tally, evidence: Evidence, scraped: Scraped) -> list[Check]:
    """Every check of one run."""
    return [
        *_counters(tally, "bytes", "bytes", scraped.bytes, scraped),
        *_counters(tally, "tasks", "tasks", scraped.tasks, scraped),
        *_graded(evidence, scraped),
        *_kills(tally, scraped),
        *_alive(tally, evidence, scraped),
        *_last_scrapes(tally, evidence, scraped),
    ]


def as_content(checks: Sequence[Check]) -> dict[str, Any]:
    """The section of the results: whether all agree, which do not, and every row."""
    flagged = [check.name for check in checks if not check.ok]
    return {
        "status": "flagged" if flagged else "ok",
        "flagged": flagged,
        "rows": [asdict(check) for check in checks],
    }


def _check(name: str, unit: str, journal: float, prometheus: float | None, bound: float) -> Check:
    if prometheus is None or not math.isfinite(prometheus):
        return Check(name, unit, round(journal, 6), None, None, round(bound, 6), ok=False)
    difference = round(journal - prometheus, 6)
    within = abs(difference) <= bound + 1e-6
    return Check(name, unit, round(journal, 6), round(prometheus, 6), difference, round(bound, 6), ok=within)


def _counters(
    tally: Tally, what: str, unit: str, seen: Mapping[tuple[str, ...], float], scraped: Scraped
) -> Iterator[Check]:
    """Both counts of each label at each agent's own last scrape; a life that was never scraped counts up to its end."""
    labels = {label for kind, label in tally.curves if kind == what} | {key[-1] for key in seen}
    for label in sorted(labels):
        curves: Mapping[Life, Curve] = tally.curves.get((what, label), {})
        journal = bound = 0.0
        for life, curve in curves.items():
            at = scraped.last_scrape.get(life, math.inf) - scraped.unix_offset_s
            before, then, after = (curve.value(at + step * scraped.interval_s) for step in (-1, 0, 1))
            journal += then
            # Prometheus stamps a scrape when it begins; what it saw is a little later.
            bound += max(then - before, after - then) if math.isfinite(at) else 0.0
        found = [value for key, value in seen.items() if key[-1] == label]
        yield _check(f"{what}/{label}", unit, journal, sum(found) if found else None, bound)


def _graded(evidence: Evidence, scraped: Scraped) -> Iterator[Check]:
    decided: Counter[str] = Counter()
    for task in evidence.tasks:
        if task.decided:
            in_time = bool(task.commits) and task.commits[0].t <= task.arrival + evidence.windows.task_deadline_s + 1e-6
            decided["correct" if task.success else "wrong" if in_time else "expired"] += 1
    bound = math.ceil(len(evidence.tasks) / evidence.windows.duration_s * scraped.interval_s)
    for outcome in ("correct", "wrong", "expired"):
        yield _check(f"graded/{outcome}", "tasks", decided[outcome], scraped.graded.get(outcome), bound)


def _kills(tally: Tally, scraped: Scraped) -> Iterator[Check]:
    """The kill's own time as exported, and when a scrape first failed."""
    for victim in sorted(tally.killed):
        at = tally.killed[victim] + scraped.unix_offset_s
        yield _check(f"kill/{victim}", "Unix s", at, scraped.killed.get(victim) or None, scraped.interval_s)
        # A scrape that began just before the kill fails, too, and is stamped with its begin.
        silent = [t for t, value in scraped.up.get(victim, ()) if value == 0 and t > at - scraped.interval_s]
        bound = scraped.interval_s + _slack_s(scraped, victim)
        yield _check(f"down/{victim}", "Unix s", at, min(silent, default=None), bound)


def _alive(tally: Tally, evidence: Evidence, scraped: Scraped) -> Iterator[Check]:
    """How many agents were alive, by the orchestrator's gauge and by ``up``, at instants without a change nearby."""
    interval_s = scraped.interval_s
    nodes = [member.node_id for member in evidence.agents]
    end = evidence.storm_at + evidence.end_s
    instants = {"start": evidence.t0 + _DISCOVERY_S + interval_s, "end": end}
    if tally.killed:
        instants["before_kill"] = min(tally.killed.values()) - interval_s
        slowest_s = max(scraped.scrape_s.values(), default=0.0)
        instants["after_kill"] = max(tally.killed.values()) + 2 * interval_s + slowest_s
        instants["start"] = min(instants["start"], instants["before_kill"])
    for name, at in instants.items():
        if at > end:
            continue
        journal = sum(tally.is_up(node, at) for node in nodes)
        unix = at + scraped.unix_offset_s
        bound = sum(tally.is_up(node, at - interval_s) != tally.is_up(node, at + interval_s) for node in nodes)
        yield _check(f"alive/{name}", "agents", journal, _at(scraped.alive, unix), bound)
        # Down is who failed two scrapes in a row: one under way as an agent is stopped fails, stamped earlier.
        ups = [max(_newest(scraped.up.get(node, ()), unix, 2), default=0.0) for node in nodes]
        bound = sum(tally.is_up(node, at - 2 * interval_s) != tally.is_up(node, at + interval_s) for node in nodes)
        yield _check(f"up/{name}", "agents", journal, sum(ups) if scraped.up else None, bound)


def _last_scrapes(tally: Tally, evidence: Evidence, scraped: Scraped) -> Iterator[Check]:
    """Each agent was scraped until its end, or the run's: what it counted afterwards is one interval's worth."""
    end = evidence.storm_at + evidence.end_s
    for member in evidence.agents:
        node = member.node_id
        if not tally.is_up(node, end):
            killed_at = tally.killed.get(node)
            if killed_at is None:
                continue
            until, life = killed_at, "0"
        else:
            until, life = end, max((life for name, life in tally.begun if name == node), key=int, default="0")
        unix = until + scraped.unix_offset_s
        found = scraped.last_scrape.get((node, life))
        # Later is as good: an agent is scraped until it is stopped.
        found = None if found is None else min(found, unix)
        bound = scraped.interval_s + _slack_s(scraped, node)
        yield _check(f"scraped_until/{node}", "Unix s", unix, found, bound)


def _slack_s(scraped: Scraped, node: str) -> float:
    return _CLOCKS_S + scraped.scrape_s.get(node, 0.0)


def _at(samples: Sequence[Sample], at: float) -> float | None:
    """The newest value by then."""
    return next(iter(_newest(samples, at, 1)), None)


def _newest(samples: Sequence[Sample], at: float, count: int) -> list[float]:
    return [value for t, value in samples if t <= at][-count:]
