"""After the run: evaluate while Prometheus may still look, then take home what it has seen."""

import asyncio
from pathlib import Path

import httpx

from orchestrator import report
from orchestrator.report import Report
from orchestrator.telemetry import export
from orchestrator.telemetry.exporter import Exporter
from protocols.clock import Clock


async def evaluate(run_dir: Path, exporter: Exporter, copy_to: Path | None) -> Report:
    """Write the report and let ``exporter`` show its numbers; raises LabError as ``report.write_report``."""
    # In a thread, so that scrapes are answered meanwhile.
    written = await asyncio.to_thread(report.write_report, run_dir, copy_to)
    exporter.evaluated(written.content)
    return written


async def ask_prometheus(
    written: Report, exporter: Exporter, clock: Clock, url: str, copy_to: Path | None, *, linger: bool
) -> Report:
    """The report with what the Prometheus at ``url`` scraped, or what is missing and why; raises LabError (disk full).

    With ``linger`` two scrape intervals pass before it is asked, so that the last values are in.
    """
    if linger:
        await clock.sleep(export.LINGER_S)
    async with httpx.AsyncClient(trust_env=False) as client:
        exported = await export.export(written.run_dir, written.evidence, url, clock, exporter.unix_offset_s, client)
    return report.add_export(written, exported, copy_to)
