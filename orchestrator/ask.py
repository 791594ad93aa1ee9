"""The command ``ask``: every question of a document once, over a mesh that nobody hurts, and in one process."""

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from orchestrator import journal
from orchestrator.evidence import Evidence
from orchestrator.scenario import Scenario
from orchestrator.success import best_f1, is_right
from orchestrator.tasks import Task
from orchestrator.workload.grade import CLOSED, normalise
from orchestrator.workload.loaders import load_document
from protocols.errors import ConfigError

MOST_POINTS_LOST = 2.0
"""What the mesh may cost of exact match or F1 against one process, in points of a hundred."""
EXIT_BROKEN = 1
_SHORTEST_S = 8.0
_LEAST_DEADLINE_S, _DEADLINE_SHARE, _MOST_SHARE = 2.0, 1 / 24, 1 / 8
"""What ``auto`` makes of a task's deadline (``orchestrator.phases``)."""


@dataclass(frozen=True)
class Worth:
    """What the answers to all questions were worth; shares from 0 to 1, an unanswered question is wrong.

    Attributes:
        asked: Questions.
        unanswered: Questions without a committed answer.
        open_questions: Those whose key is neither yes nor no, nor that there is none.
        in_evidence: Share of these whose evidence, the fragments that the mesh names with its answer, holds the key.
        exact: Share that the document's grader finds right, of the mesh.
        f1: Mean F1 over words, of the mesh.
        single_exact: ``exact`` of the same model with the whole document in one process.
        single_f1: ``f1`` of that.
    """

    asked: int
    unanswered: int
    open_questions: int
    in_evidence: float
    exact: float
    f1: float
    single_exact: float
    single_f1: float

    @property
    def points_lost(self) -> float:
        """By the mesh, of exact match or F1, whichever is more; negative where it gained."""
        return 100 * max(self.single_exact - self.exact, self.single_f1 - self.f1)


def settings_for(document: Path, task_rate: float) -> list[str]:
    """``KEY=VALUE`` for a control in which each question of ``document`` arrives once; raises ConfigError."""
    if not (math.isfinite(task_rate) and task_rate > 0):
        raise ConfigError(f"--task-rate: expected questions per second, above 0, got {task_rate:g}")
    content = load_document(document)
    if content.is_generated:
        raise ConfigError(f"{document}: expected real text, got what `generate` wrote, whose keys `run` grades by")
    count = len(content.questions)
    asking_s = count / task_rate
    # Tasks arrive until the deadline of the last one is left of the run.
    duration_s = max(_SHORTEST_S, asking_s + _LEAST_DEADLINE_S, asking_s / (1 - _DEADLINE_SHARE))
    deadline_s = min(max(_LEAST_DEADLINE_S, duration_s * _DEADLINE_SHARE), duration_s * _MOST_SHARE)
    asking_s = duration_s - deadline_s
    return [
        f"scenario.document={document}",
        "scenario.kill_fraction=0",
        f"scenario.duration={duration_s:.6f}",
        # Half a task more than fit, so that rounding cannot lose one.
        f"scenario.task_rate={(count + 0.5) / asking_s:.6f}",
    ]


def ask(scenario: Scenario) -> int:
    """Conduct the control, print what its answers were worth; returns the exit code.

    0, or 1 when a question stayed unanswered or the mesh lost more than MOST_POINTS_LOST, or that of a run that
    failed or was interrupted. Raises ConfigError for a model of which nobody knows what it answers in one process.
    """
    if scenario.llm.model.type == "openai":
        raise ConfigError(
            "llm.model.type: expected local or replay for ask, got openai; use `run`, or record and replay"
        )
    # Late: a mistake in the arguments is reported before a web framework is loaded.
    from orchestrator.run import EXIT_INTERRUPTED, EXIT_LAB, conduct  # noqa: PLC0415

    code = conduct(scenario)
    if code in (EXIT_LAB, EXIT_INTERRUPTED):
        return code
    run_dir = (Path(scenario.output.results_dir) / "latest").resolve()
    found = worth(Evidence.from_events(journal.load(run_dir / journal.MERGED_FILE)).tasks)
    console = Console()
    console.print(_table(found))
    complaint = broken(found)
    if complaint:
        console.print(complaint, style="bold red", soft_wrap=True)
    return EXIT_BROKEN if complaint else 0


def worth(tasks: Sequence[Task]) -> Worth:
    """Grade the first answer to each task of real text."""
    first = [(task.plan, task.commits[0].answer if task.commits else None) for task in tasks]
    spans = [task for task in tasks if normalise(task.plan.answer) not in CLOSED]
    held = [task for task in spans if task.commits and set(task.plan.sources or ()) & set(task.commits[0].evidence)]
    count = len(tasks)
    return Worth(
        asked=count,
        unanswered=sum(not task.commits for task in tasks),
        open_questions=len(spans),
        in_evidence=len(held) / len(spans) if spans else 1.0,
        exact=sum(is_right(plan, answer) for plan, answer in first) / count,
        f1=sum(best_f1(plan, answer) for plan, answer in first) / count,
        single_exact=sum(is_right(task.plan, task.plan.reference) for task in tasks) / count,
        single_f1=sum(best_f1(task.plan, task.plan.reference) for task in tasks) / count,
    )


def broken(found: Worth) -> str:
    """A few words on what does not hold; empty where all does."""
    complaints = []
    if found.unanswered:
        complaints.append(f"{found.unanswered} of {found.asked} questions were not answered")
    if found.points_lost > MOST_POINTS_LOST:
        complaints.append(f"the mesh loses {found.points_lost:.1f} points (at most {MOST_POINTS_LOST:g})")
    return "; ".join(complaints)


def _table(found: Worth) -> Table:
    table = Table(title=f"{found.asked} questions, {found.unanswered} unanswered", title_justify="left")
    for name in ("", "mesh", "one process", "difference in points"):
        table.add_column(name, justify="right" if name else "left")
    for name, mesh, single in (
        ("exact match", found.exact, found.single_exact),
        ("F1", found.f1, found.single_f1),
    ):
        table.add_row(name, f"{mesh:.2%}", f"{single:.2%}", f"{100 * (mesh - single):+.2f}")
    table.add_row(f"key in the evidence ({found.open_questions} open questions)", f"{found.in_evidence:.2%}", "", "")
    return table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes beside a scenario."""
    parser.add_argument("document", type=Path, metavar="FILE", help="any document that scenario.document takes")
    parser.add_argument("--task-rate", type=float, default=4.0, metavar="NUMBER", help="questions per second (4)")
