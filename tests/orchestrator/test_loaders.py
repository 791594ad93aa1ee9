"""Documents of the published formats become fragments and questions; what is wrong is named by line and field."""

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from orchestrator.workload.document import GaiaDocument, GaiaQuestion
from orchestrator.workload.loaders import LOADERS, load_document, loader_for
from orchestrator.workload.loaders.contract import peek
from orchestrator.workload.schedule import schedule_tasks
from protocols.errors import ConfigError

HOTPOT: dict[str, Any] = {
    "_id": "5a01",
    "question": "Which river flows below the bridge that Mira Holt designed?",
    "answer": "Nive River",
    "type": "bridge",
    "level": "hard",
    "supporting_facts": [["Mira Holt", 0], ["Aurora Bridge", 1]],
    "context": [
        ["Mira Holt", ["Mira Holt designed the Aurora Bridge.", " She lived in Karsund."]],
        ["Aurora Bridge", ["The Aurora Bridge is old.", " Below it flows the Nive River."]],
        ["Lund", ["Lund is a city."]],
    ],
}
TWO_WIKI: dict[str, Any] = {
    **HOTPOT,
    "evidences": [["Aurora Bridge", "designer", "Mira Holt"], ["Aurora Bridge", "crosses", "Nive River"]],
    "evidences_id": [],
    "answer_id": "Q1",
}
MUSIQUE: dict[str, Any] = {
    "id": "2hop__1_2",
    "paragraphs": [
        {"idx": 0, "title": "Lund", "paragraph_text": "Lund is a city.", "is_supporting": False},
        {"idx": 1, "title": "Mira Holt", "paragraph_text": "Mira Holt built it.", "is_supporting": True},
        {"idx": 2, "title": "Lund", "paragraph_text": "Lund is also a ship.", "is_supporting": True},
    ],
    "question": "What is the ship of the builder?",
    "question_decomposition": [
        {"id": 1, "question": "Who built it?", "answer": "Mira Holt", "paragraph_support_idx": 1},
        {"id": 2, "question": "What is #1's ship?", "answer": "Lund", "paragraph_support_idx": 2},
    ],
    "answer": "Lund",
    "answer_aliases": ["the Lund"],
    "answerable": True,
}
GAIA: dict[str, Any] = {
    "task_id": "c61d",
    "Question": "How many eggs does the list name?",
    "Level": 1,
    "Final answer": "17",
    "file_name": "list.txt",
    "Annotator Metadata": {"Steps": "Count them. 17."},
}
SHARDED: dict[str, Any] = {
    "group_id": 0,
    "items": [
        {
            "shard": 0,
            "question": "Who built it?",
            "answer": "Mira Holt",
            "fragment": "Lund: Lund is a city. | X: It is.",
        },
        {"shard": 1, "question": "What is it?", "answer": "a city", "fragment": "Mira Holt:  She built it."},
    ],
}
TEXT = "# Bridges\n\nThe Aurora Bridge is old.\n\n## Makers ##\n\nMira Holt built it.\nShe lived long.\n"
TEXT_QUESTION = {"question": "Who built it?", "answer": "Mira Holt", "fragments": ["Makers"]}


SECOND_RECORD = json.dumps([HOTPOT], indent=1).count("\n") + 1
"""The line where the second record of an indented array begins: the first array's bracket makes way for it."""


def lines(*records: object) -> str:
    """Return JSON lines."""
    return "".join(json.dumps(record) + "\n" for record in records)


def written(folder: Path, name: str, text: str) -> Path:
    """Write a file and return where."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def only(document: GaiaDocument) -> GaiaQuestion:
    """Return the only question."""
    (question,) = document.questions
    return question


def needed(document: GaiaDocument) -> list[str]:
    """Return the titles that the only question needs."""
    titles = {fragment.fragment_id: fragment.title for fragment in document.fragments}
    return [titles[one] for one in only(document).fragments]


@pytest.mark.parametrize(("name", "record"), [("hotpotqa", HOTPOT), ("2wikimultihopqa", TWO_WIKI)])
def test_hotpotqa_and_2wiki_become_paragraphs_with_supporting_titles(
    tmp_path: Path, name: str, record: dict[str, Any]
) -> None:
    """A paragraph is a fragment, its sentences joined; the titles of the supporting facts are what is needed."""
    path = written(tmp_path, "dev.json", json.dumps([record]))
    document = load_document(path)
    assert loader_for(path) is LOADERS[name]
    assert [fragment.title for fragment in document.fragments] == ["Mira Holt", "Aurora Bridge", "Lund"]
    assert document.fragments[0].text == "Mira Holt designed the Aurora Bridge. She lived in Karsund."
    assert needed(document) == ["Mira Holt", "Aurora Bridge"]
    assert (only(document).question_id, only(document).answer, only(document).hops) == ("5a01", "Nive River", 2)


def test_the_same_paragraph_of_two_questions_is_one_fragment(tmp_path: Path) -> None:
    """Another text under a taken title is kept apart under a number."""
    again = {**HOTPOT, "_id": "5a02", "context": [*HOTPOT["context"][:2], ["Lund", ["Lund is a ship."]]]}
    document = load_document(written(tmp_path, "dev.json", json.dumps([HOTPOT, again], indent=1)))
    assert [one.title for one in document.fragments] == ["Mira Holt", "Aurora Bridge", "Lund", "Lund (2)"]
    assert len(document.questions) == 2


def test_musique_tells_paragraphs_of_one_title_apart(tmp_path: Path) -> None:
    """The decomposition says which paragraphs are needed, in the order of the hops."""
    document = load_document(written(tmp_path, "dev.jsonl", lines(MUSIQUE)))
    assert needed(document) == ["Mira Holt", "Lund (2)"]
    assert only(document).hops == 2


def test_musique_questions_without_an_answer_are_left_out(tmp_path: Path) -> None:
    """Their paragraphs stay as distractors: from those of its twin the question might be answered after all."""
    other = {**MUSIQUE, "id": "2hop__1_3", "answerable": False}
    assert only(load_document(written(tmp_path, "dev.jsonl", lines(MUSIQUE, other)))).question_id == "2hop__1_2"


def test_gaia_reads_attachments_that_are_text_and_never_the_annotators_steps(tmp_path: Path) -> None:
    """A question without a readable attachment needs no fragment and can still be asked."""
    written(tmp_path, "list.txt", "an egg, another egg")
    other = {**GAIA, "task_id": "c61e", "file_name": "picture.png", "Level": "3"}
    document = load_document(written(tmp_path, "metadata.jsonl", lines(GAIA, other)))
    assert [(one.title, one.text) for one in document.fragments] == [("list.txt", "an egg, another egg")]
    assert [len(question.fragments) for question in document.questions] == [1, 0]
    assert "Count them" not in "".join(document.lines())
    assert len(schedule_tasks(document, [0.0, 1.0], 2, Random(1))) == 2


def test_gaia_without_any_attachment_is_a_document_without_fragments(tmp_path: Path) -> None:
    """The questions stand alone; the agents have nothing but their model."""
    document = load_document(written(tmp_path, "metadata.jsonl", lines({**GAIA, "file_name": ""})))
    assert (document.fragments, document.header.fragment_count) == ((), 0)


def test_sharded_lines_become_bundles_and_questions(tmp_path: Path) -> None:
    """A bundle is one fragment under its first title; which one a question needs is not known."""
    document = load_document(written(tmp_path, "groups.jsonl", lines(SHARDED)))
    assert [(one.title, one.text) for one in document.fragments] == [
        ("Lund", "Lund: Lund is a city.\nX: It is."),
        ("Mira Holt", "Mira Holt: She built it."),
    ]
    assert [(one.question_id, one.fragments) for one in document.questions] == [("0-0", ()), ("0-1", ())]


def test_markdown_is_cut_at_its_headings(tmp_path: Path) -> None:
    """A section is a fragment under its heading; the questions lie beside and name what they need."""
    written(tmp_path, "notes.questions.jsonl", lines(TEXT_QUESTION))
    document = load_document(written(tmp_path, "notes.md", TEXT))
    assert [(one.title, one.text) for one in document.fragments] == [
        ("Bridges", "The Aurora Bridge is old."),
        ("Makers", "Mira Holt built it. She lived long."),
    ]
    assert needed(document) == ["Makers"]


def test_plain_text_is_cut_at_blank_lines_and_long_sections_between_paragraphs(tmp_path: Path) -> None:
    """A paragraph goes under its first words; a section of Markdown longer than 1500 characters is cut."""
    written(tmp_path, "notes.questions.jsonl", lines({"question": "Who?", "answer": "Mira"}))
    plain = load_document(written(tmp_path, "notes.txt", "One two three, four.\n\nFive\nsix.\n"))
    assert [one.title for one in plain.fragments] == ["One two three, four", "Five six"]
    written(tmp_path, "long.questions.jsonl", lines({"question": "Who?", "answer": "Mira"}))
    long = load_document(
        written(tmp_path, "long.md", "# A\n\n" + "\n\n".join(f"{number} " * 250 for number in range(6)))
    )
    assert [one.title for one in long.fragments] == ["A", "A (2)"]


def test_every_format_is_claimed_by_its_own_loader_alone(tmp_path: Path) -> None:
    """Autodetection is unambiguous, and every format has a sample in this test."""
    gaia = '{"format":"gaia-document","version":1,"fragment_count":1,"question_count":1}'
    samples = {
        "hotpotqa": ("a.json", json.dumps([HOTPOT])),
        "2wikimultihopqa": ("b.json", json.dumps([TWO_WIKI], indent=2)),
        "musique": ("c.jsonl", lines(MUSIQUE)),
        "gaia-benchmark": ("metadata.jsonl", lines(GAIA)),
        "sharded": ("d.jsonl", lines(SHARDED)),
        "text": ("e.md", TEXT),
        "gaia-document": ("f.jsonl", gaia),
    }
    assert set(samples) == set(LOADERS)
    for name, (file, text) in samples.items():
        path = written(tmp_path, file, text)
        assert [loader.name for loader in LOADERS.values() if loader.claims(peek(path))] == [name]
        assert loader_for(path).name == name


def without(record: dict[str, Any], field: str) -> dict[str, Any]:
    """Return the record without one of its fields."""
    return {key: value for key, value in record.items() if key != field}


@pytest.mark.parametrize(
    ("name", "text", "place"),
    [
        ("a.json", json.dumps([HOTPOT, without(HOTPOT, "answer")], indent=1), f"line {SECOND_RECORD}, answer:"),
        ("a.json", json.dumps([{**HOTPOT, "context": [["Lund", "text"]]}]), "line 1, context.0.1:"),
        ("a.json", json.dumps([{**HOTPOT, "supporting_facts": [["Oslo", 0]]}]), "line 1, supporting_facts:"),
        ("a.json", json.dumps([HOTPOT, HOTPOT]), "line 1, id:"),
        ("a.json", json.dumps([HOTPOT])[:-1], "line 1, line:"),
        ("a.json", json.dumps([HOTPOT, HOTPOT])[:-30], "line 1, line:"),
        ("a.json", json.dumps([{**HOTPOT, "answer": " "}]), "line 1, answer:"),
        ("b.json", json.dumps([{**TWO_WIKI, "evidences": [["a", "b"]]}]), "line 1, evidences.0.2:"),
        ("c.jsonl", lines(MUSIQUE, {**MUSIQUE, "paragraphs": [{"idx": "0"}]}), "line 2, paragraphs.0.idx:"),
        ("c.jsonl", lines({**MUSIQUE, "question_decomposition": [{"paragraph_support_idx": 9}]}), "line 1, question_d"),
        ("c.jsonl", lines({**MUSIQUE, "answerable": False}), "line 1, line:"),
        ("metadata.jsonl", lines(GAIA, {**GAIA, "Final answer": "?"}), "line 2, Final answer:"),
        ("metadata.jsonl", lines({**GAIA, "Level": 4}), "line 1, Level:"),
        ("metadata.jsonl", lines({**GAIA, "file_name": "../../etc/passwd"}), "line 1, file_name:"),
        ("d.jsonl", lines({**SHARDED, "items": [{"shard": 0}]}), "line 1, items.0.question:"),
        ("d.jsonl", lines(SHARDED) + "{", "line 2, line:"),
    ],
)
def test_a_bad_record_is_reported_by_file_line_and_field(tmp_path: Path, name: str, text: str, place: str) -> None:
    """One clear line tells the user where to look."""
    written(tmp_path, "list.txt", "an egg")
    path = written(tmp_path, name, text)
    with pytest.raises(ConfigError) as caught:
        load_document(path)
    assert str(caught.value).startswith(f"{path}, {place}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("questions", "problem"),
    [
        (None, r"notes\.questions\.jsonl: expected a readable"),
        (lines({**TEXT_QUESTION, "fragments": ["Oslo"]}), r"questions\.jsonl, line 1, fragments: .*'Oslo'"),
        (lines({**TEXT_QUESTION, "anser": "x"}), r"questions\.jsonl, line 1, anser:"),
        ("", r"notes\.md, line 1, line: expected at least one question"),
    ],
)
def test_a_question_file_is_checked_as_well(tmp_path: Path, questions: str | None, problem: str) -> None:
    """Text without questions is no workload; a title that no part has is a mistake."""
    if questions is not None:
        written(tmp_path, "notes.questions.jsonl", questions)
    with pytest.raises(ConfigError, match=problem):
        load_document(written(tmp_path, "notes.md", TEXT))


def test_an_unknown_format_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    """The message lists the formats and what was found instead."""
    with pytest.raises(ConfigError, match=r"hotpotqa.*got a first record with the keys colour, size"):
        load_document(written(tmp_path, "x.json", '[{"size": 1, "colour": 2}]'))


def test_text_that_is_not_utf_8_is_reported(tmp_path: Path) -> None:
    """The line with the first bad byte is named."""
    path = tmp_path / "notes.md"
    path.write_bytes(b"# A\n\nfine\nb\xe9d\n")
    with pytest.raises(ConfigError, match="line 4, line: expected UTF-8"):
        load_document(path)
