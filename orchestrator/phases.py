"""The arithmetic of a run's phases: what ``auto`` means, and whether the windows fit."""

from typing import NamedTuple

from agent.settings import Phase
from orchestrator.windows import Windows
from protocols.errors import ConfigError

FULL_DURATION_S = 120.0
SHORTEST_STORM_S = 16.0
"""Below this, half a rate window is shorter than the smallest task deadline of 2 s."""
SHORTEST_RUN_S = 4.0
_DIGITS = 6
TOLERANCE_S = 1e-5
"""More than the rounding to microseconds can add up to, and less than anything that matters."""


class Wishes(NamedTuple):
    """The times in seconds that a user may set; None stands for ``auto``."""

    duration_s: float
    warmup_s: float | None = None
    kill_at_s: float | None = None
    task_deadline_s: float | None = None


def fit(wishes: Wishes) -> Windows:
    """Cut a run into its windows (METRICS: scale, baseline, window after the kill).

    Automatic values scale with duration / 120 s. An automatic warm-up ends early enough for the baseline, as long as
    the kill is automatic too. Raises ConfigError when a window does not fit, with the numbers and what would work.
    """
    duration_s = wishes.duration_s
    scale = duration_s / FULL_DURATION_S
    rate_window_s = duration_s / 4
    deadline_s = wishes.task_deadline_s
    if deadline_s is None:
        # Only a control under 16 s, which has no storm to judge, needs the second bound.
        deadline_s = min(max(2.0, 5 * scale), rate_window_s / 2)
    kill_at_s = duration_s / 2 if wishes.kill_at_s is None else wishes.kill_at_s
    baseline_at_s = kill_at_s - deadline_s - rate_window_s
    warmup_s = wishes.warmup_s
    if warmup_s is None:
        warmup_s = 25 * scale if wishes.kill_at_s is not None else max(0.0, min(25 * scale, baseline_at_s))
    windows = Windows(
        scale=round(scale, _DIGITS),
        duration_s=duration_s,
        warmup_s=round(warmup_s, _DIGITS),
        kill_at_s=round(kill_at_s, _DIGITS),
        task_deadline_s=round(deadline_s, _DIGITS),
        rate_window_s=round(rate_window_s, _DIGITS),
        byte_window_s=round(rate_window_s, _DIGITS),
        steady_window_s=round(max(2.0, 5 * scale), _DIGITS),
        steady_hold_s=round(max(3.0, 10 * scale), _DIGITS),
    )
    _check(windows)
    return windows


def baseline(windows: Windows) -> tuple[float, float]:
    """Start and end, in seconds after t0, of the window before the kill: [T0-D-W, T0-D)."""
    end_s = windows.kill_at_s - windows.task_deadline_s
    return end_s - windows.rate_window_s, end_s


def planned(windows: Windows) -> tuple[Phase, ...]:
    """The phases by which metrics are labelled, from t0 on; ``inflight`` begins one deadline before the kill."""
    start_s, end_s = baseline(windows)
    kill_at_s = windows.kill_at_s
    starts = {"warmup": 0.0, "pre": start_s, "inflight": end_s, "post": kill_at_s}
    starts["tail"] = kill_at_s + windows.rate_window_s
    return tuple(Phase(name=name, start_s=round(at_s, _DIGITS)) for name, at_s in starts.items())


def last_arrival_s(windows: Windows) -> float:
    """No task arrives from here on: there would be no time left for its deadline."""
    return windows.duration_s - windows.task_deadline_s


def _check(windows: Windows) -> None:
    duration_s, kill_at_s = windows.duration_s, windows.kill_at_s
    deadline_s, rate_window_s = windows.task_deadline_s, windows.rate_window_s
    if deadline_s > rate_window_s / 2 + TOLERANCE_S:
        raise ConfigError(
            f"scenario.task_deadline_s: expected at most half of the {rate_window_s:g} s rate window, "
            f"{rate_window_s / 2:g} s, got {deadline_s:g}; "
            f"lower it, or set scenario.duration to {8 * deadline_s:g} or more"
        )
    if not 0 < kill_at_s < duration_s:
        raise ConfigError(
            f"scenario.kill_at_s: expected an instant inside the run of {duration_s:g} s, got {kill_at_s:g}; "
            f"lower it, raise scenario.duration, or leave it at auto"
        )
    start_s, end_s = baseline(windows)
    if start_s < windows.warmup_s - TOLERANCE_S:
        earliest_s = windows.warmup_s + deadline_s + rate_window_s
        or_warmup = f", or scenario.warmup_s to {start_s:g} or less" if start_s >= 0 else ""
        raise ConfigError(
            f"scenario.kill_at_s: expected the {rate_window_s:g} s baseline after the warm-up of "
            f"{windows.warmup_s:g} s, but a kill at {kill_at_s:g} s puts it at [{start_s:g}, {end_s:g}); "
            f"set scenario.kill_at_s to {earliest_s:g} or more{or_warmup}"
        )
    if kill_at_s + rate_window_s > last_arrival_s(windows) + TOLERANCE_S:
        raise ConfigError(
            f"scenario.kill_at_s: expected the {rate_window_s:g} s after the kill to end before the last arrival at "
            f"{last_arrival_s(windows):g} s, but a kill at {kill_at_s:g} s puts it at "
            f"[{kill_at_s:g}, {kill_at_s + rate_window_s:g}); "
            f"set scenario.kill_at_s to {last_arrival_s(windows) - rate_window_s:g} or less"
        )
