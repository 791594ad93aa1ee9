"""What follows when a model gives no answer, what is accounted for, and that a recording gives the same again."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from agent.journal import Journal
from agent.models.contract import Conclusion, ModelFailedError, Usage
from agent.models.prompt import prompt
from agent.models.reasoner import Reasoner, open_model
from agent.models.replay import Recorded
from agent.settings import ModelSettings
from agent.tools.contract import Triple
from agent.tools.reason import ReasonInput, conclude
from orchestrator import cli
from protocols.clock import MonotonicClock
from protocols.errors import ConfigError

FACT = Triple(subject="Mira Holt", relation="birthplace", object="Karsund", fragment_id="f-2")
REQUEST = ReasonInput(question="Where was Mira Holt born?", triples=(FACT,))
TEXT = ReasonInput(
    question="What is Orrin?",
    triples=(
        Triple(subject="Orrin", relation="Orrin is a _.", object="fishing town", fragment_id="f-4"),
        Triple(subject="Orrin", relation="_ is a fishing town.", object="Orrin", fragment_id="f-4"),
        Triple(subject="Emil Roth", relation="He painted _ scenes.", object="212", fragment_id="f-3"),
    ),
)


class Scripted:
    """A model that says, or fails with, what the test wants."""

    def __init__(self, found: Conclusion | ModelFailedError) -> None:
        self._found = found

    async def conclude(self, task: str, request: ReasonInput) -> Conclusion:  # noqa: ARG002 - it has its script
        """Follow the script."""
        if isinstance(self._found, ModelFailedError):
            raise self._found
        return self._found

    async def close(self) -> None:
        """Nothing to free."""


class Desk:
    """A reasoner with its journal and what it noted."""

    def __init__(self, folder: Path, found: Conclusion | ModelFailedError, **wishes: Any) -> None:
        self._file = folder / "journal.jsonl"
        clock = MonotonicClock()
        journal = Journal(self._file, "agent_1", 0, clock)
        self.noted: list[Mapping[str, Any]] = []
        settings = ModelSettings.model_validate({"type": "openai", **wishes})
        self.reasoner = Reasoner(settings, Scripted(found), clock, journal, self.noted.append)

    def call(self) -> dict[str, Any]:
        """The one line of the journal."""
        (line,) = self._file.read_text().splitlines()
        found: dict[str, Any] = json.loads(line)
        return {key: value for key, value in found.items() if key not in ("t", "node", "inc", "ms")}


async def test_a_call_is_accounted_for_and_noted(tmp_path: Path) -> None:
    """Tokens at the price of a million, and the answer for a recording."""
    found = Conclusion("Karsund", (FACT,), Usage(2, 1000, 20))
    desk = Desk(tmp_path, found, prompt_price=2.5, completion_price=10.0)
    assert (await desk.reasoner.conclude("q1", "q1/reason", REQUEST)).answer == "Karsund"
    assert desk.call() == {
        "ev": "model_call", "task": "q1", "step": "q1/reason", "outcome": "ok", "attempts": 2, "prompt_tokens": 1000,
        "completion_tokens": 20, "cost": 0.0027, "fallback": False,
    }  # fmt: skip
    assert Recorded.model_validate(desk.noted[0]).answer == "Karsund"


async def test_where_the_model_fails_the_rules_answer(tmp_path: Path) -> None:
    """The step is done, the fault is journaled, nothing is recorded."""
    desk = Desk(tmp_path, ModelFailedError("timeout", "", Usage(3)))
    assert await desk.reasoner.conclude("q1", "q1/reason", REQUEST) == conclude(REQUEST)
    call = desk.call()
    assert (call["outcome"], call["attempts"], call["fallback"], desk.noted) == ("timeout", 3, True, [])


async def test_or_the_step_fails_so_that_a_peer_may_try(tmp_path: Path) -> None:
    """With ``fallback: peer`` nothing is made up here."""
    desk = Desk(tmp_path, ModelFailedError("cut", ""), fallback="peer")
    with pytest.raises(ModelFailedError):
        await desk.reasoner.conclude("q1", "q1/reason", REQUEST)
    assert (desk.call()["outcome"], desk.call()["fallback"]) == ("cut", False)


async def test_the_rules_cost_nothing_and_are_not_journaled(tmp_path: Path) -> None:
    """Type local is no call."""
    desk = Desk(tmp_path, ModelFailedError("cut", ""), type="local")
    assert await desk.reasoner.conclude("q1", "q1/reason", REQUEST) == conclude(REQUEST)
    assert (tmp_path / "journal.jsonl").read_text() == ""


def test_statements_are_said_once_and_in_words() -> None:
    """Two facts of one sentence are one statement; the lexicon's are told by bars."""
    asked = prompt(TEXT)
    assert asked.text.splitlines()[1:3] == [
        "1. Orrin: Orrin is a fishing town.",
        "2. Emil Roth: He painted 212 scenes.",
    ]
    assert "1. Mira Holt | birthplace | Karsund" in prompt(REQUEST).text


@pytest.mark.parametrize(
    ("content", "answer", "fragments"),
    [
        ('{"answer": "a town", "evidence": [1]}', "a town", ["f-4"]),
        ('```json\n{"answer": 212, "evidence": [2, 2, 9, 0, -1]}\n```', "212", ["f-3"]),
        ('{"answer": null}', None, ["f-4", "f-3"]),
        ('{"answer": " ", "evidence": []}', None, ["f-4", "f-3"]),
    ],
)
def test_a_reply_is_read(content: str, answer: str | None, fragments: list[str]) -> None:
    """Named statements are the evidence; where none is, one fact of each fragment."""
    found, chain = prompt(TEXT).read(content)
    assert (found, [fact.fragment_id for fact in chain]) == (answer, fragments)


@pytest.mark.parametrize("content", ["", "no", "{", "[]", '{"evidence": [1]}', '{"answer": [1]}', '{"answer": {}}'])
def test_a_reply_that_is_none_is_an_error(content: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError, match=r".+"):
        prompt(TEXT).read(content)


def recorded(task: str, answer: str, question: str = "Q?") -> str:
    """A line of what an agent noted."""
    return Recorded(task=task, question=question, answer=answer, chain=(FACT,), ms=1.0).model_dump_json() + "\n"


async def test_a_recording_gives_the_same_answers_again(tmp_path: Path) -> None:
    """By the task, or else by the question; what was reasoned twice counts as it was committed."""
    for node, lines in (("agent_1", recorded("q1", "a") + recorded("q2", "b")), ("agent_2", recorded("q1", "c"))):
        folder = tmp_path / "run" / "workspaces" / node
        folder.mkdir(parents=True)
        (folder / "model.jsonl").write_text(lines)
    (folder / "journal.jsonl").write_text('{"t":1.0,"node":"agent_2","inc":0,"ev":"answer","task":"q1","answer":"c"}\n')
    out = tmp_path / "recording.jsonl"
    assert cli.main(["record", str(tmp_path / "run"), "--out", str(out)]) == 0
    settings = ModelSettings(type="replay", recording=out)
    model = open_model(settings, 1.0, None, MonotonicClock())
    request = ReasonInput(question="Q?", triples=())
    answers = [(await model.conclude(task, request)).answer for task in ("q1", "q2", "q3")]
    assert answers == ["c", "b", "c"]
    with pytest.raises(ModelFailedError) as caught:
        await model.conclude("q1", REQUEST)
    assert caught.value.fault == "unrecorded"


def test_a_run_without_a_model_cannot_be_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line, exit code 2."""
    assert cli.main(["record", str(tmp_path), "--out", str(tmp_path / "x")]) == 2
    assert "expected a run whose llm.model.type is openai" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("line", ["{", '{"task": "q1"}', "\udcff"])
def test_a_damaged_recording_is_refused_by_its_line(tmp_path: Path, line: str) -> None:
    """File and line are named."""
    path = tmp_path / "recording.jsonl"
    path.write_text(recorded("q1", "a") + line + "\n", encoding="utf-8", errors="surrogateescape")
    with pytest.raises(ConfigError, match=r"recording\.jsonl:2: "):
        open_model(ModelSettings(type="replay", recording=path), 1.0, None, MonotonicClock())
