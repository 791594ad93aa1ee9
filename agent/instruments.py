"""What an agent lets Prometheus see: every instrument with its labels, unit and meaning (docs/telemetry.md)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

Labels = tuple[str, ...]
"""The values of an instrument's labels, in their order."""


@dataclass(frozen=True, slots=True)
class Instrument:
    """One family of series; a counter's name ends in ``_total``."""

    name: str
    kind: Literal["counter", "gauge"]
    labels: tuple[str, ...]
    unit: str
    meaning: str

    def family(self, rows: Mapping[Labels, float]) -> Metric:
        """The family with these values, ready for the registry."""
        kind = CounterMetricFamily if self.kind == "counter" else GaugeMetricFamily
        family = kind(self.name, self.meaning, labels=self.labels)
        for values, value in rows.items():
            family.add_metric(values, value)
        return family


INFO = Instrument("failstorm_agent_info", "gauge", ("node", "tool", "life"), "1", "the agent itself, always 1")
EVENTS = Instrument(
    "failstorm_events_total", "counter", ("ev", "life"), "events", "journal events by name (docs/journal.md)"
)
BYTES = Instrument(
    "failstorm_bytes_total",
    "counter",
    ("role", "traffic", "direction", "phase", "life"),
    "bytes",
    "payload at the sockets of the protocol port; `role` `client`/`server`, `direction` `sent`/`received`; "
    'an exchange counts once over both directions of `role="client"`',
)
TASKS = Instrument(
    "failstorm_tasks_total",
    "counter",
    ("outcome", "phase", "life"),
    "tasks",
    "what owners did: `started`, `taken_over` (started in a dead owner's place), `answered`, `failed`; "
    "phase by the time of the event",
)
STEPS = Instrument(
    "failstorm_steps_total",
    "counter",
    ("outcome", "phase", "life"),
    "steps",
    "what workers did: `started`, `done`, `failed`",
)
REQUESTS = Instrument(
    "failstorm_requests_total",
    "counter",
    ("link", "cause", "phase", "life"),
    "requests",
    "attempts to have a step done; `link` `self`/`warm`/`new`; `cause` `none` or `repair` (something the kill broke)",
)
RETRIES = Instrument(
    "failstorm_retries_total",
    "counter",
    ("phase", "life"),
    "requests",
    "requests that were not the first attempt at their step",
)
REJECTED = Instrument(
    "failstorm_rejected_total",
    "counter",
    ("reason", "life"),
    "requests",
    "requests of others that this agent's protocol port refused, e.g. `malformed`, `too_large`, `replay`",
)
SUSPECTED = Instrument(
    "failstorm_suspected_peers", "gauge", (), "peers", "how many peers this agent holds for dead now"
)
SUSPECT_TIME = Instrument(
    "failstorm_suspect_timestamp_seconds",
    "gauge",
    ("peer",),
    "Unix s",
    "when it last began to hold `peer` for dead; 0 = never",
)
LOOP_LAG = Instrument(
    "failstorm_loop_lag_seconds",
    "gauge",
    ("stat",),
    "s",
    "lateness of the event loop over the last second, `p99` and `max`",
)

AGENT = (INFO, EVENTS, BYTES, TASKS, STEPS, REQUESTS, RETRIES, REJECTED, SUSPECTED, SUSPECT_TIME, LOOP_LAG)
"""All of them, in the order of the table."""
