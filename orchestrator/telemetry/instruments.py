"""What the orchestrator lets Prometheus see: every instrument with its labels, unit and meaning (docs/telemetry.md)."""

from typing import Literal

from agent.instruments import Instrument


def _gauge(name: str, labels: str, unit: str, meaning: str) -> Instrument:
    return _instrument("gauge", name, labels, unit, meaning)


def _counter(name: str, labels: str, unit: str, meaning: str) -> Instrument:
    return _instrument("counter", name, labels, unit, meaning)


def _instrument(kind: Literal["counter", "gauge"], name: str, labels: str, unit: str, meaning: str) -> Instrument:
    return Instrument(f"failstorm_{name}", kind, tuple(labels.split()), unit, meaning)


RUN_INFO = _gauge("run_info", "run protocol runtime seed", "1", "the run, always 1")
PHASE = _gauge("phase", "phase", "0/1", "1 for the present phase: `start warmup pre inflight post tail over`")
T0_TIME = _gauge("t0_timestamp_seconds", "", "Unix s", "the clock started")
DURATION = _gauge("duration_seconds", "", "s", "planned length of the run")
ELAPSED = _gauge("elapsed_seconds", "", "s", "since t0, stops at the end of the run; 0 before")
COUNTDOWN = _gauge("countdown_seconds", "", "s", "until the planned kill; 0 afterwards")
PLANNED_KILL_TIME = _gauge("planned_kill_timestamp_seconds", "", "Unix s", "when the kill is due; set in a control too")
PLANNED_VICTIMS = _gauge("planned_victims", "", "agents", "how many will be killed; 0 in a control")
KILL_TIME = _gauge(
    "kill_timestamp_seconds", "victim", "Unix s", "just before the kill was sent; every agent has a child"
)
DEATH_TIME = _gauge("death_timestamp_seconds", "victim", "Unix s", "proof of the death; every agent has a child")
RECOVERY_TIME = _gauge(
    "recovery_timestamp_seconds", "", "Unix s", "first acknowledged repair message after the kill (`recovery_ms`)"
)
AGREEMENT_TIME = _gauge(
    "agreement_timestamp_seconds", "", "Unix s", "since then all survivors hold every victim for dead"
)
STEADY_TIME = _gauge(
    "steady_timestamp_seconds", "", "Unix s", "steady again; known after the evaluation (`steady_state_ms`)"
)
END_TIME = _gauge("end_timestamp_seconds", "", "Unix s", "the run ended or was interrupted")
AGENTS = _gauge("agents", "", "agents", "agents of the run (N)")
AGENTS_ALIVE = _gauge("agents_alive", "", "agents", "agents that serve and were not killed")
AGENT_STATE = _gauge(
    "agent_state",
    "node",
    "state",
    "0 dead (or not up yet), 1 suspected by a running agent though it runs, 2 recovering (runs, and in the last 2 s "
    "noticed a death or repaired something, or was restarted), 3 alive",
)
AGENT_SUSPICIONS = _gauge("agent_suspicions", "node", "agents", "how many running agents hold it for dead")
DETECTION = _gauge(
    "detection_ms",
    "survivor victim mechanism",
    "ms",
    "from the first kill to the suspicion now in force; a child appears with the detection (none in a control)",
)
DETECTED_PAIRS = _gauge("detected_pairs", "", "pairs", "(survivor, victim) pairs with a suspicion in force")
EXPECTED_PAIRS = _gauge("expected_pairs", "", "pairs", "pairs there will be once all is known; 0 before the kill")
GOODPUT = _gauge(
    "goodput_per_s", "", "tasks/s", "correct answers in time over the last steady-state window; NaN before t0"
)
BASELINE_GOODPUT = _gauge(
    "baseline_goodput_per_s",
    "bound",
    "tasks/s",
    "`low`, `mean`, `high` of the same over the windows inside the baseline; NaN until the first is complete",
)
SUCCESS = _gauge(
    "success_ratio", "", "0-1", "share of the tasks decided in the last window that were answered correctly in time"
)
BASELINE_SUCCESS = _gauge("baseline_success_ratio", "", "0-1", "the same over the baseline")
GRADED_TASKS = _counter(
    "graded_tasks_total",
    "outcome phase",
    "tasks",
    "decided tasks: `correct`, `wrong`, `expired` (no answer in time); phase by the scheduled arrival",
)
SCHEDULED_TASKS = _gauge("scheduled_tasks", "phase", "tasks", "tasks of the schedule, by arrival")
REPAIRS = _counter("repairs_total", "kind", "messages", "acknowledged repairs: `request`, `task`, `edge`")
TAKEOVERS = _counter("takeovers_total", "", "tasks", "tasks begun in a dead owner's place")
RETRIES = _counter(
    "retries_total",
    "",
    "requests",
    "requests that were not the first attempt at their step, whole mesh (agents have the same name: filter by `job`)",
)
DUPLICATES = _counter("duplicates_total", "", "steps", "starts of a step beyond its first, whole mesh")
FALSE_SUSPICIONS = _counter(
    "false_suspicions_total", "", "suspicions", "suspicions of an agent that was running, from t0 on"
)
HOST_CPU = _gauge("host_cpu_percent", "", "%", "CPU use of the whole machine")
RESULT = _gauge(
    "result",
    "metric protocol run seed runtime verdict",
    "as the metric",
    "the numbers of `failstorm_metrics.json`, nested ones with a dot (`detection_ms.p95`): of this run after its "
    "evaluation, and of the 100 newest runs in the results folder from the start; a null has no series",
)

ORCHESTRATOR = tuple(found for found in list(vars().values()) if isinstance(found, Instrument))
"""All of them, in the order of the table."""
