"""Conducts a run from the orchestrator's container, in a folder that ``prepare`` has laid out."""

from pathlib import Path

import httpx
from rich.console import Console

from chaos.faults import Record
from chaos.remote import RemoteChaos
from orchestrator import settings_load, timeline
from orchestrator.compose.prepare import DOCUMENT_FILE, KEY_IS_ELSEWHERE, TOKEN_FILE, kept_recording
from orchestrator.roster import agents_of, container_site
from orchestrator.run import Run
from orchestrator.run_dir import SCENARIO_FILE, RunDir
from orchestrator.runtime.containers import ContainerRuntime
from protocols.clock import MonotonicClock
from protocols.errors import LabError


def conduct(run_dir: Path, chaos_url: str, prometheus_url: str, *, debug: bool = False) -> int:
    """Run what stands in ``run_dir`` with the agents that compose has started; returns the exit code of the run."""
    # By its name here, whatever address it has on the user's machine.
    prometheus = settings_load.flag_layer("--prometheus", "output.prometheus_url", prometheus_url)
    layers = [settings_load.read_file(run_dir / SCENARIO_FILE), prometheus, *kept_recording(run_dir)]
    scenario = settings_load.build(layers, KEY_IS_ELSEWHERE)
    folder = RunDir(run_dir.name, run_dir)
    agents = agents_of(scenario, timeline.plan(scenario), folder.run_id, container_site(scenario.storm.agent_count))
    clock = MonotonicClock()
    try:
        token = (run_dir / TOKEN_FILE).read_text(encoding="ascii")
    except OSError as error:
        raise LabError(
            f"expected the token of the run in {run_dir}, got: {error.strerror}; prepare it first"
        ) from error

    def containers(admin: httpx.AsyncClient, record: Record) -> ContainerRuntime:
        return ContainerRuntime(agents, admin, RemoteChaos(admin, chaos_url, token, record, clock), clock)

    return Run(
        scenario, agents, folder, clock, Console(), containers, document=run_dir / DOCUMENT_FILE, debug=debug
    ).play()
