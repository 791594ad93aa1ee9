"""The PromQL that the panels of a live storm have in common (names: docs/telemetry.md)."""


def of_orchestrator(metric: str, matcher: str = "") -> str:
    """The series of ``metric`` that the orchestrator exports; chaos and agents have some of the same name."""
    return f'{metric}{{job="orchestrator"{"," if matcher else ""}{matcher}}}'


def now(metric: str) -> str:
    """The orchestrator's present value of ``metric``, or its last one when the run is over and the series stale."""
    return f"last_over_time({of_orchestrator(metric)}[$__range])"


def since_kill_ms(metric: str) -> str:
    """Milliseconds from the first kill to the instant in ``metric``; empty until it has come."""
    return f"1000 * (max({now(metric)} > 0) - min({now('failstorm_kill_timestamp_seconds')} > 0))"
