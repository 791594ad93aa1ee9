"""The lengths in seconds by which a run is cut into phases and judged (docs/metrics.md)."""

from pydantic import BaseModel, ConfigDict


class Windows(BaseModel):
    """All windows of one run, already scaled; recorded in the journal (``run_start``) and in the results.

    Times are seconds; ``kill_at_s`` counts from t0 and is set in a control too, where it is the instant at which
    the storm would have come, so that the same windows can be evaluated.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    scale: float
    """duration / 120 s."""
    duration_s: float
    warmup_s: float
    kill_at_s: float
    task_deadline_s: float
    """D: an answer later than this after its scheduled arrival does not count."""
    rate_window_s: float
    """W: pre = [T0-D-W, T0-D), post = [T0, T0+W)."""
    byte_window_s: float
    steady_window_s: float
    steady_hold_s: float
