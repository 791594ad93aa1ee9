"""Prometheus metrics of the chaos service, taken from what the faults record (docs/telemetry.md)."""

from prometheus_client import CollectorRegistry, Counter, Gauge
from pydantic import JsonValue

ACTIONS = ("inject", "heal")
OUTCOMES = ("done", "failed", "refused")


class Telemetry:
    """When who was killed, in Unix seconds, and how the orders ended."""

    def __init__(self, registry: CollectorRegistry, unix_offset_s: float) -> None:
        self._unix_offset_s = unix_offset_s
        self._times = {
            "kill_call": Gauge(
                "failstorm_kill_timestamp_seconds", "When the kill was sent", ["victim"], registry=registry
            ),
            "death": Gauge(
                "failstorm_death_timestamp_seconds", "When the engine told the death", ["victim"], registry=registry
            ),
        }
        self._orders = Counter(
            "failstorm_orders", "Orders with a valid token", ["action", "outcome"], registry=registry
        )
        for action in ACTIONS:
            for outcome in OUTCOMES:  # labels exist from the start, so that no panel is empty
                self._orders.labels(action, outcome)

    def observe(self, ev: str, at: float, fields: dict[str, JsonValue]) -> None:
        """Take in one recorded event; ``at`` in monotonic seconds."""
        if ev in self._times:
            self._times[ev].labels(str(fields["victim"])).set(at + self._unix_offset_s)

    def count(self, action: str, outcome: str) -> None:
        """Count one order: ``done``; ``failed`` for at least one victim; ``refused`` before anything was touched."""
        self._orders.labels(action, outcome).inc()
