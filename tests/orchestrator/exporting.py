"""Feeds the events of a run to the exporter up to some instant, and reads what a scrape would then find."""

from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from orchestrator.telemetry.exporter import Exporter
from tests.orchestrator.live_play import T0_S, state_of

Event = dict[str, Any]
OFFSET_S = 1_000_000.0
KILL_S = 60.0
Samples = dict[tuple[str, ...], float]


class StillClock:
    """Time stands where the test puts it, and nobody may wait."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def now(self) -> float:
        """Monotonic seconds."""
        return self.now_s

    async def sleep(self, duration_s: float) -> None:
        """Refuse: what only shows has nothing to wait for."""
        raise AssertionError(duration_s)


def samples(exporter: Exporter) -> Samples:
    """Name and label values, in the order of the labels' names → value."""
    return {
        (sample.name, *dict(sorted(sample.labels.items())).values()): sample.value
        for family in text_string_to_metric_families(exporter.exposition().decode())
        for sample in family.samples
    }


def played(events: list[Event], until_s: float, earlier: dict[tuple[str, ...], float] | None = None) -> Exporter:
    """An exporter that was fed what happened until then, seconds after t0."""
    state = state_of(events)
    clock = StillClock()
    exporter = Exporter(state, clock, OFFSET_S, earlier)
    for event in events:
        if event["t"] <= T0_S + until_s:
            state.tick(event["t"])
            state.apply(event)
            exporter.follow(event)
    state.tick(T0_S + until_s)
    clock.now_s = T0_S + until_s + 0.25  # it shows what is a quarter of a second old
    return exporter


def seen(events: list[Event], until_s: float) -> Samples:
    """What a scrape finds then, seconds after t0."""
    return samples(played(events, until_s))
