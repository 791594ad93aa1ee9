"""The home dashboard: one storm while it happens; from top to bottom: the storm, the mesh, its service, its cost."""

from grafana_foundation_sdk.builders import dashboard, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.models import dashboard as model

from grafana import palette
from grafana.live_curves import cost, lab, service
from grafana.marks import MARKS
from grafana.panels import Frame, Query, curves, matrix, number, states, word
from grafana.series import now, of_orchestrator, since_kill_ms

STATES = {
    3: ("alive", palette.GREEN),
    2: ("recovering", palette.SKY),
    1: ("suspected", palette.YELLOW),
    0: ("dead", palette.VERMILION),
}


def build() -> dashboard.Dashboard:
    """The dashboard *Fail-Storm live*."""
    board = (
        dashboard.Dashboard("Fail-Storm live")
        .uid("failstorm-live")
        .description("One storm, second by second. What a number means stands at the (i) of its panel.")
        .tags(["fail-storm"])
        .time("now-5m", "now")
        .timepicker(dashboard.TimePicker().refresh_intervals(["1s", "5s", "30s"]))
        .refresh("1s")
        .timezone("browser")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .readonly()
        .link(
            dashboard.DashboardLink("Protocols compared")
            .type(model.DashboardLinkType.LINK)
            .url("/d/failstorm-compared")
        )
    )
    for mark in MARKS:
        board.annotation(mark)
    panels = (*_storm(), *_instants(), _agents(), _detections(), _progress(), *service(), *cost(), *lab())
    for panel in panels:
        board.with_panel(panel)
    return board


def _storm() -> list[stat.Panel]:
    phases = "start → warmup → pre (the baseline) → inflight → post (after the planned kill) → tail → over."
    alive = "Agents that serve and were not killed, of N."
    return [
        word(
            Frame("Run", "Protocol under test, runtime and seed.", 7, 3),
            Query(now("failstorm_run_info"), "{{protocol}} · {{runtime}} · seed {{seed}}"),
        ),
        word(Frame("Phase", phases, 5, 3), Query(f"{now('failstorm_phase')} == 1", "{{phase}}")),
        number(
            Frame("Kill in", "Seconds until the planned kill; 0 afterwards.", 5, 3),
            Query(now("failstorm_countdown_seconds"), "countdown"),
            unit="s",
            colours=((0, palette.GREY), (0.001, palette.VERMILION), (10, palette.ORANGE), (20, palette.BLUE)),
        ),
        number(
            Frame("Alive", alive, 7, 3),
            Query(now("failstorm_agents_alive"), "alive"),
            Query(now("failstorm_agents"), "of"),
        ),
    ]


def _instants() -> list[stat.Panel]:
    steady = "the mesh was as good as before and stayed so (`steady_state_ms`); known after the evaluation"
    events = (
        ("First detection", "the first survivor held a victim for dead", f"min({now('failstorm_detection_ms')})"),
        (
            "Recovery",
            "the first acknowledged message that repairs what the kill broke (`recovery_ms`)",
            since_kill_ms("failstorm_recovery_timestamp_seconds"),
        ),
        (
            "All agree",
            "every survivor held every victim for dead",
            since_kill_ms("failstorm_agreement_timestamp_seconds"),
        ),
        ("Steady again", steady, since_kill_ms("failstorm_steady_timestamp_seconds")),
    )
    return [
        number(Frame(title, f"Time from the first kill until {event}.", 6, 3), Query(expr, title), unit="ms")
        for title, event, expr in events
    ]


def _agents() -> statetimeline.Panel:
    meaning = (
        "dead: killed, or not up yet. suspected: it runs, yet a running agent holds it for dead. recovering: in the "
        "last 2 s it noticed a death, repaired something or was restarted."
    )
    query = Query(of_orchestrator("failstorm_agent_state"), "{{node}}")
    return states(Frame("Agents", meaning, 14, 10), query, STATES)


def _detections() -> table.Panel:
    meaning = (
        "Milliseconds from the first kill until the survivor (line) held the victim (column) for dead; darker is "
        "later. Of a suspicion that was taken back and formed again: the last."
    )
    query = Query(f"max by (survivor, victim) ({now('failstorm_detection_ms')})")
    frame = Frame("Who noticed whom, and when", meaning, 10, 10)
    return matrix(frame, query, row="survivor", column="victim", unit="ms")


def _progress() -> timeseries.Panel:
    meaning = (
        "pairs detected: (survivor, victim) pairs in which the survivor holds the victim for dead, of those there "
        "will be. repaired: acknowledged messages that mend a request, a task or an edge."
    )
    return curves(
        Frame("Detection and recovery as they happen", meaning, 24, 8),
        Query(of_orchestrator("failstorm_expected_pairs"), "pairs to detect"),
        Query(of_orchestrator("failstorm_detected_pairs"), "pairs detected"),
        Query(f"sum by (kind) ({of_orchestrator('failstorm_repairs_total')})", "repaired: {{kind}}"),
        colours={
            "pairs to detect": palette.GREY,
            "pairs detected": palette.VERMILION,
            "repaired: request": palette.BLUE,
            "repaired: task": palette.SKY,
            "repaired: edge": palette.GREEN,
        },
        steps=True,
    )
