"""The agent's Prometheus metrics, counted off its journal so that both say the same."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.registry import Collector
from pydantic import JsonValue

from agent import instruments
from agent.instruments import Instrument, Labels
from agent.membership import RESTART_STEP
from agent.settings import Phase
from protocols.adapter import Identity
from protocols.message import Traffic

Fields = dict[str, JsonValue]
"""What a journal event says."""
BEFORE_T0 = "start"
"""The phase before the clock starts."""
EVENTS = (
    "agent_start", "link_up", "link_down", "init", "started", "task_start", "request", "repair", "step_start",
    "step_done", "answer", "task_failed", "suspect", "alive", "watch_broke", "refute", "excused", "doubt", "trust",
    "link_failed", "copied", "copy_failed", "at_risk", "nonsense", "adopt", "unadopt", "model_call", "bytes",
    "rejected", "loop_lag", "lease_lost", "agent_stop",
)  # fmt: skip
"""What an agent journals (docs/journal.md)."""
REJECTIONS = ("malformed", "misaddressed", "too_large", "busy")
"""Why requests are refused in every protocol; a protocol's own reasons appear with their first rejection."""


class Telemetry(Collector):
    """One registry of its own; :meth:`observe` is a journal observer.

    ``phases`` are the run's phases in the order of their time: a label for counters and nothing else, no agent acts
    on them. ``unix_offset_s`` turns a time of the journal into Unix seconds. Every series exists from the start,
    since the first increment of one that appears later is invisible to ``rate()``.
    """

    def __init__(
        self,
        identity: Identity,
        tool: str,
        peers: Sequence[str],
        phases: Sequence[Phase] = (),
        unix_offset_s: float = 0.0,
    ) -> None:
        self._life = str(identity.incarnation // RESTART_STEP)
        self._phases = phases
        self._unix_offset_s = unix_offset_s
        self._t0: float | None = None
        self._suspected: dict[str, None] = {}
        self._values: dict[Instrument, dict[Labels, float]] = {
            instruments.INFO: {(identity.node_id, tool, self._life): 1.0},
            instruments.SUSPECT_TIME: {(peer,): 0.0 for peer in peers},
            instruments.LOOP_LAG: {("p99",): 0.0, ("max",): 0.0},
        }
        names = (BEFORE_T0, *(phase.name for phase in phases))
        self._prepare(instruments.EVENTS, EVENTS)
        self._prepare(instruments.BYTES, ("client", "server"), map(str, Traffic), ("sent", "received"), names)
        self._prepare(instruments.TASKS, ("started", "taken_over", "answered", "failed"), names)
        self._prepare(instruments.STEPS, ("started", "done", "failed"), names)
        self._prepare(instruments.REQUESTS, ("self", "warm", "new"), ("none", "repair"), names)
        self._prepare(instruments.RETRIES, names)
        self._prepare(instruments.REJECTED, REJECTIONS)
        self._handlers: dict[str, Callable[[Fields, float, str], None]] = {
            "task_start": self._on_task_start,
            "answer": self._on_answer,
            "task_failed": self._on_task_failed,
            "step_start": self._on_step_start,
            "step_done": self._on_step_done,
            "request": self._on_request,
            "suspect": self._on_suspect,
            "alive": self._on_alive,
            "loop_lag": self._on_loop_lag,
            "bytes": self._on_bytes,
            "rejected": self._on_rejected,
        }
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def observe(self, at: float, ev: str, fields: Fields) -> None:
        """Count one journal event of the monotonic second ``at``."""
        if ev == "started":
            self._t0 = float(str(fields["t0"]))
        self._count(instruments.EVENTS, ev)
        handler = self._handlers.get(ev)
        if handler is not None:
            handler(fields, at, self._phase(at))

    def collect(self) -> Iterator[Metric]:
        """Every family with its present values, for the registry."""
        self._values[instruments.SUSPECTED] = {(): float(len(self._suspected))}
        for instrument in instruments.AGENT:
            yield instrument.family(self._values[instrument])

    def exposition(self) -> bytes:
        """The metrics in the Prometheus text format."""
        return generate_latest(self._registry)

    def _prepare(self, instrument: Instrument, *choices: Iterable[str]) -> None:
        self._values[instrument] = dict.fromkeys(product(*choices, (self._life,)), 0.0)

    def _count(self, instrument: Instrument, *labels: str, by: float = 1.0) -> None:
        values = self._values[instrument]
        key = (*labels, self._life)
        values[key] = values.get(key, 0.0) + by

    def _on_task_start(self, fields: Fields, _at: float, phase: str) -> None:
        self._count(instruments.TASKS, "taken_over" if fields["takeover"] else "started", phase)

    def _on_answer(self, _fields: Fields, _at: float, phase: str) -> None:
        self._count(instruments.TASKS, "answered", phase)

    def _on_task_failed(self, _fields: Fields, _at: float, phase: str) -> None:
        self._count(instruments.TASKS, "failed", phase)

    def _on_step_start(self, _fields: Fields, _at: float, phase: str) -> None:
        self._count(instruments.STEPS, "started", phase)

    def _on_step_done(self, fields: Fields, _at: float, phase: str) -> None:
        self._count(instruments.STEPS, "done" if fields["ok"] else "failed", phase)

    def _on_request(self, fields: Fields, _at: float, phase: str) -> None:
        self._count(instruments.REQUESTS, str(fields["link"]), "repair" if fields.get("cause") else "none", phase)
        if fields["attempt"] != 1:
            self._count(instruments.RETRIES, phase)

    def _on_suspect(self, fields: Fields, at: float, _phase: str) -> None:
        peer = str(fields["peer"])
        self._suspected[peer] = None
        self._values[instruments.SUSPECT_TIME][peer,] = at + self._unix_offset_s

    def _on_alive(self, fields: Fields, _at: float, _phase: str) -> None:
        self._suspected.pop(str(fields["peer"]), None)

    def _on_loop_lag(self, fields: Fields, _at: float, _phase: str) -> None:
        for stat in ("p99", "max"):
            self._values[instruments.LOOP_LAG][stat,] = float(str(fields[f"{stat}_ms"])) / 1000

    def _on_bytes(self, fields: Fields, _at: float, phase: str) -> None:
        rows = fields["rows"]
        for row in rows if isinstance(rows, list) else ():
            if isinstance(row, list):
                role, _, traffic, sent, received = map(str, row)
                self._count(instruments.BYTES, role, traffic, "sent", phase, by=float(sent))
                self._count(instruments.BYTES, role, traffic, "received", phase, by=float(received))

    def _on_rejected(self, fields: Fields, _at: float, _phase: str) -> None:
        reasons = fields["reasons"]
        for reason, count in reasons.items() if isinstance(reasons, dict) else ():
            self._count(instruments.REJECTED, reason, by=float(str(count)))

    def _phase(self, at: float) -> str:
        return BEFORE_T0 if self._t0 is None else phase_at(self._phases, at - self._t0)


def phase_at(phases: Sequence[Phase], since_t0_s: float) -> str:
    """Name of the phase that has begun last by then; ``start`` before the first."""
    return next((phase.name for phase in reversed(phases) if phase.start_s <= since_t0_s), BEFORE_T0)
