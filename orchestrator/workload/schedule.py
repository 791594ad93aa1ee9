"""When which question is asked: open loop, settled before the run begins."""

import math
import random
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from agent.fragments import shard_of
from agent.workspace import Question
from orchestrator.workload.document import GaiaDocument

_JITTER = 0.1


class ScheduledTask(BaseModel):
    """What the orchestrator knows about a task."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task_id: str
    at_s: float
    """Scheduled arrival, in seconds after t0; latency counts from here."""
    question: str
    answer: str
    """The key, for the grader alone."""
    aliases: tuple[str, ...]
    fragments: tuple[str, ...]
    """Ids of the fragments that the answer needs, in the order of the hops."""
    shards: tuple[int, ...]
    """The shards these fragments live in, ascending, each once."""

    def for_agents(self) -> Question:
        """Return what may be broadcast: no key and no hint where the fragments are."""
        return Question(task_id=self.task_id, at_s=self.at_s, question=self.question)


def arrivals(task_rate: float, start_s: float, end_s: float, rng: random.Random) -> list[float]:
    """Arrival times in [``start_s``, ``end_s``): evenly spaced, each moved by up to ±10 % of the spacing.

    Nothing waits for an answer, so a slow mesh cannot thin out its own load (no coordinated omission).

    Args:
        task_rate: Tasks per second over the whole mesh.
        start_s: Begin, in seconds after t0.
        end_s: End, in seconds after t0.
        rng: The random stream of the jitter.

    Raises:
        ValueError: the rate is not positive.
    """
    if task_rate <= 0:
        message = f"expected a positive task rate, got {task_rate}"
        raise ValueError(message)
    # 10/s from 1.1 s to 1.2 s is one task, although the product is 0.999… in floating point.
    count = max(0, math.floor((end_s - start_s) * task_rate + 1e-9))
    return [start_s + (slot + 0.5 + rng.uniform(-_JITTER, _JITTER)) / task_rate for slot in range(count)]


def task_id(number: int) -> str:
    """The id of the task that arrives as the ``number``-th, from 0 on."""
    return f"task-{number + 1:04}"


def schedule_tasks(
    document: GaiaDocument, times: Sequence[float], shard_count: int, rng: random.Random
) -> tuple[ScheduledTask, ...]:
    """Give each arrival a question; when they are used up, all are asked again in a new seeded order."""
    titles = {fragment.fragment_id: fragment.title for fragment in document.fragments}
    questions = list(document.questions)
    tasks = []
    for number, at_s in enumerate(times):
        turn = number % len(questions)
        if turn == 0:
            rng.shuffle(questions)
        question = questions[turn]
        tasks.append(
            ScheduledTask(
                task_id=task_id(number),
                at_s=at_s,
                question=question.question,
                answer=question.answer,
                aliases=question.aliases,
                fragments=question.fragments,
                shards=tuple(sorted({shard_of(titles[fragment], shard_count) for fragment in question.fragments})),
            )
        )
    return tuple(tasks)
