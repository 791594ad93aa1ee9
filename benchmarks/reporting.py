"""How long a report takes, and how much memory, for journals of different lengths."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import journals
from benchmarks.results import Reporting
from orchestrator.journal import MERGED_FILE
from protocols.errors import LabError

GROUPS = 6
"""Of eight agents each: 48."""
_EXIT_BAD_INPUT, _EXIT_LAB = 2, 3
_KIB = 1024
_TAIL = 500


def report(lines: int) -> Reporting:
    """Have the command report on a run of 48 agents with about so many lines; raises LabError when it fails."""
    with tempfile.TemporaryDirectory(prefix="failstorm-report-") as scratch:
        folder = Path(scratch)
        written = journals.write(folder, lines, GROUPS)
        began = time.monotonic()
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", "orchestrator", "report", str(folder)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        if process.stderr is None:
            raise TypeError("expected a pipe")
        said = process.stderr.read().decode(errors="replace")
        process.stderr.close()
        # wait4(2), and not the process object: it alone tells how much memory this very child had at its peak.
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        took_s = time.monotonic() - began
        if process.returncode in (_EXIT_BAD_INPUT, _EXIT_LAB) or not (folder / "report.html").exists():
            raise LabError(f"expected a report on {written} lines, got: {said.strip()[-_TAIL:]}")
        return Reporting(
            lines=written,
            agents=8 * GROUPS,
            run_s=journals.duration_s(lines, GROUPS),
            journal_bytes=(folder / MERGED_FILE).stat().st_size,
            took_s=round(took_s, 2),
            cpu_s=round(usage.ru_utime + usage.ru_stime, 2),
            peak_bytes=usage.ru_maxrss * _KIB,
        )
