"""The benchmark of scenarios: what it takes out of a run, and which runs it lets pass."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agent.ranking import owners
from benchmarks import scenarios
from benchmarks.command import EXIT_CONFIG
from benchmarks.scenario_results import (
    Outcome,
    Outcomes,
    broken_bounds,
    cells,
    missed_at_end,
    read,
    refused,
    unremembered,
)
from benchmarks.scenarios import main
from orchestrator.events.conductor import Placement
from orchestrator.evidence import Evidence
from orchestrator.journal import load
from orchestrator.report_content import build
from protocols.errors import ConfigError

STORM = Path(__file__).parent.parent / "journals" / "storm.jsonl"


EVIDENCE = Evidence.from_events(load(STORM))
"""Of the golden journal, whose numbers are computed by hand beside it."""


def content() -> dict[str, Any]:
    """Its numbers."""
    return dict(build(STORM.parent, EVIDENCE, None, 0).content)


def broken(run: Outcome) -> list[str]:
    """What is said of it."""
    made_at = datetime(2026, 11, 28, tzinfo=UTC)
    return list(broken_bounds(Outcomes(made_at=made_at, host={}, runtime="local", duration_s=40.0, runs=[run])))


def test_figures_of_one_run() -> None:
    """As its report has them; the golden storm has lost a task."""
    run = read(
        "storm", "json", EVIDENCE, content() | {"expect": {"lost_tasks": {"bound": "== 0", "value": 1, "met": False}}}
    )
    assert (run.status, run.recovery_ms, run.lost_tasks, run.starved) == ("valid", 120, 1, False)
    assert run.expected == {"lost_tasks == 0": False}
    assert cells(run)[:4] == ("storm", "json", "valid", "120")
    assert cells(run)[-1] == "lost_tasks == 0 BROKEN"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, []),
        ({"status": "refused", "reasons": ["no netem here"]}, []),
        ({"status": "missing"}, ["zombie (json): missing"]),
        ({"status": "invalid", "reasons": ["no baseline", "no kill"]}, ["zombie (json): invalid no baseline no kill"]),
        ({"lost_tasks": 2, "duplicate_effects": 1}, ["zombie (json): 2 tasks lost, 1 tasks committed twice"]),
        ({"duplicate_effects": 2, "unremembered": 2}, []),
        ({"duplicate_effects": 3, "unremembered": 2}, ["zombie (json): 1 tasks committed twice"]),
        ({"connectivity_end": 0.75}, ["zombie (json): the survivors are not connected at the end"]),
        ({"connectivity_end": None}, ["zombie (json): the survivors are not connected at the end"]),
        ({"missed_at_end": ["b by a"]}, ["zombie (json): healed and still held for dead: b by a"]),
        ({"expected": {"a == 0": True, "b <= 1": False}}, ["zombie (json): expected b <= 1"]),
    ],
)
def test_run_that_did_not_end_well_is_named(changes: dict[str, Any], words: list[str]) -> None:
    """A fault that the runtime does not have breaks nothing."""
    sound = Outcome(
        scenario="zombie", protocol="json", status="valid", reasons=[], lost_tasks=0, duplicate_effects=0,
        connectivity_end=1.0,
    )  # fmt: skip
    assert broken(sound.model_copy(update=changes)) == words


def test_a_commitment_that_nobody_alive_was_told_of_cannot_be_kept() -> None:
    """It counts as such when its owner and all its electors had been killed before it was committed again."""
    events: list[dict[str, Any]] = [dict(event) for event in load(STORM)]
    assert list(unremembered(EVIDENCE)) == []
    agents = [agent.node_id for agent in EVIDENCE.agents]
    replication = len(EVIDENCE.rows(Placement)[0].holders[0])
    twice = next(task for task in EVIDENCE.tasks if len(task.commits) > 1)
    first_t, again_t = (event["t"] for event in events if event["ev"] == "answer" and event["task"] == twice.task)
    told = {twice.commits[0].node, *owners(EVIDENCE.run.seed, twice.task, agents)[: 2 * replication - 1]}

    def found(died_at: dict[str, float]) -> list[str]:
        kept = [event for event in events if event["ev"] != "death"]
        death = {"node": "orchestrator", "inc": 0, "ev": "death", "signal": 9}
        deaths: list[dict[str, Any]] = [{**death, "t": t, "victim": name} for name, t in died_at.items()]
        told_all = sorted([*kept, *deaths], key=lambda event: float(event["t"]))
        return list(unremembered(Evidence.from_events(told_all)))

    between = (first_t + again_t) / 2
    assert found(dict.fromkeys(told, between)) == [twice.task]
    for name in told:
        assert found(dict.fromkeys(told - {name}, between)) == []
        assert found(dict.fromkeys(told, between) | {name: again_t + 0.001}) == []
    assert twice.task not in found(dict.fromkeys(set(agents) - {twice.commits[0].node}, between))


def test_who_was_healed_must_be_back_in_every_view() -> None:
    """The golden storm's victims are, once somebody says that they were healed; one suspicion more, and one is not."""
    events: list[dict[str, Any]] = [dict(event) for event in load(STORM)]
    assert list(missed_at_end(EVIDENCE)) == []
    (victim, *_), last = EVIDENCE.victims, max(event["t"] for event in events if event["ev"] == "run_end")
    witness = EVIDENCE.survivors[0]
    healed = {"t": last - 0.3, "node": "orchestrator", "inc": 0, "ev": "heal_done", "victim": victim}
    back = [{"t": last - 0.2, "node": node, "inc": 0, "ev": "alive", "peer": victim, "peer_inc": 1000}
            for node in EVIDENCE.survivors]  # fmt: skip
    seen = sorted([*events, healed, *back], key=lambda event: event["t"])
    assert list(missed_at_end(Evidence.from_events(seen))) == []
    late = {"t": last - 0.1, "node": witness, "inc": 0, "ev": "suspect", "peer": victim, "peer_inc": 1000,
            "mechanism": "probe"}  # fmt: skip
    seen = sorted([*events, healed, *back, late], key=lambda event: event["t"])
    assert list(missed_at_end(Evidence.from_events(seen))) == [f"{victim} by {witness}"]


def test_what_containers_do_not_have_is_refused_before_the_run(tmp_path: Path) -> None:
    """It breaks nothing, and says why; nothing else that is refused passes for it."""
    line = ["--runtime", "docker", "--id", "t", "--results-dir", str(tmp_path), "--scenario", "lossy-links"]
    assert main(line) == 0
    kept = json.loads((tmp_path / "bench-scenarios-t" / "scenarios.json").read_text())
    assert [(run["status"], run["protocol"]) for run in kept["runs"]] == [("refused", "json"), ("refused", "a2a")]
    assert all(run["reasons"] for run in kept["runs"])


def test_any_other_refusal_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as ports that somebody else has: no verdict was reached."""

    def play(*_: object) -> None:
        raise ConfigError("json-common-seed1 was refused: port 9001 is taken")

    monkeypatch.setattr(scenarios, "play", play)
    assert main(["--results-dir", str(tmp_path), "--scenario", "zombie"]) == EXIT_CONFIG


def test_report_shows_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing runs with --report; what is not there is told, and the exit code says so."""
    line = ["--report", "--id", "t", "--results-dir", str(tmp_path), "--scenario", "zombie", "--protocol", "json"]
    assert main(line) == 1
    assert "zombie (json): missing" in capsys.readouterr().err
    kept = json.loads((tmp_path / "bench-scenarios-t" / "scenarios.json").read_text())
    assert [run["status"] for run in kept["runs"]] == ["missing"]


@pytest.mark.parametrize(
    "line", [["--scenario", "none"], ["--duration", "3", "--scenario", "storm"], ["--runtime", "x"]]
)
def test_bad_arguments_get_one_line(line: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And exit code 2."""
    assert main([*line, "--report", "--results-dir", str(tmp_path)]) == EXIT_CONFIG
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_refused_scenario_keeps_its_reason() -> None:
    """The table shows it."""
    run = refused("lossy-links", "json", ["expected a kernel with netem"])
    assert (run.status, run.reasons, cells(run)[3]) == ("refused", ["expected a kernel with netem"], "-")
