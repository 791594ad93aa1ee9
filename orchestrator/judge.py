"""The command ``judge``: has a language model say which answers mean the same as their key in other words.

It comes after a run and changes nothing in it: what a model says is no evidence of the mesh, and costs.
"""

import argparse
import asyncio
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from rich.console import Console

from agent.settings import KEY_VARIABLE
from orchestrator import journal
from orchestrator.evidence import Evidence
from orchestrator.success import is_right
from orchestrator.tasks import Task
from orchestrator.workload.document import write_lines
from protocols.errors import ConfigError, LabError

FILE = "judged.jsonl"
"""In the folder of the run."""
INSTRUCTIONS = (
    "You compare an answer with a key. Reply with one JSON object and nothing else: "
    '{"same": true} if the answer means the same as the key, as an answer to the question, else {"same": false}.'
)
Verdict = Literal["exact", "same", "other", "unknown"]
_RETRIES = 2


class Judged(BaseModel):
    """One line of the file.

    ``verdict`` is ``exact`` where the document's grader finds the answer right, and nobody was asked; ``same`` or
    ``other`` as the model says; ``unknown`` where it said neither, and ``reason`` tells why.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str
    question: str
    key: str
    answer: str
    verdict: Verdict
    reason: str = ""


class _Reply(BaseModel):
    model_config = ConfigDict(strict=True)

    same: bool


def add_to(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add the command to the orchestrator's command line."""
    parser = commands.add_parser("judge", help="have a language model judge a run's answers", allow_abbrev=False)
    parser.add_argument("run_dir", type=Path, metavar="RUN_DIR")
    parser.add_argument("--model", required=True, metavar="NAME")
    parser.add_argument("--base-url", default="https://api.openai.com/v1", metavar="URL", help="(%(default)s)")
    parser.add_argument("--timeout", type=float, default=20.0, metavar="SECONDS", help="of a request (%(default)s)")
    parser.add_argument("--at-a-time", type=int, default=4, metavar="NUMBER", help="requests (%(default)s)")
    parser.set_defaults(handler=_judge)


def _judge(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    key = environ.get(KEY_VARIABLE)
    if not key:
        raise ConfigError(f"expected the endpoint's key in the environment variable {KEY_VARIABLE}, got none")
    if options.timeout <= 0 or options.at_a_time < 1:
        raise ConfigError("expected --timeout above 0 and --at-a-time of 1 or more")
    judge = Judge(options.model, options.base_url, key, options.timeout, options.at_a_time)
    judged = asyncio.run(judge.judge(answers_of(options.run_dir)))
    write_lines((one.model_dump_json() for one in judged), options.run_dir / FILE)
    found = Counter(one.verdict for one in judged)
    right = found["exact"] + found["same"]
    console = Console()
    console.print(
        f"{len(judged)} answers: {found['exact']} exact, {found['same']} the same in other words, {found['other']} "
        f"others, {found['unknown']} unknown; right by the model: {right / len(judged):.1%}",
        soft_wrap=True,
    )
    console.print(f"written: {options.run_dir / FILE}", soft_wrap=True)
    if found["unknown"] and not found["same"] + found["other"]:
        reason = next(one.reason for one in judged if one.verdict == "unknown")
        raise LabError(f"expected a verdict from the model, got none on {found['unknown']} answers: {reason}")
    return 0


def answers_of(run_dir: Path) -> list[tuple[Task, str, str]]:
    """Each answered task with its question and first answer; raises ConfigError for a run without any."""
    merged = run_dir / journal.MERGED_FILE
    if not merged.exists():
        raise ConfigError(f"expected a finished run, got {run_dir} without {journal.MERGED_FILE}")
    questions: dict[str, str] = {}
    for path in sorted(run_dir.glob("workspaces/*/answers.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            told = json.loads(line)
            questions[told["task"]] = told["question"]
    tasks = Evidence.from_events(journal.load(merged)).tasks
    found = [
        (task, questions[task.plan.task], task.commits[0].answer)
        for task in tasks
        if task.commits and task.commits[0].answer is not None and task.plan.task in questions
    ]
    if not found:
        raise ConfigError(f"expected a run with answers in its workspaces, got {run_dir} without any")
    return found


class Judge:
    """A model behind an endpoint that speaks OpenAI's interface."""

    def __init__(self, model: str, base_url: str, key: str, timeout_s: float, at_a_time: int) -> None:
        # Late: the client takes a second of CPU time to load, for this command alone.
        import openai  # noqa: PLC0415

        self._error = openai.OpenAIError
        self._open: Callable[[], Any] = lambda: openai.AsyncOpenAI(
            api_key=key, base_url=base_url, timeout=timeout_s, max_retries=_RETRIES
        )
        self._model = model
        self._at_a_time = at_a_time

    async def judge(self, answers: Sequence[tuple[Task, str, str]]) -> list[Judged]:
        """A verdict on each answer, in their order; the same words on the same question are asked about once."""
        asking: dict[tuple[str, str], asyncio.Task[tuple[Verdict, str]]] = {}
        slots = asyncio.Semaphore(self._at_a_time)
        judged = []
        async with self._open() as client:

            async def ask(question: str, key: str, answer: str) -> tuple[Verdict, str]:
                async with slots:
                    return await self._ask(client, f"Question: {question}\nKey: {key}\nAnswer: {answer}")

            for task, question, answer in answers:
                if not is_right(task.plan, answer) and (question, answer) not in asking:
                    asking[question, answer] = asyncio.ensure_future(ask(question, task.plan.answer, answer))
            for task, question, answer in answers:
                asked = asking.get((question, answer))
                verdict, reason = await asked if asked is not None else ("exact", "")
                judged.append(
                    Judged(
                        task=task.plan.task, question=question, key=task.plan.answer, answer=answer, verdict=verdict,
                        reason=reason,
                    )
                )  # fmt: skip
        return judged

    async def _ask(self, client: Any, words: str) -> tuple[Verdict, str]:
        messages = [{"role": "system", "content": INSTRUCTIONS}, {"role": "user", "content": words}]
        try:
            answer = await client.chat.completions.create(model=self._model, messages=messages, temperature=0)
            content = str(answer.choices[0].message.content)
            tree, _ = json.JSONDecoder().raw_decode(content, max(content.find("{"), 0))
            return ("same" if _Reply.model_validate(tree).same else "other"), ""
        except self._error as error:
            return "unknown", type(error).__name__  # not its text, which may repeat the key
        except (ValidationError, ValueError, RecursionError, TypeError, AttributeError, LookupError) as error:
            return "unknown", f"{type(error).__name__}: expected a verdict, got something else"
