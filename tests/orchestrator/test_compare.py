"""What a comparison says: planted differences, none where there is none, and nothing that may not be counted."""

import gzip
import json
import lzma
import re
from pathlib import Path
from random import Random
from typing import Any

import pytest

from orchestrator.compare import files, page, table
from orchestrator.compare import plan as plans
from orchestrator.compare.plan import Slot
from orchestrator.compare.result import build
from orchestrator.compare.sameness import fingerprint
from orchestrator.compare.sample import MEASURES
from orchestrator.compare.state import scan
from orchestrator.metrics import registry
from protocols.errors import ConfigError, LabError
from tests.orchestrator.compare_lab import (
    MadeUpLab,
    Values,
    a_plan,
    cell,
    censored,
    compared,
    go,
    scenario,
    starved,
    write_plan,
)


def _pair(comparison: dict[str, Any], metric: str, arm: str, mode: str = "common") -> dict[str, Any]:
    found: dict[str, Any] = next(
        row for row in comparison["pairs"] if (row["metric"], row["arm"], row["mode"]) == (metric, arm, mode)
    )
    return found


def test_a_planted_difference_is_found_and_nothing_else(tmp_path: Path) -> None:
    """a2a is 30 ms slower to recover in every seed: that is significant, with its size, and no other metric is."""

    def slower(slot: Slot) -> dict[str, Any]:
        noise = Random(slot.name).gauss(0, 4)
        return {"recovery_ms": round((130 if slot.arm == "a2a" else 100) + noise, 3)}

    comparison = compared(tmp_path, a_plan(repeats=10), slower)
    found = _pair(comparison, "recovery_ms", "a2a")
    assert found["significant"]
    assert found["p"] == pytest.approx(2 / 2**10)
    assert found["holm_p"] == pytest.approx(5 * 2 / 2**10)
    assert found["a12"] == 1.0
    assert found["difference"]["low"] < 30 < found["difference"]["high"]
    assert [row["metric"] for row in comparison["pairs"] if row["significant"]] == ["recovery_ms"]
    assert cell(comparison, "recovery_ms", "a2a")["n"] == 10


def test_a_protocol_against_itself_does_not_differ(tmp_path: Path) -> None:
    """A/A: of 20 comparisons at most 2 find anything (METRICS.md); the second arm is a run of its own."""
    significant = 0
    for number in range(20):
        plan = a_plan(("json", "json"), 8)
        lab_values = _noise_of(number)
        comparison = compared(tmp_path / str(number), plan, lab_values)
        assert comparison["arms"] == ["json", "json-2"]
        significant += any(row["significant"] for row in comparison["pairs"])
    assert significant <= 2


def _noise_of(number: int) -> Values:
    return lambda slot: {"recovery_ms": round(Random(f"{number}/{slot.name}").gauss(100, 10), 3)}


def test_holms_family_is_protocols_and_metrics_of_one_mode(tmp_path: Path) -> None:
    """Three protocols in two modes: two times five tests a mode, each mode adjusted by itself."""
    plan = a_plan(("json", "a2a", "acp"), 6, ("common", "native"))
    comparison = compared(tmp_path, plan, lambda slot: {"recovery_ms": 200.0 + slot.seed} if slot.arm == "a2a" else {})
    for mode in plan.modes:
        rows = [row for row in comparison["pairs"] if row["mode"] == mode]
        assert len(rows) == 10
        found = _pair(comparison, "recovery_ms", "a2a", mode)
        assert found["holm_p"] == pytest.approx(min(1.0, 10 * found["p"]))
        assert found["p"] < 0.05 < found["holm_p"] < 0.5
        assert not found["significant"]


def test_censored_times_are_counted_as_such(tmp_path: Path) -> None:
    """Acp never recovers in 2 of 5 seeds: n 5, 2 censored, an open interval, and a curve that does not reach 0."""

    def values(slot: Slot) -> dict[str, Any]:
        return censored("recovery_ms", 8000.0) if slot.arm == "acp" and slot.seed <= 2 else {}

    comparison = compared(tmp_path, a_plan(("json", "acp"), 5), values)
    found = cell(comparison, "recovery_ms", "acp")
    assert (found["n"], found["n_censored"], found["censored_at"]) == (5, 2, 8000.0)
    assert found["middle"]["median"] is not None
    assert found["middle"]["high"] is None
    assert "to > 8,000), n 5, 2 censored" in table.render(comparison)
    curve = next(row for row in comparison["survival"] if (row["metric"], row["arm"]) == ("recovery_ms", "acp"))
    assert curve["share"][-1] == pytest.approx(0.4)
    test = next(row for row in comparison["log_rank"] if row["metric"] == "recovery_ms")
    assert test["n_censored"] == 2
    assert test["later"] >= 2


def test_a_time_over_the_detected_alone_is_censored_when_a_pair_was_not(tmp_path: Path) -> None:
    """The last detection of those that were made is no last detection; the first one is a first one."""
    undetected = {"detection_ms.undetected": [["agent_1", "agent_5"]], "details.detection_ms.censored_at_ms": 8000.0}
    comparison = compared(tmp_path, a_plan(repeats=2), lambda _: undetected)
    assert cell(comparison, "detection_ms.last", "json")["n_censored"] == 2
    assert cell(comparison, "detection_ms.first", "json")["n_censored"] == 0


def test_starved_runs_lend_their_bytes_but_no_times(tmp_path: Path) -> None:
    """Their times are in no cell, no pair, no curve; the table says how many were left out."""
    comparison = compared(tmp_path, a_plan(repeats=4), lambda slot: starved() if slot.seed <= 3 else {})
    times, sizes = cell(comparison, "recovery_ms", "a2a"), cell(comparison, "bytes_reconnect", "a2a")
    assert (times["n"], times["n_starved"], len(times["values"])) == (1, 3, 4)
    assert (sizes["n"], sizes["n_starved"]) == (4, 0)
    assert _pair(comparison, "recovery_ms", "a2a")["n"] == 1
    assert _pair(comparison, "bytes_reconnect", "a2a")["n"] == 4
    assert all(row["n"] == 1 for row in comparison["survival"])
    text = table.render(comparison)
    assert "6 of 8 runs are starved" in text
    assert "n 1, 3 starved" in text


def test_invalid_and_missing_are_left_out_with_their_reason(tmp_path: Path) -> None:
    """An invalid run counts for nothing; a null without a wait is missing, and takes its pair with it."""

    def values(slot: Slot) -> dict[str, Any]:
        if slot.name == "a2a-common-seed1":
            return {"verdict": {"status": "invalid", "reasons": ["the fault did not land"], "tags": []}}
        if slot.name == "a2a-common-seed2":
            return {"bytes_reconnect": None, "reasons.bytes_reconnect": "the evidence ends early"}
        return {}

    comparison = compared(tmp_path, a_plan(repeats=4), values)
    found = cell(comparison, "bytes_reconnect", "a2a")
    assert (found["n"], found["n_missing"], found["n_excluded"]) == (2, 1, 1)
    assert _pair(comparison, "bytes_reconnect", "a2a")["n"] == 2
    text = table.render(comparison)
    assert "a2a-common-seed1: invalid: the fault did not land" in text
    assert "n 2, 1 missing, 1 excluded" in text


def test_other_tasks_or_victims_for_the_same_seed_are_refused(tmp_path: Path) -> None:
    """The journals are asked, not the plan; also when they were compressed."""
    plan = a_plan(repeats=2)
    state, _ = go(plan, tmp_path, MadeUpLab(tmp_path))
    assert build(plan, tmp_path, state)["same_tasks_checked"] == 4
    paths = [run.path / "conductor.jsonl" for run in state.done.values()]
    paths[0].with_name("journal.jsonl.gz").write_bytes(gzip.compress(paths[0].read_bytes()))
    paths[1].with_name("conductor.jsonl.xz").write_bytes(lzma.compress(paths[1].read_bytes()))
    for path in paths[:2]:
        path.unlink()
    assert build(plan, tmp_path, state)["same_tasks_checked"] == 4
    slot, run = list(state.done.items())[-1]
    (run.path / "conductor.jsonl").rename(tmp_path / "kept")
    assert "1 of 4 runs have no journal left" in table.render(build(plan, tmp_path, state))
    write_plan(tmp_path / "other", slot, victims=["agent_1", "agent_7"])
    (tmp_path / "other" / "conductor.jsonl").rename(run.path / "conductor.jsonl")
    with pytest.raises(LabError, match=r"to have the same victims as .*-seed2, got others"):
        build(plan, tmp_path, state)


def test_the_fingerprint_is_of_what_was_settled_before_the_start(tmp_path: Path) -> None:
    """Tasks, victims, roster and placement make it; the protocol and what follows do not."""
    plan = a_plan(repeats=1)
    for slot in plan.slots:
        write_plan(tmp_path / slot.arm, slot)
    assert fingerprint(tmp_path / "json") == fingerprint(tmp_path / "a2a")
    other = a_plan(repeats=2).slots[-1]
    write_plan(tmp_path / "other seed", other)
    assert fingerprint(tmp_path / "json") != fingerprint(tmp_path / "other seed")
    assert fingerprint(tmp_path) is None


def test_runs_of_two_hosts_are_refused(tmp_path: Path) -> None:
    """A table names one host."""
    plan = a_plan(repeats=1)
    with pytest.raises(LabError, match="one kind of host"):
        compared(tmp_path, plan, lambda slot: {"host.cpu_count": 64} if slot.arm == "a2a" else {})


def test_the_report_needs_nothing_but_the_disk_and_is_the_same_again(tmp_path: Path) -> None:
    """Plan and results alone: the same three files, byte by byte; without results it says what to do."""
    plan = a_plan()
    plans.save(plan, tmp_path)
    with pytest.raises(LabError, match="expected a finished run"):
        files.write(plan, tmp_path, scan(plan, tmp_path))
    go(plan, tmp_path, MadeUpLab(tmp_path))
    written = []
    for _ in range(2):
        again = plans.load(tmp_path)
        files.write(again, tmp_path, scan(again, tmp_path))
        written.append([(tmp_path / name).read_bytes() for name in ("comparison.json", "table.md", "comparison.html")])
    assert written[0] == written[1]


def test_the_page_says_all_and_asks_for_nothing(tmp_path: Path) -> None:
    """Every measure, run, caution and circumstance stands on it; no address but relative links to the runs."""
    values = {1: starved(), 2: censored("steady_state_ms", 3000.0)}
    plan = a_plan(("json", "a2a"), 3, ("common", "native"))
    comparison = compared(tmp_path, plan, lambda slot: values.get(slot.seed, {}))
    (tmp_path / comparison["runs"][0]["run"] / "report.html").unlink()
    state = scan(plan, tmp_path)
    comparison = build(plan, tmp_path, state)
    html = page.render(comparison)
    head, _, body = html.partition("</head>")
    facts = (
        "starved", "scaled", "detector native", "runtime local", "2 CPUs", "8 agents, 2 killed", "8 tasks/s",
        "seeds 1 to 3",
    )  # fmt: skip
    for text in (*(measure.name for measure in MEASURES), *(run["name"] for run in comparison["runs"]), *facts):
        assert text in body, text
    assert not re.findall(r"""(?:src|href)=["'](?:https?:)?//""", body)
    assert set(re.findall(r'href="([^"#]+)"', body)) == {f"{run['run']}/report.html" for run in comparison["runs"][1:]}
    assert "<link" not in head


def test_every_measure_is_a_metric_of_the_registry() -> None:
    """A renamed metric would else be missing in silence."""
    metrics = registry()
    for measure in MEASURES:
        assert measure.unit == metrics[measure.name.partition(".")[0]].unit, measure.name


def test_the_specifications_table_names_its_circumstances(tmp_path: Path) -> None:
    """n, runtime, host and detector stand with every table; reroute and reconnect apart from recovery."""
    text = table.specification(compared(tmp_path, a_plan()), "common")
    head = ("protocol", "recovery_ms", "reroute_ms.first", "reconnect_ms.first", "bytes_reconnect", "steady_state_ms")
    assert text.splitlines()[0] == f"| {' | '.join(head)} |"
    assert "detector common · runtime local · host Linux x86_64, 2 CPUs, 8 GiB" in text
    assert text.count(", n 3") == 10


@pytest.mark.parametrize(
    ("protocols", "reference", "said"),
    [(["json"], None, "two or more"), (["json", "a2a"], "anp", "--reference: expected one of json, a2a, got 'anp'")],
)
def test_a_comparison_of_nothing_is_refused(protocols: list[str], reference: str | None, said: str) -> None:
    """One arm, or a reference that does not take part."""
    with pytest.raises(ConfigError, match=said):
        plans.make("x", protocols, ["common"], [1], "local", scenario(), reference)


def test_the_reference_is_json_where_it_takes_part(tmp_path: Path) -> None:
    """Else the first arm; nothing is tested against itself."""
    assert a_plan(("a2a", "json")).reference == "json"
    assert a_plan(("a2a", "acp")).reference == "a2a"
    comparison = compared(tmp_path, a_plan(("a2a", "json"), 2))
    assert {row["arm"] for row in (*comparison["pairs"], *comparison["log_rank"])} == {"a2a"}
    assert json.dumps(comparison, allow_nan=False)
