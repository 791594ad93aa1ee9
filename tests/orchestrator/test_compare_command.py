"""The command ``compare`` as its users meet it, with a run that is no storm but a process of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.cli import main
from orchestrator.compare.files import locked
from orchestrator.compare.plan import Slot
from orchestrator.compare.player import Player
from protocols.errors import LabError
from tests.orchestrator.compare_lab import MadeUpLab, a_plan

CHECKOUT = Path(__file__).parents[2]
TWO = ("compare", "--runtime", "local", "--protocols", "json", "a2a", "--duration", "16")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with the shipped configuration, where every run is made up; SIGTERM is as before afterwards."""
    shutil.copy(CHECKOUT / "config.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Player, "play", _made_up)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    return tmp_path


def _made_up(self: Player, slot: Slot, tick: Callable[[], None]) -> int:
    if (stop := Path("stop")).exists():
        stop.unlink()
        raise KeyboardInterrupt
    return MadeUpLab(self._root).play(slot, tick)


def _folders() -> list[str]:
    return sorted(path.name for path in Path("results").glob("compare-*"))


def test_a_comparison_that_was_interrupted_says_how_to_go_on_and_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C: exit code 130 and the command; that command, or the same one again, ends it."""
    Path("stop").touch()
    assert main([*TWO, "--repeats", "2"], {}) == 130
    (name,) = _folders()
    assert f"go on with: make compare ID={name.removeprefix('compare-')}" in capsys.readouterr().out
    assert main([*TWO, "--repeats", "2"], {}) == 0
    assert _folders() == [name]
    shown = capsys.readouterr().out
    assert f"going on with results/{name}; for a new comparison give it an ID of its own" in shown
    assert "4 of 4" in shown
    assert {path.name for path in Path("results", name).iterdir()} >= {"comparison.json", "comparison.html", "table.md"}


def test_after_a_finished_comparison_the_same_command_is_a_new_one() -> None:
    """Only what was stopped is gone on with."""
    assert main([*TWO, "--repeats", "1", "--id", "first"], {}) == 0
    assert main([*TWO, "--repeats", "1"], {}) == 0
    assert len(_folders()) == 2


def test_an_id_alone_goes_on_and_asks_for_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    """The plan says what to run; a finished comparison is only reported on again."""
    Path("stop").touch()
    assert main([*TWO, "--repeats", "1", "--id", "mine"], {}) == 130
    assert main(["compare", "--id", "mine"], {}) == 0
    assert main(["compare", "--id", "mine"], {}) == 0
    assert len(list(Path("results/compare-mine/runs").iterdir())) == 2
    before = Path("results/compare-mine/comparison.json").read_bytes()
    Path("results/compare-mine/comparison.json").unlink()
    assert main(["compare", "--report", "results/compare-mine"], {}) == 0
    assert Path("results/compare-mine/comparison.json").read_bytes() == before
    assert json.loads(before)["seeds"] == [1]
    assert "detector common" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("compare", "--runtime", "local"), "--protocols: expected two or more"),
        ((*TWO, "--repeats", "0"), "--repeats: expected 1 or more, got 0"),
        ((*TWO, "--repeats", "1", "--id", "../x"), "--id: expected letters"),
        ((*TWO, "--repeats", "1", "--modes", "tcp", "tcp"), "--modes: expected each mode once"),
        (("compare", "--runtime", "local", "--protocols", "json", "jsn"), "scenario.protocol: expected one of"),
        ((*TWO, "--repeats", "1", "--detector-mode", "tcp"), "unknown argument --detector-mode"),
        (("compare", "--id", "nothing"), "expected the folder of a comparison with its plan.json"),
        ((*TWO, "--repeats", "2", "--id", "mine", "--duration", "20"), "got other seeds, scenario.duration"),
        (("compare", "--id", "mine", "--runtime", "docker"), "--runtime: expected local, as planned"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    argv: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, before anything runs."""
    assert main([*TWO, "--repeats", "1", "--id", "mine"], {}) == 0
    capsys.readouterr()
    assert main(argv, {}) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert _folders() == ["compare-mine"]


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


_CHILD = """
import os, signal, sys
from orchestrator.compare.child import end_with

def told(*_):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # each thread of the parent that ends may send it
    print("told", flush=True)
    sys.stdin.read()
    os._exit(0)

signal.signal(signal.SIGTERM, told)
end_with(int(sys.argv[1]))
print(os.getpid(), flush=True)
signal.pause()
"""
_PARENT = f"""
import os, subprocess, sys
from pathlib import Path
from orchestrator.compare.files import locked

with locked(Path(sys.argv[1]), print) as held:
    subprocess.run([sys.executable, "-c", {_CHILD!r}, str(os.getpid())], pass_fds=(held,))
"""


def test_a_run_ends_with_its_comparison_and_keeps_the_folder_until_then(tmp_path: Path) -> None:
    """SIGKILL to the comparison interrupts the run under way, which holds the lock until it has ended."""
    with subprocess.Popen(
        [sys.executable, "-c", _PARENT, str(tmp_path)],
        cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as parent:  # fmt: skip
        assert parent.stdout is not None
        assert parent.stdin is not None
        child = int(parent.stdout.readline())
        parent.kill()
        parent.wait()
        assert parent.stdout.readline() == "told\n"
        assert _alive(child)
        with pytest.raises(LabError, match="a comparison is running there"), locked(tmp_path, print, wait_s=0.0):
            pass
        parent.stdin.close()
        with locked(tmp_path, print, wait_s=20.0):
            assert not _alive(child)


def test_the_child_is_the_orchestrators_own_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protocol, mode and seed of the slot; scenario and runtime of the plan; its output is kept; nothing is left."""
    monkeypatch.undo()
    seen: list[list[str]] = []

    class Child:
        def __init__(self, command: list[str], **options: object) -> None:
            seen.append(command)
            assert options["pass_fds"] == (7,)
            assert options["process_group"] == 0
            (tmp_path / "failstorm_metrics.json").write_text("{}")
            (tmp_path / "workspaces").symlink_to("runs")

        def wait(self, _: float | None = None) -> int:
            return 0

        def poll(self) -> int:
            return 0

    monkeypatch.setattr(subprocess, "Popen", Child)
    plan = a_plan()
    slot = plan.slots[0]
    assert Player(plan, tmp_path, 7).play(slot, lambda: None) == 0
    text = " ".join(seen[0])
    assert f"-m orchestrator.compare.child {os.getpid()} run --config {tmp_path}/scenario.yaml --runtime local" in text
    assert f"--protocol {slot.protocol} --detector-mode common --seed 1 --results-dir {tmp_path}/runs" in text
    assert {path.name for path in tmp_path.iterdir()} == {"config.yaml", "scenario.yaml", "consoles"}
    assert [path.name for path in (tmp_path / "consoles").iterdir()] == [f"{slot.name}.log"]
