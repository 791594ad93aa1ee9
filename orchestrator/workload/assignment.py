"""What the mesh of one run will be asked, and which agent holds which part of the document."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from agent.fragments import Fragment
from agent.models.local import LocalModel
from agent.models.replay import ReplayModel
from orchestrator import seeds
from orchestrator.scenario import Scenario
from orchestrator.storm_settings import GENERATED
from orchestrator.timeline import Timeline
from orchestrator.workload.document import GaiaDocument, GeneratorParameters
from orchestrator.workload.generator import generate
from orchestrator.workload.grade import CLOSED, normalise
from orchestrator.workload.loaders import load_document
from orchestrator.workload.placement import place
from orchestrator.workload.reference import references
from orchestrator.workload.schedule import ScheduledTask, schedule_tasks
from protocols.clock import MonotonicClock

SuccessBy = Literal["key", "reference", "answered"]
"""What an answer is a success by (``orchestrator.success``)."""
_QUESTIONS_PER_FRAGMENT = 10


@dataclass(frozen=True)
class Workload:
    """Document, placement and schedule of one run."""

    document: GaiaDocument
    holders: list[list[str]]
    """Shard → the agents that hold it."""
    tasks: tuple[ScheduledTask, ...]
    success_by: SuccessBy = "key"
    references: Mapping[str, str | None] = field(default_factory=dict)
    """Task → what the same model answers with the whole document in one process, where success is measured by it."""
    sources: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Task → ids of the fragments whose text holds its answer, in documents of real text."""


def assign(scenario: Scenario, planned: Timeline, document: Path | None = None) -> Workload:
    """Draw up the workload; the same scenario gives the same one.

    ``document`` is where the scenario's document lies, if that is not where the scenario says.
    """
    storm = scenario.storm
    if storm.document == GENERATED:
        # A small world holds only so many distinct questions; the schedule asks them again in another order.
        questions = max(1, min(len(planned.arrivals_s), _QUESTIONS_PER_FRAGMENT * storm.fragments))
        parameters = GeneratorParameters(seed=storm.seed, fragment_count=storm.fragments, question_count=questions)
        content = generate(parameters, seeds.stream(storm.seed, "document"))
    else:
        content = load_document(document or Path(storm.document))
    names = [agent.node_id for agent in planned.agents]
    holders = place(len(names), names, scenario.replication, storm.seed)
    tasks = schedule_tasks(content, planned.arrivals_s, len(holders), seeds.stream(storm.seed, "tasks"))
    return Workload(content, holders, tasks)


async def with_measure(workload: Workload, scenario: Scenario) -> Workload:
    """Add what answers from real text are measured by; a generated document has its keys, and stays as it is.

    A model that answers alike each time is measured by itself, without a mesh; of any other the lab asks an answer.
    """
    if workload.document.is_generated:
        return workload
    fragments, tasks = workload.document.fragments, workload.tasks
    found = replace(workload, success_by="answered", sources=_sources(fragments, tasks))
    settings = scenario.llm.model.for_agents(scenario.windows.task_deadline_s)
    if settings.type == "openai":
        return found
    model = ReplayModel(settings, 0.0, MonotonicClock()) if settings.type == "replay" else LocalModel()
    return replace(found, success_by="reference", references=await references(fragments, tasks, model))


def _sources(fragments: Sequence[Fragment], tasks: Sequence[ScheduledTask]) -> dict[str, tuple[str, ...]]:
    """For each task whose answer is a span: the fragments that hold it as whole words, after normalisation."""
    texts = {one.fragment_id: f" {normalise(f'{one.title} {one.text}')} " for one in fragments}
    known: dict[str, tuple[str, ...]] = {}
    for task in tasks:
        key = normalise(task.answer)
        if key and key not in CLOSED and key not in known:
            known[key] = tuple(name for name, text in texts.items() if f" {key} " in text)
    return {task.task_id: known[key] for task in tasks if (key := normalise(task.answer)) in known}
