"""What counts as a success: the key in generated documents, the mesh's part in real text; and who grades."""

import asyncio
import json
from pathlib import Path

import pytest

from agent.fragments import Fragment
from orchestrator import timeline
from orchestrator.events.agents import Answer
from orchestrator.events.conductor import Scheduled
from orchestrator.evidence import Evidence
from orchestrator.journal import load
from orchestrator.metrics import evaluate
from orchestrator.scenario import Scenario
from orchestrator.success import best_f1, is_right, is_success
from orchestrator.verdict import judge
from orchestrator.workload.assignment import Workload, assign, with_measure
from orchestrator.workload.document import GaiaDocument, GaiaQuestion, GeneratorParameters, Header
from orchestrator.workload.loaders import load_document
from orchestrator.workload.schedule import schedule_tasks

STORM = Path(__file__).parent.parent / "journals" / "storm.jsonl"


def task(**fields: object) -> Scheduled:
    """A task whose key is Ada."""
    values = {"t": 0.0, "node": "orchestrator", "inc": 0, "task": "q", "at_s": 0.0, "answer": "Ada", "shards": ()}
    return Scheduled(**(values | fields))  # type: ignore[arg-type] # the test says what it likes


def answer(text: str | None, *evidence: str) -> Answer:
    """A committed answer."""
    return Answer(t=1.0, node="agent_1", inc=0, task="q", answer=text, evidence=evidence)


@pytest.mark.parametrize(
    ("plan", "given", "success"),
    [
        (task(), answer("ada"), True),
        (task(), answer("Bob", "f-1"), False),
        (task(aliases=("Bob",)), answer("the Bob"), True),
        (task(answer="noanswer"), answer(None), True),
        (task(success_by="reference", reference="Bob"), answer("Bob"), True),
        (task(success_by="reference", reference="Bob"), answer("Ada"), True),
        (task(success_by="reference", reference="Bob"), answer("Carl", "f-1"), False),
        (task(success_by="reference", reference="Bob"), answer(None), False),
        (task(success_by="reference", reference=None), answer(None), True),
        (task(success_by="answered"), answer("Carl", "f-1"), True),
        (task(success_by="answered"), answer("Ada"), False),
        (task(success_by="answered"), answer(None, "f-1"), False),
        (task(answer="1000", grader="gaia"), answer("$1,000"), True),
        (task(answer="1000"), answer("1e3"), False),
        (task(answer="1000", grader="gaia"), answer("1e3"), True),
    ],
)
def test_success_is_measured_by_what_the_run_says(plan: Scheduled, given: Answer, *, success: bool) -> None:
    """Key, aliases, reference or any answer with evidence; the document's grader compares with the keys."""
    assert is_success(plan, given) is success


def test_the_best_of_the_keys_counts() -> None:
    """As in the MuSiQue evaluation."""
    plan = task(answer="Ada Lovelace", aliases=("Countess Lovelace",))
    assert best_f1(plan, "the Countess Lovelace") == 1.0
    assert is_right(plan, "countess lovelace")


def test_a_baseline_of_wrong_answers_that_one_process_gives_as_well_is_valid() -> None:
    """With the answer of one process in its tasks a run is judged by the mesh; without, the same run is invalid."""

    def verdict(**fields: object) -> str:
        events = []
        for found in load(STORM):
            event = dict(found)
            if event["ev"] == "task":
                event |= {"answer": "Zoe", **fields}
            events.append(event)
        evidence = Evidence.from_events(events)
        return judge(evidence, evaluate(evidence)).status

    assert verdict() == "invalid"
    assert verdict(success_by="reference", reference="Ada") == "valid"


def test_metrics_put_the_mesh_beside_one_process() -> None:
    """Of 28 tasks two are unanswered and one differs; the worth of both is graded by the key."""
    measure = {"success_by": "reference", "reference": "Ada", "sources": ["f-7"]}
    events = [dict(event) | (measure if event["ev"] == "task" else {}) for event in load(STORM)]
    values = evaluate(Evidence.from_events(events))
    found = values["single_process"].value
    assert isinstance(found, dict)
    assert (found["n"], found["exact"], found["f1"]) == (28, 1.0, 1.0)
    assert (found["agree"], found["mesh_exact"]) == (25 / 28, 25 / 28)
    assert values["answer_in_evidence"].detail == {"n": 26}


DOCUMENT = GaiaDocument(
    header=Header(fragment_count=2, question_count=2),
    fragments=(
        Fragment(
            fragment_id="f-1", title="Kite Point Light", text="Kite Point Light was drawn by Tova Brandt in 1874."
        ),
        Fragment(fragment_id="f-2", title="Orrin", text="Orrin is a fishing town of 1,874 people."),
    ),
    questions=(
        GaiaQuestion(question_id="1", question="When was Kite Point Light drawn?", answer="1874", hops=1),
        GaiaQuestion(question_id="2", question="Is Orrin a town?", answer="yes", hops=1),
    ),
)


def planned(document: GaiaDocument) -> tuple[Workload, Scenario]:
    """A workload over this document."""
    scenario = Scenario.model_validate({"scenario": {"duration": 16}})
    workload = assign(scenario, timeline.plan(scenario))
    tasks = schedule_tasks(document, [0.1, 0.2], 8, scenario.rng("tasks"))
    return Workload(document, workload.holders, tasks), scenario


def test_real_text_gets_the_answers_of_one_process_and_the_places_of_its_keys() -> None:
    """Whole words only; yes and no stand nowhere."""
    workload, scenario = planned(DOCUMENT)
    found = asyncio.run(with_measure(workload, scenario))
    asked = {one.question: one.task_id for one in workload.tasks}
    when, is_town = asked["When was Kite Point Light drawn?"], asked["Is Orrin a town?"]
    assert found.success_by == "reference"
    assert found.references[when] == "1874"
    assert found.references[is_town] in ("yes", "no")
    assert found.sources == {when: ("f-1", "f-2")}


def test_a_generated_document_stays_as_it_is() -> None:
    """Its keys are what its answers are measured by."""
    header = DOCUMENT.header.model_copy(update={"generator": GeneratorParameters(seed=1)})
    workload, scenario = planned(DOCUMENT.model_copy(update={"header": header}))
    assert asyncio.run(with_measure(workload, scenario)) == workload


def test_of_an_endpoint_an_answer_is_asked() -> None:
    """Nobody knows what it would have said."""
    workload, _ = planned(DOCUMENT)
    scenario = Scenario.model_validate({"llm": {"model": {"type": "openai", "openai_api_key": "sk"}}})
    found = asyncio.run(with_measure(workload, scenario))
    assert (found.success_by, found.references) == ("answered", {})


def test_loaders_name_the_grader_and_the_aliases(tmp_path: Path) -> None:
    """GAIA's questions are graded as GAIA does; MuSiQue's have other right answers."""
    gaia = tmp_path / "metadata.jsonl"
    gaia.write_text(json.dumps({"task_id": "1", "Question": "?", "Level": 1, "Final answer": "7"}) + "\n")
    assert load_document(gaia).grader == "gaia"
    musique = tmp_path / "musique.jsonl"
    record = {
        "id": "2hop", "paragraphs": [{"idx": 0, "title": "A", "paragraph_text": "b"}], "question": "?",
        "question_decomposition": [{"paragraph_support_idx": 0}], "answer": "b", "answer_aliases": ["bee", "b", " "],
    }  # fmt: skip
    musique.write_text(json.dumps(record) + "\n")
    found = load_document(musique)
    assert (found.grader, found.questions[0].aliases) == ("exact_match", ("bee",))
