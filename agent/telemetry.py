"""The agent's Prometheus metrics, counted off its journal so that both say the same."""

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from pydantic import JsonValue

from protocols.message import Traffic


class Telemetry:
    """One registry of its own; :meth:`observe` is a journal observer."""

    def __init__(self, node_id: str, tool: str) -> None:
        self._registry = CollectorRegistry()
        self._events = Counter("failstorm_events", "Journal events by name", ["ev"], registry=self._registry)
        self._bytes = Counter(
            "failstorm_bytes",
            "Payload bytes at the sockets of the protocol port, by class",
            ["role", "traffic", "direction"],
            registry=self._registry,
        )
        self._suspected = Gauge("failstorm_suspected_peers", "Peers held for dead", registry=self._registry)
        Gauge("failstorm_agent", "The agent itself", ["node", "tool"], registry=self._registry).labels(
            node_id, tool
        ).set(1)
        for traffic in Traffic:  # labels exist from the start, so that no panel is empty
            for role in ("client", "server"):
                self._bytes.labels(role, traffic, "sent")
                self._bytes.labels(role, traffic, "received")

    def observe(self, ev: str, fields: dict[str, JsonValue]) -> None:
        """Count one journal event."""
        self._events.labels(ev).inc()
        if ev == "suspect":
            self._suspected.inc()
        elif ev == "alive":
            self._suspected.dec()
        elif ev == "bytes" and isinstance(fields["rows"], list):
            for row in fields["rows"]:
                if isinstance(row, list):
                    role, _, traffic, sent, received = row
                    self._bytes.labels(role, traffic, "sent").inc(float(str(sent)))
                    self._bytes.labels(role, traffic, "received").inc(float(str(received)))

    def exposition(self) -> bytes:
        """The metrics in the Prometheus text format."""
        return generate_latest(self._registry)
