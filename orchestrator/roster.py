"""From the plan of a run to the settings of each agent."""

import os

from agent.settings import CONDUCTOR, AgentSettings, Member
from orchestrator.ports import HOST
from orchestrator.run_dir import RunDir
from orchestrator.scenario import Scenario
from orchestrator.timeline import Timeline


def agents_of(scenario: Scenario, timeline: Timeline, run_dir: RunDir) -> tuple[AgentSettings, ...]:
    """The settings of every agent of a run on local processes, in the order of their names."""
    roster = tuple(
        Member(node_id=agent.node_id, tool=agent.tool, host=HOST, port=agent.port) for agent in timeline.agents
    )
    conductor = Member(node_id=CONDUCTOR, tool="", host=HOST, port=timeline.conductor_port)
    return tuple(
        AgentSettings(
            run_id=run_dir.run_id,
            node_id=agent.node_id,
            protocol=scenario.storm.protocol,
            seed=scenario.storm.seed,
            parent_pid=os.getpid(),
            bind_host=HOST,
            admin_port=agent.admin_port,
            workspace=run_dir.workspace(agent.node_id).resolve(),
            roster=roster,
            conductor=conductor,
            topology=scenario.storm.topology,
            neighbours=agent.neighbours,
            replication=scenario.replication,
            step_work_ms=scenario.step_work_ms,
            task_deadline_s=timeline.windows.task_deadline_s,
            detector=scenario.detector,
            recovery=scenario.recovery,
        )
        for agent in timeline.agents
    )
