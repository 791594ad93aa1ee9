"""The figures show what the numbers say, and the page explains itself without a network, whatever a run holds."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator import report_figures, report_html
from orchestrator.evidence import Evidence
from orchestrator.metrics import evaluate, registry
from orchestrator.report_content import Report, build

Event = dict[str, Any]
Build = Callable[..., list[Event]]


def _report(events: list[Event]) -> Report:
    return build(Path("results/example"), Evidence.from_events(events), None, 0)


def _undetected(events: list[Event]) -> list[Event]:
    """agent_2 never suspects agent_6."""
    return [
        event
        for event in events
        if not (event["ev"] == "suspect" and event["node"] == "agent_2" and event["peer"] == "agent_6")
    ]


def test_the_timeline_shows_belief_beside_truth(short_storm: Build) -> None:
    """A victim is seen as alive until the first suspicion, suspect until the last survivor agrees, then dead."""
    evidence = Evidence.from_events(short_storm())
    spans = report_figures.beliefs(evidence, "agent_3")
    assert [span.belief for span in spans] == ["alive", "alive", *["suspect"] * 5, "dead"]
    assert [(span.begin, span.end, span.observers) for span in spans[:2]] == [(-12.0, 0.0, 7), (0.0, 2.05, 6)]
    assert (spans[-1].begin, spans[-1].end, spans[-1].suspecting, spans[-1].observers) == (2.3, 12.0, 6, 6)
    figure = report_figures.timeline(evidence, ())
    dead = next(trace for trace in figure.data if trace.name == "seen as dead")
    assert list(zip(dead.y, dead.base, dead.x, strict=True)) == [("agent_3", 2.3, 9.7), ("agent_6", 2.3, 9.7)]
    down = next(trace for trace in figure.data if trace.name == "struck")
    assert list(down.x) == [0.0, 12.0, None, 0.0, 12.0, None]


def test_the_instants_are_the_metrics(short_storm: Build) -> None:
    """The marks in the figures stand where the numbers of the file say."""
    evidence = Evidence.from_events(short_storm())
    marks = {mark.label: mark.at_s for mark in report_figures.instants(evidence, evaluate(evidence))}
    assert marks == {"storm": 0.0, "first detection": 2.05, "first repair": 2.08, "steady state": 2.3}


def test_the_goodput_figure_shades_the_loss_and_nothing_else(short_storm: Build) -> None:
    """The area lies between the baseline and the curve wherever the curve is lower, from T0 on."""
    events = [event for event in short_storm() if event["ev"] != "answer" or not 1015 <= event["t"] < 1017]
    evidence = Evidence.from_events(events)
    values = evaluate(evidence)
    figure = report_figures.goodput(evidence, values, ())
    assert figure is not None
    curve = next(trace for trace in figure.data if trace.name == "goodput")
    area = next(trace for trace in figure.data if trace.name == "degraded area")
    found = values["goodput"].value
    assert isinstance(found, dict)
    assert list(zip(curve.x, curve.y, strict=True)) == [(at_s, 100 * share) for at_s, share in found["curve"]]
    after = [(at_s, 100 * share) for at_s, share in found["curve"] if at_s >= 0]
    assert list(zip(area.x, area.y, strict=True)) == after
    assert min(area.y) < 50
    assert max(area.y) == 100


def test_the_detection_figure_has_a_hole_for_what_was_never_detected(short_storm: Build) -> None:
    """One cell per survivor and victim: ms after T0, or nothing."""
    evidence = Evidence.from_events(_undetected(short_storm()))
    figure = report_figures.detection(evidence, evaluate(evidence))
    assert figure is not None
    cells = figure.data[0]
    assert list(cells.x) == ["agent_3", "agent_6"]
    assert list(cells.y) == ["agent_1", "agent_2", "agent_4", "agent_5", "agent_7", "agent_8"]
    assert [list(row) for row in cells.z][:3] == [[2050.0, 2050.0], [2100.0, None], [2150.0, 2150.0]]


def test_the_traffic_figure_shows_every_byte(short_storm: Build) -> None:
    """The bars of a class add up to its series; each class has its colour."""
    evidence = Evidence.from_events(short_storm())
    values = evaluate(evidence)
    figure = report_figures.traffic(evidence, values, ())
    assert figure is not None
    series = values["bytes_series"].value
    assert isinstance(series, dict)
    assert {trace.name: list(trace.y) for trace in figure.data} == series["bytes"]
    assert len({trace.marker.color for trace in figure.data}) == len(figure.data) == 3


def test_the_latency_figure_ends_at_the_share_that_was_answered(short_storm: Build) -> None:
    """Two seconds without answers cost the curve of the phase after the storm what they lost."""
    events = [event for event in short_storm() if event["ev"] != "answer" or not 1015 <= event["t"] < 1017]
    evidence = Evidence.from_events(events)
    before, after = report_figures.latency(evidence).data
    answered = sum(bool(task.commits) for task in evidence.decided("post"))
    assert before.y[-1] == 100
    assert 30 < answered < 48
    assert (len(after.x), after.y[-1]) == (answered, 100 * answered / 48)
    assert list(before.x) == sorted(before.x)


def test_the_page_needs_no_network(short_storm: Build) -> None:
    """Nothing on the page is loaded from elsewhere, and the plotting library is there exactly once."""
    page = report_html.render(_report(short_storm()))
    markup = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"""(?:src|href)\s*=|url\(|@import""", markup)
    assert page.count("* plotly.js v") == 1
    assert 'name="viewport"' in page


def test_the_page_explains_itself(short_storm: Build) -> None:
    """Definitions on the numbers, the verdict with its reasons, every metric, and all six figures."""
    events = [event for event in short_storm() if event["ev"] != "death"]
    page = report_html.render(_report(events))
    assert 'title="First acknowledged protocol message' in page
    assert "the kill of agent_3 has no proof of death" in page
    assert all(f">{name}</summary>" in page for name in registry())
    figures = ("timeline", "goodput", "detection", "connectivity", "traffic", "latency")
    assert all(f'<div id="{name}"' in page for name in figures)
    assert 'class="missing"' not in page


def test_hostile_names_stay_text(short_storm: Build) -> None:
    """A name with markup in it cannot break out of the page."""
    hostile = "</script><script>alert(1)</script>"
    text = json.dumps(short_storm()).replace("agent_3", hostile).replace("20300101-000000-json-1", hostile)
    page = report_html.render(_report(json.loads(text)))
    assert hostile not in page
    assert "<script>alert" not in page


def test_a_figure_that_breaks_does_not_cost_the_page(short_storm: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its place says what went wrong; the others are drawn."""

    def broken(*_: object) -> None:
        raise ValueError("no such colour")

    monkeypatch.setattr(report_figures, "latency", broken)
    page = report_html.render(_report(short_storm()))
    assert "This figure could not be drawn: ValueError(&#x27;no such colour&#x27;)" in page
    assert '<div id="traffic"' in page


def test_a_control_has_a_page_without_a_storm(short_storm: Build) -> None:
    """Where nothing was detected the page says so, and marks only the planned instant."""
    page = report_html.render(_report(short_storm(victims=())))
    assert "no storm (planned instant)" in page
    assert page.count('class="missing"') == 1
