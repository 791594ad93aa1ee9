"""What ``failstorm_metrics.json`` says about Prometheus: what it had, or what is missing and why."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.telemetry import export

_OF_ONE_TARGET = ("instance", "job", "life", "node", "phase")
"""Labels over which the agents' counters are summed; ``prometheus.json`` has them all."""
_OFF = "no Prometheus was named; set output.prometheus_url, see docs/telemetry.md"
_NOT_ASKED = "the run ended before Prometheus was asked"


def read(run_dir: Path) -> Mapping[str, Any] | None:
    """What was exported of a run, or None when nothing was, or nothing that can be read."""
    try:
        content = json.loads((run_dir / export.FILE).read_bytes())
    except (OSError, ValueError):
        return None
    sound = isinstance(content, dict) and isinstance(content.get("missing"), dict) and "status" in content
    return content if sound else None


def sections(exported: Mapping[str, Any] | None, url: str | None) -> dict[str, Any]:
    """The keys ``prometheus`` and ``checks``; ``url`` is the server that the scenario names."""
    if exported is None:
        reason = _OFF if url is None else _NOT_ASKED
        about: dict[str, Any] = {"status": "off" if url is None else "missing", "url": url, "reason": reason}
        return {"prometheus": about, "checks": {"status": "not made", "reason": reason}}
    missing = exported["missing"]
    about = {
        "status": exported["status"],
        "url": exported["url"],
        "reason": next(iter(missing.values()), None),
        "missing": dict(missing),
        "file": export.FILE,
        "interval_s": exported.get("interval_s"),
        "final": _summed(exported.get("final", {})),
        "series": exported.get("series", {}),
    }
    not_made = {"status": "not made", "reason": missing.get("checks", about["reason"])}
    return {"prometheus": about, "checks": exported.get("checks", not_made)}


def in_a_line(content: Mapping[str, Any]) -> str | None:
    """For the terminal: nothing when no Prometheus was named."""
    about, checks = content["prometheus"], content["checks"]
    if about["status"] == "off":
        return None
    if checks["status"] == "not made":
        return f"{about['status']}: {checks['reason']}"
    if checks["status"] == "ok":
        return f"{about['status']}, {len(checks['rows'])} checks against the journal agree"
    flagged, count = checks["flagged"], len(checks["rows"])
    return f"{about['status']}, {len(flagged)} of {count} checks against the journal FLAGGED: {', '.join(flagged)}"


def _summed(final: Mapping[str, Any]) -> dict[str, Any]:
    """The orchestrator's last values, and the agents' counters over all agents: name → [[labels, value]]."""
    result: dict[str, Any] = {}
    for name, rows in final.items():
        sums: dict[tuple[tuple[str, str], ...], float] = {}
        for labels, value in rows:
            if labels.get("job") == "agent" and not name.endswith("_total"):
                continue
            dropped = _OF_ONE_TARGET if labels.get("job") == "agent" else ("instance", "job")
            # The orchestrator's counters may bear the same name as the agents': the job keeps them apart.
            key = tuple(sorted((label, text) for label, text in labels.items() if label not in dropped))
            key = (("job", labels.get("job", "")), *key)
            if value is not None:
                sums[key] = sums.get(key, 0.0) + value
        if sums:
            result[name] = [[dict(key), value] for key, value in sums.items()]
    return result
