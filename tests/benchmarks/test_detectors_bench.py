"""The bench of the detectors: what it reads off the journals, its bounds, its pages; it goes on where it was left."""

import json
import subprocess
import sys
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks.command import EXIT_BROKEN, EXIT_CONFIG, EXIT_INTERRUPTED
from benchmarks.detectors import calm as calm_bench
from benchmarks.detectors import cli, curve, silences
from benchmarks.detectors.calm import cost_bytes
from benchmarks.detectors.results import Calm, Detection, Price, Report, Silences, broken_bounds
from benchmarks.detectors.silences import detections, wronged
from benchmarks.detectors.storms import Run
from benchmarks.detectors.tables import markdown, page
from orchestrator.journal import Event
from protocols.clock import MonotonicClock
from protocols.errors import LabError

NEIGHBOURS = {"a": ["b"], "b": ["a", "c"], "c": ["b"], "d": []}


def suspect(t: float, node: str, peer: str, mechanism: str = "probe") -> Event:
    """A line of the journal."""
    return {"t": t, "node": node, "ev": "suspect", "peer": peer, "mechanism": mechanism}


def freezes(taken_ms: float | None = 2000.0, *, wronged: int = 0) -> Silences:
    """A run with one linked pair and one that is not."""
    pair = Detection(victim="b", survivor="a", linked=True, mechanism="probe", taken_ms=taken_ms)
    other = Detection(victim="b", survivor="d", linked=False, mechanism="gossip", taken_ms=2001.0)
    return Silences(
        fault="freeze", kind="fixed", interval_s=1.0, bound_ms=2500.0, detections=[pair, other], wronged=wronged
    )


def calm(*, suspicions: int = 0, loaded: bool = False) -> Calm:
    """A control."""
    return Calm(
        kind="phi", loaded=loaded, duration_s=20.0, agents=8, suspicions=suspicions, doubts=0, excused=1,
        cost_bytes_per_s=1000.0, cpu_percent=40.0,
    )  # fmt: skip


def price(**changes: object) -> Price:
    """A point of the curve."""
    point = {
        "kind": "swim", "interval_s": 1.0, "adaptive": False, "slow": False, "bound_ms": 5000.0,
        "detection_ms": [2000.0, 2100.0], "undetected": 0, "wronged": 7, "cost_bytes_per_s": 1000.0,
    }  # fmt: skip
    return Price.model_validate(point | changes)


def report(*runs: Silences, calms: tuple[Calm, ...] = ()) -> Report:
    """What one call has found."""
    made_at = datetime(2026, 11, 27, 23, 0, tzinfo=UTC)
    host = {"cpu_count": 2, "python": "3.11.7"}
    return Report(made_at=made_at, full=False, host=host, silences=runs, calms=calms, prices=[price()])


def test_detections_are_read_off_the_suspicions_of_the_freeze() -> None:
    """The first of each survivor within the span; before and after it they belong to something else."""
    events = [
        suspect(9.0, "a", "b"),
        suspect(12.0, "a", "b"),
        suspect(12.1, "a", "b", "gossip"),
        suspect(12.2, "d", "b", "gossip"),
        suspect(13.0, "c", "a"),
        suspect(31.0, "c", "b"),
    ]
    found = {item.survivor: item for item in detections(events, ("b", 10.0, 30.0), NEIGHBOURS)}
    assert {name: (item.linked, item.mechanism) for name, item in found.items()} == {
        "a": (True, "probe"),
        "c": (True, None),
        "d": (False, "gossip"),
    }
    assert found["a"].taken_ms == pytest.approx(2000)
    assert found["c"].taken_ms is None
    assert wronged(events, [("b", 10.0, 30.0)], "freeze") == 3
    assert wronged(events, [("c", 10.0, 30.0)], "freeze") == 6
    assert wronged(events, [("c", 10.0, 30.0)], "cut") == 5


def test_a_cut_is_read_off_the_word_of_chaos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the instant it held to a timeout after its heal; what the cut off agent believes meanwhile wrongs nobody."""
    roster = [{"node_id": f"agent_{number}", "neighbours": [f"agent_{(number + 1) % 8}"]} for number in range(8)]
    told: list[Event] = [
        {"t": 0.5, "node": "orchestrator", "ev": "roster", "agents": roster},
        *({"t": 1.0, "node": f"agent_{number}", "ev": "started"} for number in range(8)),
        {"t": 50.0, "node": "orchestrator", "ev": "fault_done", "victim": "agent_1"},
        suspect(51.5, "agent_1", "agent_5"),
        suspect(52.0, "agent_0", "agent_1"),
        {"t": 54.0, "node": "orchestrator", "ev": "heal_done", "victim": "agent_1"},
        suspect(54.4, "agent_1", "agent_6"),
        suspect(54.6, "agent_1", "agent_7"),
    ]
    asked: dict[str, object] = {}

    def control(*call: Any) -> Any:
        asked.update(call[-1])
        return nullcontext(run)

    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        run = Scripted([told], process, tmp_path)
        monkeypatch.setattr(silences, "control", control)
        monkeypatch.setattr(silences, "_REJOIN_S", 0.1)
        found = silences.cut("fixed", tmp_path, MonotonicClock(), count=1, seed=0)
        process.communicate(b"\n")
    (linked,) = (detection for detection in found.detections if detection.linked)
    assert (linked.survivor, linked.victim, linked.taken_ms) == ("agent_0", "agent_1", 2000.0)
    assert (found.fault, found.bound_ms, found.wronged, len(found.detections)) == ("cut", 2500.0, 1, 7)
    (entry,) = json.loads(str(asked["chaos"]))
    assert (entry["fault"], entry["at_s"], asked["scenario.kill_at_s"]) == ("cut", 30.0, 30.0)
    assert entry["for_s"] > 1.2 * 2.5


class Scripted(Run):
    """A run whose journals say one batch of events each time somebody looks."""

    def __init__(self, batches: list[list[Event]], process: "subprocess.Popen[bytes]", folder: Path) -> None:
        super().__init__(folder, process, MonotonicClock())
        self._batches = iter(batches)

    def _follow(self) -> None:
        self.events += next(self._batches, [])


@pytest.mark.parametrize("loaded", [False, True])
def test_a_control_counts_from_its_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, loaded: bool) -> None:
    """What came before all agents ran is left out; the programs that take the cores end with it."""
    started = [{"t": 1.0, "node": f"agent_{number}", "ev": "started"} for number in range(8)]
    counted: list[Event] = [
        suspect(2.0, "a", "b"),
        {"t": 2.0, "node": "a", "ev": "excused"},
        {"t": 2.0, "node": "a", "ev": "bytes", "rows": [["client", "b", "heartbeat", 100, 60]]},
        {"t": 2.0, "node": "orchestrator", "ev": "host", "cpu_percent": 31.0},
    ]
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        run = Scripted([[suspect(0.5, "a", "b")], [*started], counted], process, tmp_path)
        monkeypatch.setattr(calm_bench, "control", lambda *_: nullcontext(run))
        children = psutil.Process().children()
        found = calm_bench.measure("swim", tmp_path, MonotonicClock(), duration_s=0.3, loaded=loaded)
        assert psutil.Process().children() == children
        process.communicate(b"\n")
    assert (found.suspicions, found.doubts, found.excused, found.cpu_percent) == (1, 0, 1, 31.0)
    assert found.cost_bytes_per_s == pytest.approx(160 / found.duration_s / 8)


def test_a_run_that_ends_says_its_last_words(tmp_path: Path) -> None:
    """The bench does not wait for what cannot come."""
    (tmp_path / "console.log").write_text("one\nno port is free\n")
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
        with pytest.raises(LabError, match="it ended: no port is free"):
            Scripted([], process, tmp_path).started()


def test_only_what_detection_costs_is_counted_and_once() -> None:
    """Heartbeats and news at who opened the exchange, both directions."""
    rows = [
        ["client", "b", "heartbeat", 100, 57],
        ["server", "b", "heartbeat", 57, 100],
        ["client", "b", "membership", 10, 5],
        ["client", "b", "task", 1000, 1000],
    ]
    assert cost_bytes([{"ev": "bytes", "rows": rows}, {"ev": "host", "cpu_percent": 1.0}]) == 172


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (report(freezes(3000.0)), []),
        (report(freezes(3001.0)), ["fixed: a freeze is detected in 3001 ms (p95), the documented bound is 2500 ms"]),
        (report(freezes(None)), ["fixed: a freeze is detected in inf ms (p95), the documented bound is 2500 ms"]),
        (report(freezes(wronged=2)), ["fixed: 2 suspicions of agents that were not silent (freeze)"]),
        (report(calms=(calm(), calm(loaded=True))), []),
        (
            report(calms=(calm(), calm(suspicions=3, loaded=True))),
            ["phi: 3 false suspicions in 20 s, all cores loaded"],
        ),
    ],
)
def test_the_bounds(found: Report, said: list[str]) -> None:
    """Detection of linked pairs, and not one false suspicion."""
    assert list(broken_bounds(found)) == said


def test_tables_and_page_show_every_section() -> None:
    """The page stands alone."""
    found = report(freezes(), calms=(calm(loaded=True),))
    text = markdown(found)
    assert "| fixed | freeze | 2500 | 2000 / 2000 | 0.80 | 2000 / 2000 (1) | 2001 / 2001 (1) | 0 | 1 |" in text
    assert "| phi | all taken by another program | 20 | 0 | 0 | 1 | 1000 | 40 |" in text
    assert "| swim | 1 s | 2 | 1000 | 2050 / 2100 | 0 | 5000 | 7 |" in text
    assert "<table>" in page(found)


def test_the_long_form_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is measured already stands; what was broken off or is torn is measured again; a broken bound is code 1."""
    made: list[str] = []

    def pieces(*_: object) -> list[cli.Piece]:
        def piece(name: str, suspicions: int) -> cli.Piece:
            def measure(_: Path) -> Calm:
                made.append(name)
                if name == "second" and made.count("second") == 1:
                    raise KeyboardInterrupt
                return calm(suspicions=suspicions)

            return cli.Piece(name, Calm, measure)

        return [piece("first", 0), piece("second", 0), piece("third", 1)]

    monkeypatch.setattr(cli, "pieces", pieces)
    document = tmp_path / "detectors.md"
    marks = (f"<!-- {end}last measured{form} -->\n" for form in ("", ", long form") for end in ("", "end of "))
    document.write_text("".join(marks))
    arguments = ["--full", "--results-dir", str(tmp_path), "--docs", str(document)]
    assert cli.main(arguments) == EXIT_INTERRUPTED
    assert cli.main(arguments) == EXIT_BROKEN
    assert made == ["first", "second", "second", "third"]
    short, _, long = document.read_text().partition("<!-- last measured, long form -->")
    assert "Nobody is hurt" in long
    assert "Nobody is hurt" not in short
    (tmp_path / "bench-detectors-full" / "first.json").write_text("{")
    assert cli.main(arguments) == EXIT_BROKEN
    assert made[4:] == ["first"]
    assert len(Report.model_validate_json((tmp_path / "bench-detectors-full/report.json").read_bytes()).calms) == 3


@pytest.mark.parametrize("arguments", [["--freezes", "9"], ["--runs", "-1"], ["--kind", "magic"]])
def test_bad_sizes_are_code_2(arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is measured."""
    assert cli.main([*arguments, "--results-dir", str(tmp_path)]) == EXIT_CONFIG
    assert capsys.readouterr().err.startswith("benchmarks: ")


def test_a_simulated_point(tmp_path: Path) -> None:
    """Four probes a second cost what four probes cost, and a freeze is found within the documented bound."""
    found = curve.measure(curve.Point("fixed", 1.0, adaptive=False, slow=False), tmp_path, freezes=1)
    assert found.cost_bytes_per_s == pytest.approx(4 * curve.PROBE_BYTES)
    assert len(found.detection_ms) == 4
    assert 0 < found.wronged < 100  # two losses in a row, of 3,840 probes with 5 % of losses
    assert max(found.detection_ms) <= found.bound_ms == 2500


def test_all_detectors_are_measured_at_four_intervals() -> None:
    """And the adaptive interval beside them."""
    points = list(curve.wanted())
    assert len({(point.kind, point.interval_s) for point in points if not point.adaptive and not point.slow}) == 12
    assert {point.slow for point in points if point.adaptive} == {False, True}
