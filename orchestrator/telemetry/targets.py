"""Whom Prometheus scrapes: a file of targets per run, which keeps the killed ones, so that they show ``up == 0``."""

import json
from collections.abc import Mapping
from pathlib import Path

from orchestrator.run_dir import write_atomically
from protocols.errors import LabError

FOLDER = "prometheus"
FILE = "targets.json"


def write_targets(
    run_dir: Path, run_id: str, agents: Mapping[str, str], orchestrator: str, chaos: str | None = None
) -> None:
    """Write ``prometheus/targets.json`` (file_sd) into the run's folder; every address is ``host:port``.

    ``agents`` maps each agent's name to where it serves ``/metrics``. Raises LabError when it cannot be written.
    """

    def group(address: str, job: str, name: str, **more: str) -> dict[str, object]:
        return {"targets": [address], "labels": {"job": job, "instance": name, "run": run_id} | more}

    groups = [group(address, "agent", name, node=name) for name, address in agents.items()]
    groups.append(group(orchestrator, "orchestrator", "orchestrator"))
    if chaos is not None:
        groups.append(group(chaos, "chaos", "chaos"))
    folder = run_dir / FOLDER
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise LabError(f"expected to make {folder}, got: {error.strerror}; make room or fix its rights") from error
    # Prometheus sees the old file or the new one, whole; it reads only what ends in .json.
    write_atomically(folder / FILE, json.dumps(groups, indent=1))
