"""``python -m benchmarks.caller ASSIGNMENT``: one measurement in a new process, and how to have one made.

It writes the share that is done, line by line, and at last the result, to standard output as JSON.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from benchmarks import costs, endurance, large_document, roundtrip
from benchmarks.ends import ROOT
from benchmarks.results import Measured
from protocols.clock import MonotonicClock
from protocols.errors import LabError

Measurement = Literal["round trip", "costs", "endurance", "document"]
R = TypeVar("R", bound=Measured)

_MAX_COMPLAINT = 600


class Assignment(BaseModel):
    """What to measure; ``size`` is the number of calls, of repeats, of messages or of fragments."""

    model_config = ConfigDict(frozen=True)

    measurement: Measurement
    subject: str
    size: int
    block: int = 1
    seed: int = 1


def have_measured(assignment: Assignment, kind: type[R], progress: Callable[[float], None]) -> R:
    """Have a new process carry it out; raises LabError with its last words when it fails."""
    with TemporaryFile("w+") as errors, _process(assignment, errors) as process:
        result = None
        for line in process.stdout or ():
            told = json.loads(line)
            if "done" in told:
                progress(told["done"])
            else:
                result = kind.model_validate(told["result"])
        if process.wait() or result is None:
            errors.seek(0)
            raise LabError(
                f"expected a result of {assignment.measurement} of {assignment.subject}, got: "
                f"...{errors.read()[-_MAX_COMPLAINT:]}"
            )
        return result


@contextmanager
def _process(assignment: Assignment, errors: IO[str]) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "benchmarks.caller", assignment.model_dump_json()]
    # A session of its own: Ctrl-C ends it through this process, and its peer through it.
    with subprocess.Popen(  # noqa: S603 - our own interpreter and module
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def carry_out(assignment: Assignment, folder: Path, progress: Callable[[float], None]) -> Measured:
    """Measure here and now."""
    clock = MonotonicClock()
    subject, size = assignment.subject, assignment.size
    match assignment.measurement:
        case "round trip":
            block, seed = assignment.block, assignment.seed
            return roundtrip.measure(subject, folder, clock, calls=size, block=block, seed=seed, progress=progress)
        case "costs":
            return costs.measure(subject, folder, clock, repeats=size)
        case "endurance":
            return endurance.measure(subject, folder, clock, messages=size, progress=progress)
        case "document":
            return large_document.measure(subject, folder, clock, fragments=size, progress=progress)


def _tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    with TemporaryDirectory() as scratch:
        found = carry_out(
            Assignment.model_validate_json(sys.argv[1]), Path(scratch), lambda done: _tell(json.dumps({"done": done}))
        )
    _tell(f'{{"result": {found.model_dump_json()}}}')
