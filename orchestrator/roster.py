"""From the plan of a run to the settings of each agent, for the place where the agents live."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from agent.settings import CONDUCTOR, AgentSettings, LeaseSettings, Member
from chaos import schedule
from chaos.links.control import Links
from orchestrator import phases
from orchestrator.ports import HOST
from orchestrator.run_dir import RunDir
from orchestrator.runtime import start_timeout_s
from orchestrator.scenario import Scenario
from orchestrator.storm_settings import GENERATED
from orchestrator.timeline import Timeline

RECORDING_FILE = "recording.jsonl"
"""A model's recorded answers, in the folder of a run in containers and in each workspace."""
_SPARE_S = 60.0
"""Containers start one after the other, and the first must not give up before the orchestrator runs."""


@dataclass(frozen=True)
class Site:
    """How the processes of a run find each other, their folders, and their end."""

    host_of: Callable[[str], str]
    """Node id, the conductor's included → the name by which the others reach it."""
    bind_host: str
    workspace_of: Callable[[str], Path]
    parent_pid: int | None
    lease: LeaseSettings | None
    recording: Path | None = None
    """Where each agent finds a model's recorded answers; None for where the scenario says."""
    detours_of: Callable[[str], dict[str, int]] = lambda _: {}
    """Node id → the ports under which it finds the others, where a proxy stands between them."""


def local_site(run_dir: RunDir, links: Links | None = None) -> Site:
    """All on the loopback interface, as children of this process; ``links`` is the proxy between them, if any."""
    site = Site(lambda _: HOST, HOST, lambda node: run_dir.workspace(node).resolve(), os.getpid(), None)
    return site if links is None else replace(site, detours_of=links.ports_of)


def container_site(agent_count: int) -> Site:
    """Each in a container of its own, known by its service name, with its workspace and nothing else in sight."""
    lease = LeaseSettings(first_s=start_timeout_s(agent_count) + _SPARE_S)
    workspace = Path("/workspace")
    return Site(
        service_of,
        "0.0.0.0",  # noqa: S104 - only 127.0.0.1 is published
        lambda _: workspace,
        None,
        lease,
        workspace / RECORDING_FILE,
    )


def service_of(node_id: str) -> str:
    """The compose service, and so the host name, of a node: ``agent_3`` lives in ``agent-3``."""
    return node_id.replace("_", "-")


def agents_of(scenario: Scenario, timeline: Timeline, run_id: str, site: Site) -> tuple[AgentSettings, ...]:
    """The settings of every agent of a run, in the order of their names."""
    roster = tuple(
        Member(node_id=agent.node_id, tool=agent.tool, host=site.host_of(agent.node_id), port=agent.port)
        for agent in timeline.agents
    )
    model = scenario.llm.model.for_agents(timeline.windows.task_deadline_s)
    if model.recording is not None and site.recording is not None:
        model = model.model_copy(update={"recording": site.recording})
    lease = site.lease
    if lease is not None:
        # Who is cut off hears nothing of its orchestrator either, and is not to end for that.
        cut_s = schedule.longest_s(timeline.orders, "cut", timeline.windows.duration_s)
        lease = lease.model_copy(update={"silent_s": lease.silent_s + cut_s})
    conductor = Member(node_id=CONDUCTOR, tool="", host=site.host_of(CONDUCTOR), port=timeline.conductor_port)
    return tuple(
        AgentSettings(
            run_id=run_id,
            node_id=agent.node_id,
            protocol=scenario.storm.protocol,
            seed=scenario.storm.seed,
            parent_pid=site.parent_pid,
            lease=lease,
            bind_host=site.bind_host,
            admin_port=agent.admin_port,
            workspace=site.workspace_of(agent.node_id),
            roster=roster,
            conductor=conductor,
            detours=site.detours_of(agent.node_id),
            topology=scenario.storm.topology,
            neighbours=agent.neighbours,
            edges=tuple((one, other) for one, other in scenario.storm.edges or ()),
            replication=scenario.replication,
            step_work_ms=scenario.step_work_ms,
            task_deadline_s=timeline.windows.task_deadline_s,
            detector=scenario.detector,
            recovery=scenario.recovery,
            expects_real_text=scenario.storm.document != GENERATED,
            model=model,
            phases=phases.planned(timeline.windows),
        )
        for agent in timeline.agents
    )
