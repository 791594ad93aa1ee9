"""Computes a whole comparison from its finished runs: the content of ``comparison.json``, equal for equal runs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from orchestrator.compare import sameness, statistics
from orchestrator.compare.arguments import Mode
from orchestrator.compare.plan import Plan, Slot
from orchestrator.compare.sample import MEASURES, TIMED, Measure, Observation, exclusion, observe
from orchestrator.compare.state import ASIDE, Finished, State, aside_counts
from orchestrator.compare.statistics import ALPHA, Time
from orchestrator.report import PAGE_FILE
from orchestrator.report_content import SPECIFIED
from protocols.errors import LabError

SCHEMA_VERSION = "1.0"
_SAME_HOST = ("cpu_count", "system")

Samples = Mapping[tuple[Mode, str, str], Sequence[Observation]]
"""(mode, arm, measure) → one observation for each run there is, in the order of the seeds."""


def build(plan: Plan, root: Path, state: State) -> dict[str, Any]:
    """Everything that is known of a comparison.

    Raises LabError when nothing has finished yet, the runs do not come from one kind of host, or had other tasks.
    """
    if not state.done:
        raise LabError(f"expected a finished run in {root}, got none; run the comparison first")
    checked = sameness.check(state.done)
    samples = _samples(plan, state.done)
    contents = [run.content for run in state.done.values()]
    return {
        "comparison_id": plan.comparison_id,
        "arms": list(plan.arms),
        "modes": list(plan.modes),
        "seeds": list(plan.seeds),
        "reference": plan.reference,
        "runtime": plan.runtime,
        "host": _host(state.done),
        "scenario": contents[0]["scenario"],
        "windows": contents[0]["windows"],
        "victims": {str(slot.seed): run.content["victims"] for slot, run in state.done.items()},
        "protocols": _protocols(plan, state.done),
        "versions": _versions(contents),
        "scaled": any(content["scaled"] for content in contents),
        "planned": len(plan.slots),
        "finished": len(state.done),
        "same_tasks_checked": checked,
        "cells": [
            _cell(mode, arm, measure, samples) for mode in plan.modes for measure in MEASURES for arm in plan.arms
        ],
        "pairs": [pair for mode in plan.modes for pair in _pairs(plan, mode, samples)],
        "log_rank": [row for mode in plan.modes for row in _log_ranks(plan, mode, samples)],
        "survival": [row for mode in plan.modes for row in _survival(plan, mode, samples)],
        "runs": [_run(slot, state.done[slot], root) for slot in plan.slots if slot in state.done],
        "missing": [slot.name for slot in state.open(plan)],
        "set_aside": aside_counts(root),
        "set_aside_folder": ASIDE,
        "foreign": [{"run": path.name, "reason": reason} for path, reason in state.foreign],
        "schema_version": SCHEMA_VERSION,
    }


def _host(done: Mapping[Slot, Finished]) -> Mapping[str, Any]:
    hosts = [run.content["host"] for run in done.values()]
    for slot, host in zip(done, hosts, strict=True):
        if any(host.get(key) != hosts[0].get(key) for key in _SAME_HOST):
            raise LabError(
                f"expected all runs from one kind of host, got {hosts[0]} and, for {slot.name}, {host}; "
                f"compare runs of one host"
            )
    found: Mapping[str, Any] = hosts[0]
    return found


def _protocols(plan: Plan, done: Mapping[Slot, Finished]) -> dict[str, Any]:
    found = {slot.arm: run.content["protocol"] for slot, run in done.items()}
    return {arm: found[arm] for arm in plan.arms if arm in found}


def _versions(contents: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Every version of every library that was met; more than one means that something was updated in between."""
    met: dict[str, dict[str, None]] = {}
    for content in contents:
        for name, version in content["versions"].items():
            met.setdefault(name, {})[str(version)] = None
    return {name: sorted(met[name]) for name in sorted(met)}


def _samples(plan: Plan, done: Mapping[Slot, Finished]) -> Samples:
    samples: dict[tuple[Mode, str, str], list[Observation]] = {}
    for slot in sorted(done, key=lambda slot: plan.seeds.index(slot.seed)):
        for measure in MEASURES:
            observation = observe(measure, slot, done[slot])
            samples.setdefault((slot.mode, slot.arm, measure.name), []).append(observation)
    return samples


def _times(samples: Samples, mode: Mode, arm: str, name: str) -> dict[int, Time]:
    """The observations that count, by seed."""
    return {
        seen.seed: Time(seen.value, censored=seen.status == "censored")
        for seen in samples.get((mode, arm, name), ())
        if seen.counts and seen.value is not None
    }


def _cell(mode: Mode, arm: str, measure: Measure, samples: Samples) -> dict[str, Any]:
    observations = samples.get((mode, arm, measure.name), ())
    counts = {f"n_{status}": 0 for status in ("censored", "starved", "missing", "excluded")}
    for seen in observations:
        if f"n_{seen.status}" in counts:
            counts[f"n_{seen.status}"] += 1
    times = list(_times(samples, mode, arm, measure.name).values())
    middle = asdict(statistics.middle(times)) if times else None
    return {
        "mode": mode,
        "metric": measure.name,
        "unit": measure.unit,
        "arm": arm,
        "n": len(times),
        **counts,
        "middle": middle,
        # What an open end lies beyond: the longest wait in vain.
        "censored_at": max((time.value for time in times if time.censored), default=None),
        "values": [
            {"seed": seen.seed, "status": seen.status, "value": seen.value}
            for seen in observations
            if seen.value is not None
        ],
    }


def _pairs(plan: Plan, mode: Mode, samples: Samples) -> list[dict[str, Any]]:
    """Every other arm against the reference, in the five of the specification: one family for Holm's method."""
    rows = []
    units = {measure.name: measure.unit for measure in MEASURES}
    for name, arm in _family(plan, SPECIFIED):
        found = statistics.compare(_times(samples, mode, arm, name), _times(samples, mode, plan.reference, name))
        row = {"mode": mode, "metric": name, "unit": units[name], "arm": arm, "reference": plan.reference}
        rows.append({**row, **asdict(found)})
    return _adjusted(rows)


def _log_ranks(plan: Plan, mode: Mode, samples: Samples) -> list[dict[str, Any]]:
    rows = []
    for name, arm in _family(plan, TIMED):
        mine, theirs = _times(samples, mode, arm, name), _times(samples, mode, plan.reference, name)
        found = asdict(statistics.log_rank(mine, theirs))
        n = sum(found[key] for key in ("sooner", "later", "undecided"))
        censored = sum(time.censored for time in (*mine.values(), *theirs.values()))
        row = {"mode": mode, "metric": name, "arm": arm, "reference": plan.reference, "n": n, "n_censored": censored}
        rows.append({**row, **found, "p": found["p"] if n else None})
    return _adjusted(rows)


def _family(plan: Plan, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    return ((name, arm) for name in names for arm in plan.arms if arm != plan.reference)


def _adjusted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    adjusted = statistics.holm({place: row["p"] for place, row in enumerate(rows) if row["p"] is not None})
    return [
        {**row, "holm_p": adjusted.get(place), "significant": adjusted.get(place, 1.0) < ALPHA}
        for place, row in enumerate(rows)
    ]


def _survival(plan: Plan, mode: Mode, samples: Samples) -> Iterator[dict[str, Any]]:
    for name in TIMED:
        for arm in plan.arms:
            times = list(_times(samples, mode, arm, name).values())
            if times:
                censored = sum(time.censored for time in times)
                row = {"mode": mode, "metric": name, "arm": arm, "n": len(times), "n_censored": censored}
                yield {**row, **asdict(statistics.survival(times))}


def _run(slot: Slot, run: Finished, root: Path) -> dict[str, Any]:
    content = run.content
    return {
        **slot.model_dump(mode="json"),
        "name": slot.name,
        "run": run.path.relative_to(root).as_posix(),
        "verdict": content["verdict"]["status"],
        "tags": content["verdict"]["tags"],
        "excluded": exclusion(content),
        # A committed example keeps the evidence, not the pages.
        "has_page": (run.path / PAGE_FILE).exists(),
    }
