"""Takes what Prometheus has of a finished run into its folder: final values, series, checks against the journal."""

import asyncio
import json
import math
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from orchestrator import journal
from orchestrator.evidence import Evidence
from orchestrator.run_dir import write_atomically
from orchestrator.telemetry import checks
from orchestrator.telemetry.harvest import harvest
from orchestrator.telemetry.prometheus import Prometheus
from orchestrator.telemetry.tally import Tally
from protocols.clock import Clock
from protocols.errors import LabError

FILE = "prometheus.json"
SCHEMA_VERSION = "1.0"
LINGER_S = 2.5
"""Two scrapes of one second, and a half: the last values of the run and its results are in then."""
_LIMIT_S = 30.0
_BEFORE_S = 120.0
"""Agents start before t0, and are scraped from then on."""
_LONGEST_SERIES = 2000
_SERIES: Mapping[str, tuple[str, str | None]] = {
    "goodput_per_s": ('failstorm_goodput_per_s{job="orchestrator",%s}', None),
    "baseline_goodput_per_s": ('failstorm_baseline_goodput_per_s{job="orchestrator",%s}', "bound"),
    "success_ratio": ('failstorm_success_ratio{job="orchestrator",%s}', None),
    "bytes_per_s_by_class": (
        'sum by (traffic) (rate(failstorm_bytes_total{job="agent",role="client",%s}[5s]))', "traffic",
    ),
    "agents_alive": ('failstorm_agents_alive{job="orchestrator",%s}', None),
    "agents_up": ('sum(up{job="agent",%s})', None),
}  # fmt: skip
"""Name → PromQL with room for the run's label, and the label by which there are several."""


@dataclass(frozen=True)
class Span:
    """The run in Unix seconds, and what turns the journal's times into them."""

    start: float
    end: float
    unix_offset_s: float

    @property
    def look_back_s(self) -> int:
        """How far back from now a query must look to see all of the run."""
        return math.ceil(self.end - self.start + _BEFORE_S)


async def export(
    run_dir: Path, evidence: Evidence, url: str, clock: Clock, unix_offset_s: float, client: httpx.AsyncClient
) -> dict[str, Any]:
    """Ask the Prometheus at ``url`` about the run, write ``prometheus.json``, and return its content.

    Asked for in vain, a part is named under ``missing`` with the reason. Raises LabError when the file cannot be
    written or the journal not be read.
    """
    span = Span(evidence.t0 + unix_offset_s, clock.now() + unix_offset_s, unix_offset_s)
    missing: dict[str, str] = {}
    found: dict[str, Any] = {}
    try:
        async with asyncio.timeout(_LIMIT_S):
            await _ask(Prometheus(client, url), evidence, run_dir, span, found, missing)
    except TimeoutError:
        missing["rest"] = f"expected {url} to answer everything within {_LIMIT_S:g} s, it did not"
    except LabError as error:
        missing["all"] = str(error)
    status = "exported" if not missing else "partial" if found else "missing"
    about = {"schema_version": SCHEMA_VERSION, "run_id": evidence.run.run_id, "url": url}
    content = {**about, "status": status, "missing": missing, **found}
    text = json.dumps(content, ensure_ascii=False, allow_nan=False)
    await asyncio.to_thread(write_atomically, run_dir / FILE, text)
    return content


async def _ask(
    prometheus: Prometheus,
    evidence: Evidence,
    run_dir: Path,
    span: Span,
    found: dict[str, Any],
    missing: dict[str, str],
) -> None:
    """Put each part into ``found`` as soon as it is there, or the reason into ``missing``."""
    run = evidence.run.run_id
    interval_s = await prometheus.scrape_interval_s(run)
    found |= {
        "interval_s": interval_s,
        "unix_offset_s": round(span.unix_offset_s, 6),
        "t0_unix_s": round(span.start, 6),
        "asked_at_unix_s": round(span.end, 3),
    }

    async def part(place: dict[str, Any], name: str, label: str, asked: Awaitable[Any]) -> None:
        try:
            place[name] = await asked
        except LabError as error:
            missing[label] = str(error)

    async def check() -> dict[str, Any]:
        scraped = await harvest(prometheus, run, span.end, span.look_back_s, (interval_s, span.unix_offset_s))
        tally = await asyncio.to_thread(lambda: Tally(journal.load(run_dir / journal.MERGED_FILE)))
        return checks.as_content(checks.compare(tally, evidence, scraped))

    await part(found, "checks", "checks", check())
    await part(found, "final", "final", _final(prometheus, run, span))
    series = found["series"] = dict[str, Any]()
    for name, (query, label) in _SERIES.items():
        asked = _series(prometheus, query % f'run="{run}"', label, span, interval_s)
        await part(series, name, f"series.{name}", asked)


async def _final(prometheus: Prometheus, run: str, span: Span) -> dict[str, list[Any]]:
    """The last sample of every series of ours; counters that stayed at 0 are left out."""
    query = f'last_over_time({{__name__=~"failstorm_.+|up",run="{run}"}}[{span.look_back_s}s])'
    final: dict[str, list[Any]] = {}
    for series in await prometheus.query(query, span.end):
        labels = {key: value for key, value in series.labels.items() if key not in ("__name__", "run")}
        name = series.labels.get("__name__", "")
        value = _finite(series.last)
        if value or not name.endswith("_total"):
            final.setdefault(name, []).append([labels, value])
    if not final:
        raise LabError(f"expected series of the run {run} in {prometheus.url}, got none; was it scraping meanwhile?")
    return dict(sorted(final.items()))


async def _series(prometheus: Prometheus, query: str, label: str | None, span: Span, interval_s: float) -> Any:
    """Points of [s since t0, value]; by label where there are several."""
    step_s = max(interval_s, math.ceil((span.end - span.start) / _LONGEST_SERIES))
    found = await prometheus.query_range(query, span.start, span.end, step_s)
    if not found:
        raise LabError(f"expected a series for {query}, got none")
    lines = {
        series.labels.get(label or "", ""): [[round(t - span.start, 3), _finite(value)] for t, value in series.samples]
        for series in found
    }
    return dict(sorted(lines.items())) if label else next(iter(lines.values()))


def _finite(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None
