"""The results of one run as they stand in ``failstorm_metrics.json``: plain, rounded, and equal for equal journals."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator import expectation
from orchestrator.events.conductor import BaselineCheck
from orchestrator.evidence import Evidence
from orchestrator.hypothesis import is_settled_before
from orchestrator.metrics import Value, evaluate, registry
from orchestrator.telemetry import section
from orchestrator.verdict import Verdict, judge

SCHEMA_VERSION = "1.1"
SPECIFIED = ("recovery_ms", "steady_state_ms", "bytes_reconnect", "success_rate_drop", "duplicate_work_ratio")
"""The five metrics of the specification; they come first wherever metrics are listed."""
EXIT_VALID, EXIT_EXPECTATION, EXIT_NOT_VALID = 0, 1, 4
_DIGITS_OF_UNIT = {"ms": 3, "s": 6, "bytes": 1, "bytes/s": 1, "%": 1, "count": 6, "ratio": 6}


@dataclass(frozen=True)
class Report:
    """One run, computed: its evidence, its metrics, the verdict on it, and the content of the results file."""

    run_dir: Path
    evidence: Evidence
    values: Mapping[str, Value]
    verdict: Verdict
    content: Mapping[str, Any]
    """What ``failstorm_metrics.json`` holds, key by key."""

    @property
    def exit_code(self) -> int:
        """0 for a valid run, 4 for one that is invalid or unknown, else 1 when it broke its own ``expect`` bounds.

        1 as well for one that was ended before the storm, because its baseline broke them.
        """
        if self.baseline_broke:
            return EXIT_EXPECTATION
        if self.verdict.status != "valid":
            return EXIT_NOT_VALID
        return EXIT_EXPECTATION if self.broken else EXIT_VALID

    @property
    def baseline_broke(self) -> bool:
        """Whether the run was ended before the storm, because its baseline broke a bound."""
        return any(not met for row in self.evidence.rows(BaselineCheck) for *_, met in row.bounds)

    @property
    def broken(self) -> list[str]:
        """Each broken bound in a few words; of a run that was ended before the storm, those of the baseline."""
        return [
            f"{name} {result['bound']}, got {'null' if result['value'] is None else format(result['value'], 'g')}"
            for name, result in self.content["expect"].items()
            if not result["met"] and (result["of"] == "baseline" or not self.baseline_broke)
        ]


def build(
    run_dir: Path, evidence: Evidence, sdk: str | None, torn_lines: int, exported: Mapping[str, Any] | None = None
) -> Report:
    """Evaluate and judge the evidence; pure but for the registry of metrics.

    ``sdk`` is the distribution that spoke the protocol, where the journal names it; ``torn_lines`` the number of
    journal lines that could not be read; ``exported`` what Prometheus had of the run, if it was asked.
    """
    values = evaluate(evidence)
    verdict = judge(evidence, values)
    metrics = registry()
    rounded = {name: _rounded(value.value, metrics[name].unit) for name, value in values.items()}
    run = evidence.run
    content: dict[str, Any] = {
        **rounded,
        "units": {name: metrics[name].unit for name in values},
        "reasons": {
            name: values[name].reason or "the result is no finite number"
            for name, value in rounded.items()
            if value is None
        },
        "details": {
            name: _rounded(dict(value.detail), metrics[name].unit) for name, value in values.items() if value.detail
        },
        "verdict": {"status": verdict.status, "reasons": list(verdict.reasons), "tags": list(verdict.tags)},
        "expect": _expectations(run.scenario.get("expect", {}), rounded),
        "victims": list(evidence.victims),
        "effective_kill_fraction": round(len(evidence.victims) / len(evidence.agents), 6),
        "partial": evidence.partial,
        "scaled": evidence.windows.scale < 1,
        "starved": "starved" in verdict.tags,
        "protocol": {"name": run.protocol, "sdk": sdk, "sdk_version": run.versions.get(sdk) if sdk else None},
        "runtime": run.runtime,
        "seed": run.seed,
        "run_id": run.run_id,
        "scenario": run.scenario,
        "windows": evidence.windows.model_dump(mode="json"),
        "host": run.host,
        "versions": run.versions,
        "journal": {"torn_lines": torn_lines, "malformed_lines": len(evidence.malformed)},
        **section.sections(exported, run.scenario.get("output", {}).get("prometheus_url")),
        "schema_version": SCHEMA_VERSION,
    }
    return Report(run_dir, evidence, values, verdict, content)


def _rounded(value: Any, unit: str) -> Any:
    """Round every float inside of a JSON value: times to the microsecond, shares to six digits; JSON has no NaN."""
    if isinstance(value, float):
        return round(value, _DIGITS_OF_UNIT.get(unit, 6)) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _rounded(item, unit) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item, unit) for item in value]
    return value


def _expectations(bounds: Mapping[str, str], metrics: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Each bound of the scenario, what came, and whether that keeps it; a null or unknown metric keeps none."""
    results = {}
    for name, text in bounds.items():
        value = expectation.entry(metrics, name)
        results[name] = {
            "bound": text,
            "value": value,
            "met": expectation.parse(text).check(value),
            "of": "baseline" if is_settled_before(name) else "storm",
        }
    return results
