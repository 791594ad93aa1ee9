"""What users notice of a storm, what the mesh pays for it, and whether the lab itself was well."""

from grafana_foundation_sdk.builders import bargauge, timeseries
from grafana_foundation_sdk.models import dashboard as model

from grafana import palette
from grafana.panels import Frame, Query, bars, curves
from grafana.series import of_orchestrator

TRAFFIC = {
    "task": palette.BLUE,
    "retry": palette.ORANGE,
    "heartbeat": palette.GREEN,
    "membership": palette.PURPLE,
    "handshake": palette.VERMILION,
    "discovery": palette.SKY,
    "resume": palette.YELLOW,
    "broadcast": palette.GREY,
}
DASHED = model.DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [8, 6]})


def service() -> list[timeseries.Panel]:
    """Goodput and success against the baseline."""
    return [_goodput(), _success()]


def cost() -> list[timeseries.Panel | bargauge.Panel]:
    """Bytes by class, work done twice, and what became of the tasks."""
    return [_bytes_per_s(), _bytes_after_kill(), _extra_work(), _tasks()]


def lab() -> list[timeseries.Panel]:
    """An outsider's view of the agents, and what would make a run worthless: a starved machine."""
    answering = (
        "Agents that answered the scrape: who is alive, as an outsider sees it. A killed agent stays a target, with "
        "the value 0; when the run is over all are 0."
    )
    lag = "The slowest agent's loop over the last second. With a p99 above 50 ms in the baseline the run is starved."
    cpu = "All cores, all processes. Above 70 % in the baseline the run is starved."
    return [
        curves(
            Frame("Agents that answer Prometheus", answering, 8, 7),
            Query('sum(up{job="agent"})', "answering"),
            Query('count(up{job="agent"})', "targets"),
            colours={"answering": palette.GREEN, "targets": palette.GREY},
            steps=True,
        ),
        curves(
            Frame("The lab itself: lateness of the event loops", lag, 8, 7),
            Query('max by (stat) (failstorm_loop_lag_seconds{job="agent"})', "{{stat}}"),
            unit="s",
            colours={"p99": palette.BLUE, "max": palette.GREY},
        ),
        curves(
            Frame("The lab itself: CPU of the machine", cpu, 8, 7),
            Query(of_orchestrator("failstorm_host_cpu_percent"), "CPU"),
            unit="percent",
            colours={"CPU": palette.BLUE},
        ).max(100),
    ]


def _goodput() -> timeseries.Panel:
    meaning = (
        "Correct answers in time per second over the last steady-state window. The band is the range of the same over"
        " the baseline, before the kill; dashed: its mean."
    )
    bound = "failstorm_baseline_goodput_per_s"
    unseen = model.DynamicConfigValue("custom.lineWidth", 0)
    filled = (
        model.DynamicConfigValue("custom.fillBelowTo", "baseline low"),
        model.DynamicConfigValue("custom.fillOpacity", 30),
    )
    panel = curves(
        Frame("Goodput", meaning, 12, 9),
        Query(of_orchestrator("failstorm_goodput_per_s"), "goodput"),
        Query(of_orchestrator(bound, 'bound="low"'), "baseline low"),
        Query(of_orchestrator(bound, 'bound="high"'), "baseline high"),
        Query(of_orchestrator(bound, 'bound="mean"'), "baseline mean"),
        unit="tasks/s",
        colours={
            "goodput": palette.BLUE,
            "baseline low": palette.SKY,
            "baseline high": palette.SKY,
            "baseline mean": palette.GREY,
        },
    )
    panel.override_by_name("baseline low", [unseen])
    panel.override_by_name("baseline high", [unseen, *filled])
    return panel.override_by_name("baseline mean", [DASHED])


def _success() -> timeseries.Panel:
    meaning = (
        "Share of the tasks decided in the last window that were answered correctly in time; dashed: the same over "
        "the baseline."
    )
    panel = curves(
        Frame("Success", meaning, 12, 9),
        Query(of_orchestrator("failstorm_success_ratio"), "success"),
        Query(of_orchestrator("failstorm_baseline_success_ratio"), "baseline"),
        unit="percentunit",
        colours={"success": palette.BLUE, "baseline": palette.GREY},
    )
    return panel.max(1).override_by_name("baseline", [DASHED])


def _bytes_per_s() -> timeseries.Panel:
    meaning = (
        "Payload at the agents' sockets, each exchange once, at its initiator in both directions. A killed agent "
        "takes its counter along."
    )
    exchanges = 'failstorm_bytes_total{job="agent",role="client"}'
    per_s = f"sum by (traffic) (rate({exchanges}[$__rate_interval]))"
    ever_used = f"(sum by (traffic) ({exchanges}) > 0)"
    return curves(
        Frame("Bytes per second, by class", meaning, 14, 9),
        Query(f"{per_s} and on (traffic) {ever_used}", "{{traffic}}"),
        unit="Bps",
        colours=TRAFFIC,
        stacked=True,
    )


def _bytes_after_kill() -> bargauge.Panel:
    meaning = (
        "What the phase `post` cost so far. Close to `bytes_reconnect`, which also has the exchanges of the dead, "
        "counted at those who answered them."
    )
    after_kill = 'failstorm_bytes_total{job="agent",role="client",phase="post"}'
    query = Query(f"sort_desc(sum by (traffic) (last_over_time({after_kill}[$__range])) > 0)", "{{traffic}}")
    return bars(Frame("Bytes after the kill, by class", meaning, 10, 9), query, unit="bytes", colours=TRAFFIC)


def _extra_work() -> timeseries.Panel:
    meaning = (
        "Since the start, whole mesh. duplicates: starts of a step beyond its first. retries: requests that were not "
        "the first attempt at their step. takeovers: tasks begun in a dead owner's place. false suspicions: of an "
        "agent that was running."
    )
    colours = {
        "duplicates": palette.PURPLE,
        "retries": palette.ORANGE,
        "takeovers": palette.SKY,
        "false suspicions": palette.VERMILION,
    }
    queries = [Query(of_orchestrator(f"failstorm_{name.replace(' ', '_')}_total"), name) for name in colours]
    return curves(Frame("Duplicates and retries", meaning, 12, 8), *queries, colours=colours, steps=True)


def _tasks() -> timeseries.Panel:
    meaning = (
        "Since the start. correct: rightly answered in time. wrong: answered otherwise. expired: no answer in time."
    )
    return curves(
        Frame("Tasks decided", meaning, 12, 8),
        Query(f"sum by (outcome) ({of_orchestrator('failstorm_graded_tasks_total')})", "{{outcome}}"),
        colours={"correct": palette.BLUE, "wrong": palette.VERMILION, "expired": palette.ORANGE},
        steps=True,
    )
