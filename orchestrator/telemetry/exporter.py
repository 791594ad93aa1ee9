"""The run as Prometheus sees it: fed by the live view's events, read once a second over HTTP."""

import math
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Metric, generate_latest
from prometheus_client.registry import Collector

from agent.instruments import Instrument, Labels
from agent.telemetry import BEFORE_T0, phase_at
from orchestrator import phases
from orchestrator.live_parts import AgentState, Event, Outcome
from orchestrator.live_state import LiveState
from orchestrator.telemetry import instruments as seen
from orchestrator.telemetry import results
from orchestrator.telemetry.ledger import Ledger
from protocols.clock import Clock
from protocols.serving import AsgiServer

OVER = "over"
_OUTCOMES: tuple[Outcome, ...] = ("correct", "wrong", "expired")
_REPAIRS = ("request", "task", "edge")
_RECOVERING_S = 2.0
_SHOWN_AFTER_S = 0.25
"""Events reach the state this late, so that rates look back from then."""
_DEAD, _SUSPECTED, _RECOVERING, _ALIVE = 0.0, 1.0, 2.0, 3.0
Rows = dict[Instrument, dict[Labels, float]]


class Exporter(Collector):
    """One registry of its own over ``state`` and what :meth:`follow` is told.

    ``unix_offset_s`` turns a time of the journal into Unix seconds; ``earlier`` are the results of other runs.
    """

    def __init__(
        self, state: LiveState, clock: Clock, unix_offset_s: float, earlier: Mapping[Labels, float] | None = None
    ) -> None:
        self.unix_offset_s = unix_offset_s
        self._state = state
        self._ledger = Ledger(tuple(state.agents))
        self._clock = clock
        self._results = dict(earlier or {})
        self._steady_ms: float | None = None
        self._planned = phases.planned(state.windows)
        self._band: tuple[float, float] | None = None
        self._scheduled: dict[str, int] = {}
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def follow(self, event: Event) -> None:
        """Count an event that the state knows already."""
        self._ledger.apply(event)

    def evaluated(self, content: Mapping[str, Any]) -> None:
        """Show the results of this run as well."""
        self._results |= results.rows(content)
        steady_ms = content["steady_state_ms"]
        self._steady_ms = steady_ms if isinstance(steady_ms, float | int) else None

    def exposition(self) -> bytes:
        """The metrics in the Prometheus text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Every family with its present values, for the registry."""
        ended_at = self._state.ended_at_s
        now = self._clock.now() - _SHOWN_AFTER_S if ended_at is None else ended_at
        rows = self._about_the_run(now) | self._about_the_storm() | self._about_agents(now) | self._about_work(now)
        rows[seen.RESULT] = self._results
        for instrument in seen.ORCHESTRATOR:
            yield instrument.family(rows[instrument])

    def _about_the_run(self, now: float) -> Rows:
        state, run = self._state, self._state.run
        info = {tuple(str(run[key]) for key in ("run_id", "protocol", "runtime", "seed")): 1.0} if run else {}
        kill_at = None if state.t0_s is None else state.t0_s + state.windows.kill_at_s
        elapsed_s = max(0.0, state.since_t0(now) or 0.0)
        present = BEFORE_T0 if state.t0_s is None else phase_at(self._planned, elapsed_s)
        if state.ended is not None:
            present = OVER
        names = (BEFORE_T0, *(phase.name for phase in self._planned), OVER)
        return {
            seen.RUN_INFO: info,
            seen.PHASE: {(name,): float(name == present) for name in names},
            seen.T0_TIME: _one(self._unix(state.t0_s)),
            seen.DURATION: _one(state.windows.duration_s),
            seen.ELAPSED: _one(elapsed_s),
            seen.COUNTDOWN: _one(max(0.0, state.windows.kill_at_s - elapsed_s)),
            seen.PLANNED_KILL_TIME: _one(self._unix(kill_at)),
            seen.PLANNED_VICTIMS: _one(len(state.planned_victims)),
            seen.END_TIME: _one(self._unix(state.ended_at_s)),
        }

    def _about_the_storm(self) -> Rows:
        ledger = self._ledger
        storm_at, found = ledger.storm_at, ledger.detections
        steady_at = None
        if storm_at is not None and self._steady_ms is not None:
            steady_at = storm_at + self._steady_ms / 1000
        return {
            seen.KILL_TIME: {(node,): self._unix(ledger.killed.get(node)) for node in ledger.agents},
            seen.DEATH_TIME: {(node,): self._unix(ledger.dead.get(node)) for node in ledger.agents},
            seen.RECOVERY_TIME: _one(self._unix(ledger.recovered_at)),
            seen.AGREEMENT_TIME: _one(self._unix(ledger.agreed_at)),
            seen.STEADY_TIME: _one(self._unix(steady_at)),
            seen.DETECTION: {
                (*pair, detection.mechanism): max(0.0, (detection.at - (storm_at or 0.0)) * 1000)
                for pair, detection in found.items()
            },
            seen.DETECTED_PAIRS: _one(len(found)),
            seen.EXPECTED_PAIRS: _one(len(ledger.pairs)),
            seen.FALSE_SUSPICIONS: _one(ledger.false_suspicions),
        }

    def _about_agents(self, now: float) -> Rows:
        state = self._state
        agents = state.agents.values()
        return {
            seen.AGENTS: _one(len(agents)),
            seen.AGENTS_ALIVE: _one(sum(agent.serving and agent.up for agent in agents)),
            seen.AGENT_STATE: {(agent.name,): self._state_of(agent, now) for agent in agents},
            seen.AGENT_SUSPICIONS: {(agent.name,): float(state.suspicions_of(agent.name)) for agent in agents},
            seen.HOST_CPU: _one(self._ledger.cpu_percent),
        }

    def _about_work(self, now: float) -> Rows:
        state, ledger = self._state, self._ledger
        current, baseline = state.current(now), state.baseline(now)
        low, high = self._baseline_band(now) or (math.nan, math.nan)
        names = tuple(phase.name for phase in self._planned)
        if state.t0_s is not None and not self._scheduled:
            self._scheduled = dict(state.scheduled())
        return {
            seen.GOODPUT: _one(_number(current.per_s)),
            seen.BASELINE_GOODPUT: {("low",): low, ("mean",): _number(baseline.per_s), ("high",): high},
            seen.SUCCESS: _one(_number(current.success)),
            seen.BASELINE_SUCCESS: _one(_number(baseline.success)),
            seen.GRADED_TASKS: {
                (outcome, name): float(state.graded[outcome, name]) for outcome in _OUTCOMES for name in names
            },
            seen.SCHEDULED_TASKS: {(name,): float(self._scheduled.get(name, 0)) for name in names},
            seen.REPAIRS: {(kind,): float(ledger.repairs[kind]) for kind in _REPAIRS},
            seen.TAKEOVERS: _one(ledger.takeovers),
            seen.RETRIES: _one(ledger.retries),
            seen.DUPLICATES: _one(ledger.duplicates),
        }

    def _baseline_band(self, now: float) -> tuple[float, float] | None:
        """Settled once the tasks of the baseline are decided."""
        if self._band is not None:
            return self._band
        band = self._state.baseline_band(now)
        if (self._state.since_t0(now) or 0.0) > self._state.windows.kill_at_s:
            self._band = band
        return band

    def _state_of(self, agent: AgentState, now: float) -> float:
        if not (agent.serving and agent.up):
            return _DEAD
        if self._state.suspicions_of(agent.name):
            return _SUSPECTED
        last = max(self._ledger.active_at.get(agent.name, -math.inf), self._ledger.restarted.get(agent.name, -math.inf))
        return _RECOVERING if now - last < _RECOVERING_S else _ALIVE

    def _unix(self, at: float | None) -> float:
        return 0.0 if at is None else at + self.unix_offset_s


@asynccontextmanager
async def serve(exporter: Exporter, host: str, port: int) -> AsyncIterator[None]:
    """Serve ``GET /metrics`` until the block ends; raises OSError when the port is taken."""
    app = FastAPI(openapi_url=None)

    @app.get("/metrics")
    async def read_metrics() -> Response:
        return Response(exporter.exposition(), media_type=CONTENT_TYPE_LATEST)

    server = AsgiServer(app, socket.create_server((host, port), backlog=64))
    await server.start()
    try:
        yield
    finally:
        await server.close()


def _one(value: float) -> dict[Labels, float]:
    return {(): float(value)}


def _number(value: float | None) -> float:
    return math.nan if value is None else value
