"""The second dashboard: protocols side by side over the valid runs of one runtime and one duration."""

from collections.abc import Iterator

from grafana_foundation_sdk.builders import barchart, bargauge, dashboard, table
from grafana_foundation_sdk.models import dashboard as model

from grafana.panels import DATASOURCE, Frame, Query, bars, groups, matrix

RUNTIMES = "label_values(failstorm_result, runtime)"
DURATIONS = (
    'query_result(count_values("seconds", '
    'last_over_time(failstorm_result{metric="windows.duration_s",runtime="$runtime"}[$__range])))'
)
HEADLINES = (
    ("recovery_ms", "Recovery", "ms", "First acknowledged repair after the kill."),
    ("detection_ms.p95", "Detection, p95", "ms", "Kill until a survivor holds a victim for dead, over all pairs."),
    ("steady_state_ms", "Steady again", "ms", "Kill until the mesh is as good as before and stays so."),
    ("bytes_reconnect", "Bytes after the kill", "bytes", "Bytes of the mesh in the byte window after the kill."),
    ("success_rate_drop", "Drop of success", "percentunit", "(success before - success after) / success before."),
    ("duplicate_work_ratio", "Duplicate work", "percentunit", "Starts of a step beyond its first, of all starts."),
)
"""(key in ``failstorm_metrics.json``, title, unit, meaning); docs/metrics.md defines each."""
NOTE = (
    "Valid runs only, one runtime and one duration: others are not comparable. Runs under 120 s are scaled and belong "
    "in no published table. A null has no series."
)


def results(matcher: str) -> str:
    """The results of the chosen runs; a run ends, so the last value within the range counts."""
    chosen = f'failstorm_result{{runtime="$runtime",verdict="valid",{matcher}}}'
    as_long = 'failstorm_result{metric="windows.duration_s"}'
    return f"last_over_time({chosen}[$__range]) and on (run) last_over_time({as_long}[$__range]) == $duration"


def build() -> dashboard.Dashboard:
    """The dashboard *Protocols compared*."""
    board = (
        dashboard.Dashboard("Protocols compared")
        .uid("failstorm-compared")
        .description("The numbers of failstorm_metrics.json over the runs of the results folder.")
        .tags(["fail-storm"])
        .time("now-15m", "now")
        .refresh("5s")
        .timezone("browser")
        .readonly()
        .link(dashboard.DashboardLink("Fail-Storm live").type(model.DashboardLinkType.LINK).url("/d/failstorm-live"))
        .with_variable(_variable("runtime", "Runtime", RUNTIMES))
        .with_variable(_variable("duration", "Duration in s", DURATIONS).regex('/seconds="([^"]+)"/'))
    )
    for panel in (_runs(), _medians(), *_spreads(), _every_run()):
        board.with_panel(panel)
    return board


def _runs() -> bargauge.Panel:
    one_a_run = results('metric="windows.duration_s"')
    frame = Frame("Runs", f"How many runs each protocol's numbers come from. {NOTE}", 6, 8)
    return bars(frame, Query(f"count by (protocol) ({one_a_run})", "{{protocol}}"), unit="none")


def _medians() -> table.Panel:
    frame = Frame("Medians", f"The median over the runs, a line each protocol. {NOTE}", 18, 8)
    return _numbers(frame, f"quantile by (protocol, metric) (0.5, {_headlines()})", row="protocol")


def _every_run() -> table.Panel:
    frame = Frame("Every run", f"The same numbers, a line each run. {NOTE}", 24, 12)
    return _numbers(frame, f"max by (run, metric) ({_headlines()})", row="run")


def _spreads() -> Iterator[barchart.Panel]:
    for key, title, unit, meaning in HEADLINES:
        of_key = results(f'metric="{key}"')
        spread = {
            "least": f"min by (protocol) ({of_key})",
            "median": f"quantile by (protocol) (0.5, {of_key})",
            "most": f"max by (protocol) ({of_key})",
        }
        frame = Frame(title, f"{meaning} Least, median and most over the runs. `{key}`. {NOTE}", 8, 8)
        yield groups(frame, "protocol", spread, unit)


def _headlines() -> str:
    keys = "|".join(key.replace(".", r"\\.") for key, *_ in HEADLINES)
    return results(f'metric=~"{keys}"')


def _numbers(frame: Frame, expr: str, row: str) -> table.Panel:
    panel = matrix(frame, Query(expr), row=row, column="metric", unit="none", shaded=False)
    for key, _, unit, _ in HEADLINES:
        panel.override_by_name(key, [model.DynamicConfigValue("unit", unit)])
    return panel


def _variable(name: str, label: str, query: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(DATASOURCE)
        .query(query)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.NUMERICAL_DESC)
    )
