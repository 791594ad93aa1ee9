"""A lab whose storms are made up: it leaves the files that a run would leave, at once, and may be killed half way."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from io import StringIO
from pathlib import Path
from random import Random
from typing import Any

import yaml
from rich.console import Console

from orchestrator.compare import plan as plans
from orchestrator.compare.arguments import Mode
from orchestrator.compare.conduct import conduct
from orchestrator.compare.plan import Plan, Slot
from orchestrator.compare.progress import Display
from orchestrator.compare.result import build
from orchestrator.compare.state import RUNS, State
from orchestrator.scenario import Scenario
from protocols.clock import MonotonicClock

Values = Callable[[Slot], Mapping[str, Any]]
"""What a run finds: dotted keys of its results → values; the rest is made up."""
STAGES = ("nothing", "scenario", "journal", "torn results", "interrupted", "orphaned report")
"""How far a run may have come when it is killed."""
HOST = {"cpu_count": 2, "memory_bytes": 8 * 2**30, "system": "Linux x86_64", "python": "3.11.9"}


class Killed(BaseException):
    """SIGKILL to the comparison: nothing can catch it."""


def scenario(protocol: str = "json", seed: int = 1, mode: str = "common") -> dict[str, Any]:
    """The resolved scenario of a short run."""
    given = {"scenario": {"protocol": protocol, "duration": 16, "seed": seed}, "detector": {"mode": mode}}
    return Scenario.model_validate(given).to_mapping()


def a_plan(protocols: Sequence[str] = ("json", "a2a"), repeats: int = 3, modes: Sequence[Mode] = ("common",)) -> Plan:
    """A small comparison."""
    return plans.make("test", protocols, modes, range(1, repeats + 1), "local", scenario())


def results(slot: Slot, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """What ``failstorm_metrics.json`` says; noise depends on arm and seed alone."""
    noise = Random(f"{slot.arm}/{slot.seed}")
    content: dict[str, Any] = {
        "recovery_ms": round(100 + noise.gauss(0, 5), 3),
        "steady_state_ms": round(400 + noise.gauss(0, 20), 3),
        "bytes_reconnect": round(300_000 + noise.gauss(0, 4000)),
        "success_rate_drop": round(noise.uniform(-0.02, 0.02), 6),
        "duplicate_work_ratio": round(noise.uniform(0, 0.03), 6),
        "reroute_ms": {"first": round(100 + noise.gauss(0, 5), 3), "p50": 160.0},
        "reconnect_ms": {"first": round(120 + noise.gauss(0, 5), 3), "p50": 190.0},
        "detection_ms": {"first": 40.0, "p50": 80.0, "last": 150.0, "undetected": []},
        "reasons": {},
        "details": {},
        "verdict": {"status": "valid", "reasons": [], "tags": ["scaled"]},
        "victims": ["agent_5", "agent_7"],
        "partial": False,
        "scaled": True,
        "starved": False,
        "protocol": {"name": slot.protocol, "sdk": "httpx", "sdk_version": "0.28.1"},
        "runtime": "local",
        "seed": slot.seed,
        "scenario": scenario(slot.protocol, slot.seed, slot.mode),
        "windows": {"scale": 0.133333},
        "host": dict(HOST),
        "versions": {"httpx": "0.28.1"},
    }
    for key, value in overrides.items():
        *path, last = key.split(".")
        place = content
        for part in path:
            place = place.setdefault(part, {})
        place[last] = value
    return content


def censored(metric: str, after_ms: float) -> dict[str, Any]:
    """Overrides for a time that never came."""
    return {metric: None, f"details.{metric}.censored_at_ms": after_ms, f"reasons.{metric}": "it never came"}


def starved() -> dict[str, Any]:
    """Overrides for a run on a busy host."""
    return {"starved": True, "verdict.tags": ["scaled", "starved"]}


class MadeUpLab:
    """Plays slots by writing their files; ``kill_at`` (number of a play, stage) raises Killed half way."""

    def __init__(self, root: Path, values: Values = lambda _: {}, kill_at: tuple[int, str] | None = None) -> None:
        self.finished: Counter[Slot] = Counter()
        self.played: list[Slot] = []
        self._root = root
        self._values = values
        self._kill_at = kill_at

    def play(self, slot: Slot, tick: Callable[[], None]) -> int:
        """Leave what a run leaves, as far as it gets."""
        tick()
        self.played.append(slot)
        taken = sum(1 for _ in self._root.glob("*/*"))
        run_dir = self._root / RUNS / f"2030{taken:04}-{slot.protocol}-seed{slot.seed}"
        if self._kill_at is not None and len(self.played) == self._kill_at[0]:
            leave_half(run_dir, slot, self._kill_at[1])
            raise Killed
        self.finish(run_dir, slot)
        self.finished[slot] += 1
        return 0

    def last_line(self, _: Slot) -> str:
        """What a run would have said."""
        return "expected more disk, got none"

    def finish(self, run_dir: Path, slot: Slot) -> None:
        """A whole run."""
        content = results(slot, self._values(slot))
        write_plan(run_dir, slot)
        (run_dir / "failstorm_metrics.json").write_text(json.dumps(content))
        (run_dir / "report.html").touch()


def write_plan(run_dir: Path, slot: Slot, **changed: Any) -> None:
    """scenario.yaml and the conductor's journal; ``changed`` replaces fields of run_start."""
    run_dir.mkdir(parents=True)
    (run_dir / "scenario.yaml").write_text(yaml.safe_dump(scenario(slot.protocol, slot.seed, slot.mode)))
    rows: list[dict[str, Any]] = [
        {"ev": "run_start", "victims": ["agent_5", "agent_7"], "protocol": slot.protocol, **changed},
        {"ev": "roster", "agents": ["agent_1"]},
        *({"ev": "task", "task": f"t{number}", "at_s": number + slot.seed} for number in range(3)),
        {"ev": "t0", "t0": 1.0},
        {"ev": "task", "task": "after the start: not the schedule", "at_s": slot.protocol},
    ]
    lines = [json.dumps({"t": float(at), "node": "orchestrator", "inc": 0, **row}) for at, row in enumerate(rows)]
    (run_dir / "conductor.jsonl").write_text("\n".join([*lines, '{"torn']))


def leave_half(run_dir: Path, slot: Slot, stage: str) -> None:
    """What is there of a run that was killed at ``stage``."""
    if stage == "nothing":
        return
    if stage == "scenario":
        run_dir.mkdir(parents=True)
        (run_dir / "scenario.yaml").write_text(yaml.safe_dump(scenario(slot.protocol, slot.seed, slot.mode)))
        return
    write_plan(run_dir, slot)
    if stage == "torn results":
        (run_dir / "failstorm_metrics.json").write_text('{"recovery_ms": 1')
    elif stage in ("interrupted", "orphaned report"):
        partial = {"partial": True, "verdict": {"status": "unknown", "reasons": ["broke off"], "tags": ["partial"]}}
        (run_dir / "failstorm_metrics.json").write_text(json.dumps(results(slot, partial)))
    if stage == "interrupted":
        with (run_dir / "conductor.jsonl").open("a") as file:
            file.write('\n{"t": 9.0, "node": "orchestrator", "inc": 0, "ev": "interrupted", "reason": "interrupted"}\n')


def go(plan: Plan, root: Path, lab: MadeUpLab) -> tuple[State, str]:
    """Carry out the plan; returns what there is then, and what was printed."""
    screen = StringIO()
    with Display(plan, Console(file=screen, width=200), MonotonicClock()) as display:
        state = conduct(plan, root, lab, display)
    return state, screen.getvalue()


def compared(root: Path, plan: Plan, values: Values = lambda _: {}) -> dict[str, Any]:
    """Run a whole comparison and compute it."""
    state, _ = go(plan, root, MadeUpLab(root, values))
    return build(plan, root, state)


def cell(comparison: Mapping[str, Any], metric: str, arm: str, mode: str = "common") -> dict[str, Any]:
    """One cell of the result."""
    rows = [row for row in comparison["cells"] if (row["metric"], row["arm"], row["mode"]) == (metric, arm, mode)]
    found: dict[str, Any] = rows[0]
    return found
