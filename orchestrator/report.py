"""Turns the journals of a run into ``failstorm_metrics.json`` and ``report.html``; the journal alone is enough."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from orchestrator import journal
from orchestrator.evidence import Evidence
from orchestrator.report_content import Report, build
from orchestrator.report_html import render
from orchestrator.report_summary import print_summary
from orchestrator.run_dir import write_atomically
from orchestrator.telemetry import section
from protocols.errors import ConfigError

__all__ = ["METRICS_FILE", "PAGE_FILE", "Report", "add_export", "print_summary", "rebuild", "recompute", "write_report"]

METRICS_FILE = "failstorm_metrics.json"
PAGE_FILE = "report.html"


def write_report(run_dir: Path, copy_to: Path | None = None) -> Report:
    """Merge the journals of ``run_dir``, compute everything, and write both files beside them.

    The same journal gives the same bytes. A copy of the metrics goes into the folder ``copy_to``. Raises LabError
    when the journals are missing or end before the clock started, or a file cannot be written.
    """
    report = _compute(run_dir, journal.merge(run_dir))
    _write(report, copy_to)
    return report


def rebuild(run_dir: Path, console: Console | None = None) -> int:
    """Compute the report of an old run again, show it, and return its exit code (``Report.exit_code``).

    Raises ConfigError when there is no journal in ``run_dir``, LabError as in :func:`write_report`.
    """
    report = recompute(run_dir)
    _write(report, None)
    print_summary(report, console or Console())
    return report.exit_code


def recompute(run_dir: Path) -> Report:
    """Compute the report of an old run from its journals and write nothing but the merged one; raises as above.

    Where only the merged journal was kept, compressed or not, it is the evidence.
    """
    merged, conductor = journal.kept(run_dir), run_dir / journal.CONDUCTOR_FILE
    if merged is None and not conductor.exists():
        raise ConfigError(f"expected a run with a journal, got {run_dir} without one; see the folders in results/")
    if merged is None or (conductor.exists() and any(run_dir.glob("workspaces/*/journal.jsonl"))):
        merged = journal.merge(run_dir)
    return _compute(run_dir, merged)


def _compute(run_dir: Path, merged: Path) -> Report:
    reader = journal.load(merged)
    found: dict[str, Any] = {}

    def events() -> Iterator[journal.Event]:
        for event in reader:
            if event["ev"] == "run_start":
                found.update(event)
            yield event

    evidence = Evidence.from_events(events())
    sdk = found.get("sdk")
    return build(run_dir, evidence, sdk if isinstance(sdk, str) else None, reader.torn, section.read(run_dir))


def add_export(report: Report, exported: Mapping[str, Any], copy_to: Path | None = None) -> Report:
    """The same report with what Prometheus had of the run; writes its numbers again, raises LabError."""
    added = section.sections(exported, exported["url"])
    complete = replace(report, content={**report.content, **added})
    _write_numbers(complete, copy_to)
    return complete


def _write(report: Report, copy_to: Path | None) -> None:
    # The numbers first: no figure may cost them.
    _write_numbers(report, copy_to)
    write_atomically(report.run_dir / PAGE_FILE, render(report))


def _write_numbers(report: Report, copy_to: Path | None) -> None:
    text = to_json(report.content)
    write_atomically(report.run_dir / METRICS_FILE, text)
    if copy_to is not None:
        write_atomically(copy_to / METRICS_FILE, text)


def to_json(content: Mapping[str, Any]) -> str:
    """JSON that a person can read: one line a key, and one a key inside of it, however long the lists are."""

    def compact(value: object) -> str:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)

    entries = []
    for key, value in content.items():
        if isinstance(value, Mapping) and value:
            inner = ",\n".join(f"    {compact(name)}: {compact(item)}" for name, item in value.items())
            entries.append(f"  {compact(key)}: {{\n{inner}\n  }}")
        else:
            entries.append(f"  {compact(key)}: {compact(value)}")
    return "{\n" + ",\n".join(entries) + "\n}\n"
