"""Plays one run of a comparison: the orchestrator's own command, as a child process."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import yaml

from orchestrator import report
from orchestrator.compare.plan import Plan, Slot
from orchestrator.compare.state import RUNS
from orchestrator.run_dir import write_atomically
from protocols.errors import LabError

SCENARIO, CONSOLES = "scenario.yaml", "consoles"
_TICK_S = 1.0


class Player:
    """Starts runs one after the other; what they print goes to ``consoles/``.

    ``held`` is a file descriptor that every child keeps open: the lock of the comparison, so that nobody goes on with
    it while a run is still ending.
    """

    def __init__(self, plan: Plan, root: Path, held: int) -> None:
        self._plan = plan
        self._root = root
        self._held = held
        (root / CONSOLES).mkdir(exist_ok=True)
        base = yaml.safe_dump(plan.base, sort_keys=False, allow_unicode=True)
        write_atomically(root / SCENARIO, base)

    def play(self, slot: Slot, tick: Callable[[], None]) -> int:
        """Run ``slot`` to its end and return its exit code; ``tick`` is called about once a second.

        On KeyboardInterrupt the child is interrupted and waited for; on another one it is killed.
        """
        with self.console(slot).open("ab") as console:
            child = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-m", "orchestrator.compare.child", str(os.getpid()), *self._arguments(slot)],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                pass_fds=(self._held,),
                # Ctrl-C reaches this process alone, which passes it on once.
                process_group=0,
            )
        try:
            while True:
                try:
                    return child.wait(_TICK_S)
                except subprocess.TimeoutExpired:
                    tick()
        finally:
            _end(child)
            self._tidy()

    def console(self, slot: Slot) -> Path:
        """Where the run prints to."""
        return self._root / CONSOLES / f"{slot.name}.log"

    def last_line(self, slot: Slot) -> str:
        """The last thing that the run printed."""
        lines = self.console(slot).read_text("utf-8", "replace").strip().splitlines()
        return lines[-1].removeprefix("fail-storm: ") if lines else "nothing was printed"

    def _arguments(self, slot: Slot) -> list[str]:
        return [
            "run", "--config", str(self._root / SCENARIO), "--runtime", self._plan.runtime,
            "--protocol", slot.protocol, "--detector-mode", slot.mode, "--seed", str(slot.seed),
            "--results-dir", str(self._root / RUNS),
        ]  # fmt: skip

    def _tidy(self) -> None:
        """Take away what shows the latest run beside the results: here it would be taken for the comparison's."""
        try:
            (self._root / report.METRICS_FILE).unlink(missing_ok=True)
            for link in (self._root / "workspaces", self._root / "logs", self._root / RUNS / "latest"):
                if link.is_symlink():
                    link.unlink()
        except OSError as error:
            raise LabError(f"expected to tidy {self._root}, got: {error.strerror}; fix its rights") from error


def _end(child: "subprocess.Popen[bytes]") -> None:
    if child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait()
    except KeyboardInterrupt:
        child.kill()
        child.wait()
        raise
