"""Asks Prometheus for all that the checks compare: last values, raw samples, and when each agent was scraped last."""

from collections.abc import Sequence

from orchestrator.telemetry.checks import Scraped
from orchestrator.telemetry.prometheus import Prometheus, Series


async def harvest(
    prometheus: Prometheus, run: str, at: float, look_back_s: int, interval_and_offset_s: tuple[float, float]
) -> Scraped:
    """What was scraped of one run by the Unix second ``at``; raises LabError as the server's methods do."""

    def selector(name: str, job: str) -> str:
        return f'{name}{{job="{job}",run="{run}"}}'

    async def samples(name: str, job: str) -> tuple[Series, ...]:
        return await prometheus.samples(selector(name, job), look_back_s, at)

    async def last(name: str, job: str, *labels: str) -> dict[tuple[str, ...], float]:
        query = f"sum by ({', '.join(labels)}) (last_over_time({selector(name, job)}[{look_back_s}s]))"
        return {_labels(series, labels): series.last for series in await prometheus.query(query, at)}

    lives, up = await samples("failstorm_agent_info", "agent"), await samples("up", "agent")
    alive = await samples("failstorm_agents_alive", "orchestrator")
    slowest = f"max by (node) (max_over_time({selector('scrape_duration_seconds', 'agent')}[{look_back_s}s]))"
    interval_s, unix_offset_s = interval_and_offset_s
    return Scraped(
        interval_s=interval_s,
        unix_offset_s=unix_offset_s,
        last_scrape={(_name(series, "node"), _name(series, "life")): series.samples[-1][0] for series in lives},
        scrape_s={_name(series, "node"): series.last for series in await prometheus.query(slowest, at)},
        bytes=await last("failstorm_bytes_total", "agent", "node", "life", "traffic"),
        tasks=await last("failstorm_tasks_total", "agent", "node", "life", "outcome"),
        graded=_flat(await last("failstorm_graded_tasks_total", "orchestrator", "outcome")),
        killed=_flat(await last("failstorm_kill_timestamp_seconds", "orchestrator", "victim")),
        up={_name(series, "node"): series.samples for series in up},
        alive=alive[-1].samples if alive else (),
    )


def _labels(series: Series, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(_name(series, name) for name in names)


def _name(series: Series, label: str) -> str:
    return series.labels.get(label, "")


def _flat(rows: dict[tuple[str, ...], float]) -> dict[str, float]:
    return {key[0]: value for key, value in rows.items()}
