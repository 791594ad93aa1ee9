"""Storms of real agents, whole or broken, as child processes of a command or a test; what has run is not run again."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from orchestrator.report import METRICS_FILE
from orchestrator.scenario import Scenario
from protocols.errors import LabError
from tests.teeth.sabotage import AGENTS_VARIABLE, BROKEN, Saboteur, Unbroken
from tests.teeth.table import Tooth, one_survivor

CHECKOUT = Path(__file__).resolve().parents[2]
Say = Callable[[str], object]

_START_S = 60.0
"""What a busy machine may need beside the run itself, for its start and its report."""


@dataclass(frozen=True)
class Run:
    """One run to play: a saboteur's protocol, a seed, a name for its folder, and what differs from the defaults."""

    name: str
    seed: int
    protocol: str = Unbroken.name
    settings: Mapping[str, object] = field(default_factory=dict)
    broken: tuple[str, ...] | None = None
    """The broken agents; None for all."""


@dataclass(frozen=True)
class Place:
    """Where runs keep their files, and the port from which each of those at one time has 200."""

    folder: Path
    first_port: int = 15_000


def scenario(seed: int, settings: Mapping[str, object]) -> Scenario:
    """The storm of the teeth: short, with enough work under way for the kill to break something."""
    sections: dict[str, dict[str, object]] = {}
    for key, value in settings.items():
        section, _, name = key.partition(".")
        sections.setdefault(section, {})[name] = value
    sections.setdefault("scenario", {})["seed"] = seed
    return Scenario.model_validate(sections)


def unbroken(seed: int, number: int, settings: Mapping[str, object]) -> Run:
    """The ``number``-th run of nothing broken."""
    return Run(f"unbroken-{number}-seed{seed}", seed, settings=settings)


def bitten(tooth: Tooth, seed: int, settings: Mapping[str, object]) -> Run:
    """A run under this tooth."""
    broken = None if tooth.who == "all" else (one_survivor(scenario(seed, settings)),)
    return Run(f"{tooth.name}-seed{seed}", seed, tooth.saboteur.name, {**settings, **tooth.settings}, broken)


def install(site: Path, broken: Iterable[type[Saboteur]] = BROKEN) -> None:
    """Make in ``site`` what an installed package with the broken adapters would leave: their entry points."""
    package = site / "failstorm_teeth-1.0.dist-info"
    package.mkdir(parents=True, exist_ok=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: failstorm-teeth\nVersion: 1.0\n")
    points = "".join(f"{one.name} = {one.__module__}:{one.__name__}\n" for one in broken)
    (package / "entry_points.txt").write_text(f"[failstorm.protocols]\n{points}")


def play(runs: Sequence[Run], place: Place, jobs: int, say: Say = lambda _: None) -> dict[str, dict[str, Any]]:
    """The results of these runs by name, ``jobs`` at a time; a run that has results already is not played.

    Raises LabError when a run leaves none.
    """
    install(place.folder / "site")
    ports: SimpleQueue[int] = SimpleQueue()
    for job in range(jobs):
        ports.put(place.first_port + 200 * job)

    def one(run: Run) -> dict[str, Any]:
        port = ports.get()
        try:
            return _play(run, place.folder, port, say)
        finally:
            ports.put(port)

    with ThreadPoolExecutor(jobs) as pool:
        try:
            return {run.name: found for run, found in zip(runs, pool.map(one, runs), strict=True)}
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # those under way end by themselves, the others never begin
            raise


def _play(run: Run, folder: Path, port: int, say: Say) -> dict[str, Any]:
    home = folder / run.name
    found = _results(home)
    if found is None:
        shutil.rmtree(home, ignore_errors=True)  # what was stopped half way says nothing
        say(f"{run.name} ...")
        _start(run, home, folder / "site", port)
        found = _results(home)
    if found is None:
        said = (home / "console.log").read_text("utf-8", "replace").strip().splitlines()
        raise LabError(f"expected results of {run.name}, got: {said[-1] if said else 'nothing'}; see {home}")
    return found


def _results(home: Path) -> dict[str, Any] | None:
    """What a run that came to its end found; None without one."""
    try:
        found: dict[str, Any] = json.loads((home / METRICS_FILE).read_bytes())
    except (OSError, ValueError):
        return None
    return None if found["partial"] else found


def _start(run: Run, home: Path, site: Path, port: int) -> None:
    home.mkdir(parents=True, exist_ok=True)
    settings = {"network.base_port": port, "network.admin_base_port": port + 100, **dict(run.settings)}
    changes = [part for key, value in settings.items() for part in ("--set", f"{key}={json.dumps(value)}")]
    # Through the comparison's own child: it ends in good order when this process is killed.
    command = [
        sys.executable, "-m", "orchestrator.compare.child", str(os.getpid()), "run", "--runtime", "local",
        "--config", str(CHECKOUT / "config.yaml"), "--protocol", run.protocol, "--seed", str(run.seed), *changes,
    ]  # fmt: skip
    paths = filter(None, (str(CHECKOUT), str(site.resolve()), os.environ.get("PYTHONPATH")))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    environment.pop(AGENTS_VARIABLE, None)
    if run.broken is not None:
        environment[AGENTS_VARIABLE] = ",".join(run.broken)
    duration_s = scenario(run.seed, run.settings).storm.duration
    with (home / "console.log").open("wb") as console, suppress(subprocess.TimeoutExpired):
        subprocess.run(command, cwd=home, env=environment, stdin=subprocess.DEVNULL, stdout=console,
                       stderr=subprocess.STDOUT, timeout=duration_s + _START_S, check=False)  # fmt: skip
