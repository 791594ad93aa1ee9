"""Committed examples can be computed again, tampering is found, and the documents say what came out."""

import json
import lzma
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator import report
from orchestrator.cli import main
from orchestrator.compare import plan as plans
from orchestrator.compare.plan import Plan, Slot
from orchestrator.marks import filled
from orchestrator.published import blocks, example, pictures
from orchestrator.published.blocks import Example
from tests.orchestrator.compare_lab import a_plan, censored, compared, scenario, starved

CHECKOUT = Path(__file__).parents[2]
Build = Callable[..., list[dict[str, Any]]]
Write = Callable[[Path, list[dict[str, Any]]], None]


def _run(root: Path, slot: Slot, storm_events: Build, write_run: Write, without: str = "") -> Path:
    """A finished run of the plan; paths and a private key as a real one would have. ``without`` leaves an event out."""
    settled = scenario(slot.protocol, slot.seed) | {"output": {"results_dir": str(root), "prometheus_url": None}}
    changed = {"scenario": settled, "protocol": slot.protocol, "seed": slot.seed, "run_id": slot.name}
    host = {"cpu_count": 2, "memory_bytes": 8 * 2**30, "system": "Linux x86_64", "python": "3.11.9"}
    events = [
        {**event, **changed, "host": host} if event["ev"] == "run_start" else event
        for event in storm_events(duration_s=16.0)
        if event["ev"] != without
    ]
    path = root / "runs" / f"20300101-00000{slot.block}-{slot.name}"
    write_run(path, events)
    (path / "workspaces" / "agent_1" / "key.pem").write_text("PRIVATE KEY")
    report.write_report(path)
    return path


@pytest.fixture(name="plan")
def a_comparison_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, storm_events: Build, write_run: Write
) -> Plan:
    """Three of four runs of a comparison in ``results/compare-test``, one of them invalid, and documents to fill."""
    monkeypatch.chdir(tmp_path)
    plan = a_plan(repeats=2)
    root = Path("results/compare-test").resolve()
    root.mkdir(parents=True)
    plans.save(plan, root)
    for slot, without in zip(plan.slots[:3], ("", "", "death"), strict=True):
        _run(root, slot, storm_events, write_run, without)
    stopped = root / "set-aside" / "20300101-000000-half"
    stopped.mkdir(parents=True)
    (stopped / "scenario.yaml").write_text(json.dumps(scenario() | {"output": {"results_dir": str(root)}}))
    Path("docs").mkdir()
    for name in ("README.md", "docs/comparison.md"):
        Path(name).write_bytes((CHECKOUT / name).read_bytes())
    return plan


def test_an_export_is_computed_again_from_its_journals_alone(
    plan: Plan, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Export and figures, as a user does; then every way of tampering with the example is found."""
    assert main(["export", "results/compare-test"], {}) == 0
    folder = Path("examples/compare-local-test")
    assert "3 runs" in capsys.readouterr().out
    _nothing_private(folder, tmp_path)
    for path in folder.glob("runs/*/failstorm_metrics.json"):
        mine = json.loads((Path("results/compare-test/runs") / path.parent.name / path.name).read_bytes())
        assert example.differences(mine, json.loads(path.read_bytes())) == ["scenario.output.results_dir"]
    assert main(["figures"], {}) == 2
    assert "which are for no published table" in capsys.readouterr().err
    assert main(["figures", "--scaled"], {}) == 0
    readme, document = Path("README.md").read_text(), Path("docs/comparison.md").read_text()
    assert "| 2,080, n 1 |" in readme
    assert "| 2,080, n 1, 1 excluded |" in readme
    assert f"- {plan.slots[2].name}: invalid: the kill of agent_3 has no proof of death" in document
    for text in (readme, document):
        assert "detector common · runtime local · host Linux x86_64, 2 CPUs" in text
        assert "1 of 4 planned runs are missing" in text
        assert "In containers: no comparison is committed yet." in text
    assert "Stopped before their end, set aside and run again: 1" in (folder / "table.md").read_text()
    assert len(list(Path("docs/figures").iterdir())) == 2
    capsys.readouterr()
    assert main(["figures", "--scaled"], {}) == 0
    assert "written" not in capsys.readouterr().out
    assert main(["export", "results/compare-test"], {}) == 2
    _tampering_is_found(folder, capsys)
    _without_examples(folder, capsys)
    assert [slot.name for slot in plan.slots[3:]] == example.stored(folder)["missing"]


def _nothing_private(folder: Path, tmp_path: Path) -> None:
    names = {path.name for path in folder.rglob("*") if path.is_file()}
    assert names == {
        "plan.json", "comparison.json", "table.md", "failstorm_metrics.json", "journal.jsonl.xz", "scenario.yaml"
    }  # fmt: skip
    for path in folder.rglob("*"):
        if path.is_file():
            text = lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()
            assert str(tmp_path).encode() not in text, path
            assert b"PRIVATE KEY" not in text


def _tampering_is_found(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A changed number, a changed journal, a changed table: one line, exit code 3, documents as they were."""
    before = Path("README.md").read_bytes()
    metrics = next(folder.glob("runs/*/failstorm_metrics.json"))
    archive = metrics.with_name("journal.jsonl.xz")
    for path, old, new in (
        (metrics, b'"recovery_ms": 2080.0', b'"recovery_ms": 20.8'),
        (archive, b'"signal": 9', b'"signal": 15'),
        (folder / "comparison.json", b'"finished": 3', b'"finished": 4'),
    ):
        whole = path.read_bytes()
        text = lzma.decompress(whole) if path == archive else whole
        assert old in text
        path.write_bytes(lzma.compress(text.replace(old, new)) if path == archive else text.replace(old, new))
        assert main(["figures", "--scaled"], {}) == 3
        assert "to follow from the journals, got others in" in capsys.readouterr().err
        assert Path("README.md").read_bytes() == before
        path.write_bytes(whole)
    metrics.write_bytes(metrics.read_bytes().replace(b'"recovery_ms": 2080.0', b'"recovery_ms": 20.8'))
    assert main(["figures", "--scaled", "--recompute"], {}) == 0
    assert b'"recovery_ms": 2080.0' in metrics.read_bytes()
    assert Path("README.md").read_bytes() == before


def _without_examples(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The documents say that there is none, and the figures are gone."""
    folder.rename("elsewhere")
    assert main(["figures"], {}) == 0
    assert "no comparison in examples" in capsys.readouterr().out
    assert Path("README.md").read_text().count("no comparison is committed yet") == 2
    assert list(Path("docs/figures").iterdir()) == []
    Path("elsewhere").rename(folder)


def test_a_secret_is_not_exported(
    plan: Plan, storm_events: Build, write_run: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    """A journal that holds a key ends the export in one line, and leaves nothing."""
    root = Path("results/compare-test").resolve()
    path = _run(root, plan.slots[3], storm_events, write_run)
    with (path / "journal.jsonl").open("a") as file:
        file.write('{"t": 1.0, "node": "agent_1", "inc": 0, "ev": "nonsense", "kind": "-----BEGIN PRIVATE KEY"}\n')
    assert main(["export", "results/compare-test"], {}) == 3
    assert "expected no secret in" in capsys.readouterr().err
    assert not list(Path("examples").glob("*"))


def _example(folder: str, comparison: dict[str, Any], runtime: str = "local") -> Example:
    return Example(Path("examples") / folder, {**comparison, "runtime": runtime})


def test_runtimes_and_modes_share_no_table(tmp_path: Path) -> None:
    """One table a runtime and detector mode, each naming both; starved, censored and excluded runs are counted."""
    invalid = {"verdict": {"status": "invalid", "reasons": ["a kill did not land"], "tags": []}}
    by_seed = {1: starved(), 2: censored("steady_state_ms", 3000.0), 3: invalid}
    plan = a_plan(("json", "a2a", "acp"), 4, ("common", "native"))
    comparison = compared(tmp_path, plan, lambda slot: by_seed.get(slot.seed, {}))
    local, docker = _example("compare-local-a", comparison), _example("compare-docker-b", comparison, "docker")
    texts = dict(blocks.rendered([docker, local]))
    found = re.findall(r"^detector (\w+) · runtime (\w+)", texts["comparison"], re.MULTILINE)
    assert found == [(mode, runtime) for runtime in ("local", "docker") for mode in ("common", "native")]
    assert texts["comparison"].count("| protocol |") == 4
    assert "runtime docker" not in texts["comparison-local"]
    assert "runtime local" not in texts["comparison-docker"]
    assert "n 2, 1 censored, 1 starved, 1 excluded" in texts["comparison-local"]
    assert "- json-native-seed3: invalid: a kill did not land" in texts["comparison-docker"]
    spread, waited = pictures.spreads(comparison, "native"), pictures.survivals(comparison, "native")
    assert spread is not None
    assert waited is not None
    # Nine metrics and protocols: a starved ring in each but for bytes, which no host spoils.
    assert spread.count('fill="none"') == 2 * 3
    assert waited.count("1 of 2 came") == 3


def test_the_newest_example_of_a_runtime_is_the_readmes(tmp_path: Path) -> None:
    """All are in the document."""
    comparison = compared(tmp_path, a_plan(repeats=1))
    texts = dict(blocks.rendered([_example("compare-local-1", comparison), _example("compare-local-2", comparison)]))
    assert "compare-local-1" not in texts["comparison"]
    assert "compare-local-1" in texts["comparison-local"]
    assert "compare-local-2" in texts["comparison-local"]


def test_the_committed_documents_are_what_the_committed_examples_say() -> None:
    """README and docs hold what the stored comparisons give; after a change: make figures."""
    folders = sorted((CHECKOUT / "examples").glob(f"{example.PREFIX}*"))
    found = [Example(Path("examples") / folder.name, example.stored(folder)) for folder in folders]
    texts = dict(blocks.rendered(found))
    for document, block in (
        (blocks.README, "comparison"), *((blocks.DOCUMENT, f"comparison-{runtime}") for runtime in blocks.RUNTIMES)
    ):  # fmt: skip
        text = (CHECKOUT / document).read_text("utf-8")
        assert filled(text, block, texts[block], document) == text
    for one in found:
        for mode in one.comparison["modes"]:
            for name, _, svg in one.drawn(mode):
                assert (CHECKOUT / blocks.PICTURES / name).read_text("utf-8") == svg
        assert not one.comparison["scaled"]
        path = next((CHECKOUT / one.folder / "runs").iterdir())
        computed = json.loads(json.dumps(report.recompute(path).content))
        assert example.differences(json.loads((path / report.METRICS_FILE).read_bytes()), computed) == []
