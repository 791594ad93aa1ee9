"""Journals what is settled before the first agent starts."""

from pydantic import JsonValue

from agent.journal import Journal
from orchestrator import host
from orchestrator.scenario import Scenario
from orchestrator.timeline import Timeline
from orchestrator.workload.assignment import Workload
from orchestrator.workload.schedule import ScheduledTask
from protocols import registry


def journal_plan(
    journal: Journal, run_id: str, runtime: str, scenario: Scenario, timeline: Timeline, workload: Workload
) -> None:
    """Append ``run_start``, ``roster``, ``placement`` and one ``task`` per task; raises LabError (disk full)."""
    storm = scenario.storm
    distribution, _ = registry.sdk(storm.protocol)
    journal.append(
        "run_start",
        run_id=run_id,
        protocol=storm.protocol,
        sdk=distribution,
        runtime=runtime,
        seed=storm.seed,
        scenario=scenario.to_mapping(),
        windows=timeline.windows.model_dump(mode="json"),
        victims=list(timeline.victims),
        host=host.describe(),
        versions=host.versions(distribution),
    )
    journal.append(
        "roster",
        agents=[
            {"node_id": agent.node_id, "tool": agent.tool, "neighbours": list(agent.neighbours)}
            for agent in timeline.agents
        ],
    )
    journal.append("placement", holders=[list(names) for names in workload.holders])
    for task in workload.tasks:
        journal.append(
            "task",
            task=task.task_id,
            at_s=task.at_s,
            answer=task.answer,
            shards=list(task.shards),
            fragments=list(task.fragments),
            **_measure(task, workload),
        )


def _measure(task: ScheduledTask, workload: Workload) -> dict[str, JsonValue]:
    """What the answer to this task is measured by, as far as it is not the key alone."""
    found: dict[str, JsonValue] = {"grader": workload.document.grader, "success_by": workload.success_by}
    if task.aliases:
        found["aliases"] = list(task.aliases)
    if task.task_id in workload.references:
        found["reference"] = workload.references[task.task_id]
    if task.task_id in workload.sources:
        found["sources"] = list(workload.sources[task.task_id])
    return found
