"""How far a comparison has come: found out from what its runs left on the disk, and from nothing else."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import yaml

from orchestrator import journal
from orchestrator.compare.plan import Plan, Slot, essence, scenario_differences
from orchestrator.report import METRICS_FILE
from orchestrator.run_dir import SCENARIO_FILE
from protocols.errors import LabError

RUNS, ASIDE = "runs", "set-aside"
_INTERRUPTED = "interrupted"
"""What a run journals when it was told to stop, and not stopped by a mishap of its own."""


@dataclass(frozen=True)
class Finished:
    """A run that came to its end; ``content`` is its ``failstorm_metrics.json``."""

    path: Path
    content: Mapping[str, Any]


@dataclass(frozen=True)
class State:
    """What there is of a plan."""

    done: Mapping[Slot, Finished]
    """In the order of the plan."""
    half: tuple[Path, ...]
    """Folders of runs that were killed or interrupted."""
    foreign: tuple[tuple[Path, str], ...]
    """Finished runs that are none of the plan's, or too many, and why."""

    def open(self, plan: Plan) -> list[Slot]:
        """What has not been run, in the order of the plan."""
        return [slot for slot in plan.slots if slot not in self.done]


def scan(plan: Plan, root: Path) -> State:
    """Look at the folder of the comparison; changes nothing."""
    finished: list[Finished] = []
    half = []
    for path in _run_dirs(root):
        content = _content(path)
        if content is None or (content["partial"] and _stopped_from_outside(path)):
            half.append(path)
        else:
            finished.append(Finished(path, content))
    done, foreign = _match(plan, finished)
    return State(done, tuple(half), tuple(foreign))


def _run_dirs(root: Path) -> Iterator[Path]:
    """By name, that is by time; `latest` is a link to one of them."""
    for path in sorted((root / RUNS).glob("*")):
        if path.is_dir() and not path.is_symlink():
            yield path


def _content(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads((path / METRICS_FILE).read_bytes())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) and "scenario" in content else None


def _stopped_from_outside(path: Path) -> bool:
    """Whether a partial run was told to stop, or killed: it says nothing about what it measured.

    One that broke off by a mishap of its own is a result, and stays.
    """
    try:
        reasons = [
            row.get("reason") for row in journal.load(path / journal.CONDUCTOR_FILE) if row["ev"] == "interrupted"
        ]
    except LabError:
        return False
    return not reasons or _INTERRUPTED in reasons


def _match(plan: Plan, finished: Sequence[Finished]) -> tuple[dict[Slot, Finished], list[tuple[Path, str]]]:
    """Give each slot its run. Slots that are alike (a protocol against itself) take theirs in turn."""
    waiting: dict[tuple[str, str, int], list[Finished]] = {}
    foreign = []
    for run in finished:
        waiting.setdefault(_key_of(run.content["scenario"]), []).append(run)
    done = {}
    for slot in plan.slots:
        runs = waiting.get((slot.protocol, slot.mode, slot.seed), [])
        while runs and slot not in done:
            run = runs.pop(0)
            if wrong := obstacle(plan, slot, run.content):
                foreign.append((run.path, wrong))
            else:
                done[slot] = run
    left = [run for runs in waiting.values() for run in runs]
    return done, [*foreign, *((run.path, "the plan has no place for it") for run in left)]


def obstacle(plan: Plan, slot: Slot, content: Mapping[str, Any]) -> str | None:
    """Why a finished run cannot stand for ``slot``; None when it can."""
    if content["runtime"] != plan.runtime:
        return f"expected runtime {plan.runtime}, got {content['runtime']}; the two never share a table"
    if wrong := scenario_differences(plan.scenario(slot), essence(content["scenario"])):
        return f"its scenario differs from the plan's in {', '.join(wrong)}"
    return None


def _key_of(scenario: Mapping[str, Any]) -> tuple[str, str, int]:
    storm = scenario["scenario"]
    return storm["protocol"], scenario["detector"]["mode"], storm["seed"]


def set_aside(root: Path, path: Path) -> Path:
    """Move what a stopped run left to where nobody takes it for a result; returns the new place. Raises LabError."""
    folder = root / ASIDE
    try:
        folder.mkdir(exist_ok=True)
        names = (f"{path.name}-half" if number == 1 else f"{path.name}-half-{number}" for number in count(1))
        target = next(folder / name for name in names if not (folder / name).exists())
        path.rename(target)
    except OSError as error:
        raise LabError(f"expected to set {path} aside, got: {error.strerror}; fix its rights") from error
    return target


def aside_counts(root: Path) -> dict[str, int]:
    """How many stopped runs were set aside, by protocol, mode and seed; those that cannot tell count as unknown."""
    counts: Counter[str] = Counter()
    for path in sorted((root / ASIDE).glob("*")):
        try:
            protocol, mode, seed = _key_of(yaml.safe_load((path / SCENARIO_FILE).read_text("utf-8")))
            counts[f"{protocol}-{mode}-seed{seed}"] += 1
        except (OSError, yaml.YAMLError, LookupError, TypeError):
            counts["unknown"] += 1
    return dict(sorted(counts.items()))
