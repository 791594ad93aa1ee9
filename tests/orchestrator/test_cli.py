"""The command line as its users meet it: exit codes, one-line complaints, the dry run."""

import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from orchestrator.cli import main
from orchestrator.ports import check_ports
from orchestrator.scenario import Scenario
from orchestrator.workload.loaders import load_document
from protocols.errors import ConfigError, LabError

CHECKOUT = Path(__file__).parents[2]
QUIET = ("--results-dir", "out")


class Conductor(ModuleType):
    """Stands in for the module that starts agents: nothing of the kind happens here."""

    def __init__(self) -> None:
        super().__init__("orchestrator.run")
        self.runs: list[tuple[Scenario, bool]] = []
        self.error: BaseException | None = None

    def conduct(self, scenario: Scenario, *, debug: bool) -> int:
        """Note the call, and fail if the test wants."""
        self.runs.append((scenario, debug))
        if self.error is not None:
            raise self.error
        return 4


@pytest.fixture
def conductor(monkeypatch: pytest.MonkeyPatch) -> Conductor:
    """Replace the real conductor."""
    found = Conductor()
    monkeypatch.setitem(sys.modules, "orchestrator.run", found)
    return found


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, conductor: Conductor) -> Iterator[Path]:
    """Work in a folder with the shipped configuration; no bad input may get as far as the conductor."""
    shutil.copy(CHECKOUT / "config.yaml", tmp_path)
    shutil.copytree(CHECKOUT / "scenarios", tmp_path / "scenarios")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert all(isinstance(scenario, Scenario) for scenario, _ in conductor.runs)


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """Return the one line that ``argv`` is refused with, and check its exit code."""
    assert main(argv, {}) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("fail-storm: ")
    assert err.endswith("\n")
    assert err.count("\n") == 1
    return err.removeprefix("fail-storm: ")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (
            ["--set", "scenario.agent_cuont=3"],
            "--set: unknown key scenario.agent_cuont; did you mean scenario.agent_count?",
        ),
        (
            ["--duration", "long"],
            "--duration: scenario.duration: expected a number of seconds from 4 to 86400, got 'long'",
        ),
        (["--kill-fraction", "1.0"], "--kill-fraction: scenario.kill_fraction: expected the share"),
        (["--kill-fraction", "-0.1"], "got -0.1"),
        (["--kill-fraction", "2"], "got 2"),
        (["--kill-at", "130"], "inside the run of 120 s, got 130"),
        (["--kill-at", "60", "--kill-fraction", "0"], "expected somebody to kill at 60 s"),
        (["--agent-count", "0"], "1 or more, got 0"),
        (["--agent-count", "1", "--kill-fraction", "0.5"], "expected a survivor"),
        (["--protocol", "smtp"], "--protocol: scenario.protocol: expected one of "),
        (["--topology", "tree"], "expected one of mesh, full, star, ring, or the path of a file"),
        (["--detector-mode", "magic"], "got 'magic'"),
        (["--duration", "10"], "expected 16 s or more for a storm, got 10"),
        (["--set", "scenario.task_deadline_s=20"], "half of the 30 s rate window, 15 s, got 20"),
        (["--set", "llm.model.type=openai"], "set the environment variable OPENAI_API_KEY"),
        (["--set", "scenario.document=nowhere.jsonl"], "nowhere.jsonl: expected a readable Gaia document"),
        (["--set", "scenario.heal"], "--set: expected KEY=VALUE"),
        (["--set", "expect.recovery_ms=fast"], "expect.recovery_ms: expected a comparison"),
        (["--duration", "[1"], "--duration: expected a YAML value"),
        (["--agent-cuont", "3"], "unknown argument --agent-cuont; did you mean --agent-count?"),
        (["--runtime", "podman"], "invalid choice: 'podman'"),
        (["--runtime", "moon"], "--runtime: invalid choice: 'moon'"),
        (["--scenario", "crash-recover"], "got 'crash-recover'; did you mean crash-recovery?"),
        (["--scenario", "../config"], "--scenario: expected one of broken-streams, cascading, crash-recovery"),
        (["--config", "nowhere.yaml"], "nowhere.yaml: expected a file with a scenario, got: No such file"),
        (["--config", "."], "expected a file with a scenario, got: Is a directory"),
        (
            ["--results-dir", "config.yaml/results"],
            "expected a folder to write to, got 'config.yaml/results': Not a directory",
        ),
        (["dance"], "invalid choice: 'dance'"),
        (["report", "nowhere"], "expected the folder of a run, got 'nowhere'"),
        (["report"], "RUN_DIR"),
        (["generate", "--fragments", "1", "--out", "x"], "at least 10 fragments, got 1"),
    ],
)
def test_bad_input_is_refused_in_one_line(
    capsys: pytest.CaptureFixture[str], conductor: Conductor, argv: list[str], said: str
) -> None:
    """Exit code 2, one line that says what came and what would do, and nothing has begun."""
    assert said in refused(capsys, *argv)
    assert conductor.runs == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("scenario: {agent_count: 8", "bad.yaml: expected YAML in UTF-8, got something else at line"),
        ("- 8", "bad.yaml: expected sections such as `scenario:`, got a list"),
        ("scenario: {protcol: json}", "bad.yaml: unknown key scenario.protcol; did you mean scenario.protocol?"),
    ],
)
def test_bad_files_are_refused_in_one_line(
    capsys: pytest.CaptureFixture[str], folder: Path, content: str, said: str
) -> None:
    """The complaint names the file."""
    (folder / "bad.yaml").write_text(content)
    assert said in refused(capsys, "--config", "bad.yaml")


def test_the_configuration_of_the_specification_is_understood(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    """Its sections and keys are known; only what does not exist yet is refused, with a line about that."""
    text = (
        'scenario:\n  agent_count: 8\n  protocol: "json"\n  kill_fraction: 0.3\n  duration: 120\n'
        'llm:\n  model:\n    type: "openai"\n    name: "gpt-4"\n    openai_api_key: "your-key-here"\n'
    )
    (folder / "spec.yaml").write_text(text)
    assert "OPENAI_API_KEY" in refused(capsys, "--config", "spec.yaml")
    (folder / "spec.yaml").write_text(text.replace('"openai"', '"local"'))
    assert main(["--config", "spec.yaml", "--dry-run"], {}) == 0


def test_a_taken_port_is_named_with_its_holder(capsys: pytest.CaptureFixture[str], conductor: Conductor) -> None:
    """A listener on an agent's port stops the run before it starts, and the line says which port and which process."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        said = refused(capsys, "--runtime", "local", "--set", f"network.base_port={port}", *QUIET)
        assert f"expected port {port} to be free, but process" in said
    assert conductor.runs == []


def test_a_wildcard_listener_takes_the_port_too() -> None:
    """Whoever listens on all interfaces also has the loopback port."""
    with socket.create_server(("", 0)) as server, pytest.raises(ConfigError, match=str(server.getsockname()[1])):
        check_ports([server.getsockname()[1]])


def test_ports_of_a_finished_run_are_free() -> None:
    """Connections that linger in TIME_WAIT after the last run are no obstacle."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        accepted, _ = server.accept()
        # The side that closes first, here the server's, is the one that lingers.
        accepted.close()
        assert client.recv(1) == b""
        client.close()
    check_ports([port])


def test_later_layers_win(conductor: Conductor, folder: Path) -> None:
    """Defaults, then the file, then the named scenario, then the flags; untouched keys stay."""
    (folder / "config.yaml").write_text("scenario: {agent_count: 5, seed: 7, duration: 60, task_rate: 4}\n")
    (folder / "scenarios" / "long.yaml").write_text("scenario: {duration: 240, agent_count: 6}\n")
    free = _free_base(folder)
    assert main(["run", "--scenario", "long", "--agent-count", "7", "--debug", *free, *QUIET], {}) == 4
    [(scenario, debug)] = conductor.runs
    storm = scenario.storm
    assert (storm.agent_count, storm.duration, storm.seed, storm.task_rate, storm.replication) == (7, 240, 7, 4, 2)
    assert debug


def test_every_flag_sets_its_key(conductor: Conductor, folder: Path) -> None:
    """All flags reach the scenario, and no word means run."""
    flags = "--protocol json --agent-count 9 --duration 100 --kill-fraction 0.5 --kill-at 55.5 --warmup 20 --seed 3"
    others = "--topology ring --detector-mode probe --set detector.misses=3 --set scenario.heal=auto"
    assert main([*flags.split(), *others.split(), *_free_base(folder), *QUIET], {}) == 4
    scenario = conductor.runs[0][0]
    storm = scenario.storm
    assert (storm.protocol, storm.agent_count, storm.duration, storm.kill_fraction) == ("json", 9, 100, 0.5)
    assert (storm.kill_at_s, storm.warmup_s, storm.seed, storm.topology, storm.heal) == (55.5, 20, 3, "ring", "auto")
    assert (scenario.detector.mode, scenario.detector.misses, scenario.output.results_dir) == ("probe", 3, "out")
    assert (folder / "out").is_dir()


def test_texts_stay_texts(conductor: Conductor, folder: Path) -> None:
    """A folder called 2024 is a name, not a number."""
    assert main([*_free_base(folder), "--results-dir", "2024"], {}) == 4
    assert conductor.runs[0][0].output.results_dir == "2024"


def test_dry_run_shows_the_plan_and_starts_nothing(
    capsys: pytest.CaptureFixture[str], conductor: Conductor, folder: Path
) -> None:
    """Victims, times, ports and the number of tasks are on the screen; no folder is made, no conductor called."""
    before = sorted(folder.iterdir())
    assert main(["--dry-run", "--scenario", "crash-recovery"], {}) == 0
    out = capsys.readouterr().out
    assert "kill at 60 s: agent_" in out
    assert "heal after kill at 75 s: agent_" in out
    assert "920 tasks" in out
    assert all(f"agent_{number} " in out and f"900{number}" in out for number in range(1, 9))
    assert out.count("victim") == 2
    assert sorted(folder.iterdir()) == before
    assert conductor.runs == []


def test_dry_run_of_a_control_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """The specification's own single-agent run is a control, and announced as one."""
    assert main(["--dry-run", "--agent-count", "1", "--duration", "30"], {}) == 0
    out = capsys.readouterr().out
    assert out.startswith("control: 0.3 of 1 agents rounds to 0 victims")
    assert "kill at" not in out


def test_same_seed_same_plan(capsys: pytest.CaptureFixture[str]) -> None:
    """Two dry runs of one seed print the same, and another seed prints something else."""
    shown = []
    for seed in ("5", "5", "6"):
        assert main(["--dry-run", "--seed", seed], {}) == 0
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1] != shown[2]


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [(LabError("the disk\nis full"), 3, "the disk is full"), (KeyboardInterrupt(), 130, "interrupted")],
)
def test_failures_of_the_lab_have_their_own_codes(
    capsys: pytest.CaptureFixture[str], conductor: Conductor, folder: Path, error: BaseException, code: int, said: str
) -> None:
    """What goes wrong later is one line as well, with exit code 3, and 130 for Ctrl-C."""
    conductor.error = error
    assert main([*_free_base(folder), *QUIET, "--runtime", "local"], {}) == code
    assert capsys.readouterr().err == f"fail-storm: {said}\n"


def test_report_is_passed_on(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """``report`` rebuilds from the folder it is given and returns that exit code."""
    report = ModuleType("orchestrator.report")
    seen: list[Path] = []

    def rebuild(path: Path) -> int:
        seen.append(path)
        return 1

    monkeypatch.setattr(report, "rebuild", rebuild, raising=False)
    monkeypatch.setitem(sys.modules, "orchestrator.report", report)
    assert main(["report", str(folder)], {}) == 1
    assert seen == [folder]


def test_generated_documents_repeat(folder: Path) -> None:
    """The same seed writes the same document, which can be read; another seed writes another."""
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        assert main(["generate", "--fragments", "60", "--questions", "20", "--seed", seed, "--out", name], {}) == 0
    assert (folder / "a").read_bytes() == (folder / "b").read_bytes() != (folder / "c").read_bytes()
    assert load_document(folder / "a").header.fragment_count == 60
    assert main(["--dry-run", "--set", "scenario.document=a"], {}) == 0


def _free_base(folder: Path) -> tuple[str, ...]:
    """Flags for a run of a few agents on ports that nobody has: a neighbour may be at work on the usual ones."""
    for base in range(20_000, 30_000, 100):
        try:
            check_ports([*range(base, base + 20), *range(base + 50, base + 70)])
        except ConfigError:
            continue
        return ("--set", f"network.base_port={base}", "--set", f"network.admin_base_port={base + 50}")
    raise AssertionError(f"no free ports for the test in {folder}")


def test_a_model_on_loopback_runs_on_local_processes(
    folder: Path, capsys: pytest.CaptureFixture[str], conductor: Conductor
) -> None:
    """Containers do not reach it: left open, local processes it is, and a line says why."""
    environ = {"OPENAI_API_KEY": "sk-not-to-be-seen"}
    wish = ["--set", "llm.model.type=openai", "--set", "llm.model.base_url=http://127.0.0.1:8000/v1"]
    main([*wish, *_free_base(folder), *QUIET], environ)
    assert len(conductor.runs) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert said.startswith("runtime: local processes, since llm.model.base_url: expected an address that containers")
    assert "sk-not-to-be-seen" not in said
