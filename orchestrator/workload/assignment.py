"""What the mesh of one run will be asked, and which agent holds which part of the document."""

from dataclasses import dataclass
from pathlib import Path

from orchestrator import seeds
from orchestrator.scenario import GENERATED, Scenario
from orchestrator.timeline import Timeline
from orchestrator.workload.document import GaiaDocument, GeneratorParameters
from orchestrator.workload.generator import generate
from orchestrator.workload.loaders import load_document
from orchestrator.workload.placement import place
from orchestrator.workload.schedule import ScheduledTask, schedule_tasks

_QUESTIONS_PER_FRAGMENT = 10


@dataclass(frozen=True)
class Workload:
    """Document, placement and schedule of one run."""

    document: GaiaDocument
    holders: list[list[str]]
    """Shard → the agents that hold it."""
    tasks: tuple[ScheduledTask, ...]


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
