"""A Gaia document survives its file, and a bad file is reported by line and field."""

import random
from pathlib import Path

import pytest

from orchestrator.seeds import stream
from orchestrator.workload.document import (
    GaiaDocument,
    GeneratorParameters,
    write_document,
)
from orchestrator.workload.generator import generate
from orchestrator.workload.loaders import load_document
from protocols.errors import ConfigError

SAMPLE = Path(__file__).parents[2] / "docs" / "gaia_document.jsonl"


def made(seed: int, fragment_count: int = 96, question_count: int = 200) -> GaiaDocument:
    """Generate a document from its seed."""
    parameters = GeneratorParameters(seed=seed, fragment_count=fragment_count, question_count=question_count)
    return generate(parameters, random.Random(seed))


_HEADER = '{"format":"gaia-document","version":1,"fragment_count":1,"question_count":1}'


_FRAGMENT = '{"fragment_id":"f-1","title":"Karsund","text":"Karsund lies on the Nive River."}'


_QUESTION = (
    '{"question_id":"q-1","question":"On which river lies Karsund?","answer":"Nive River","fragments":["f-1"],"hops":1}'
)


def test_a_document_survives_the_file(tmp_path: Path) -> None:
    """What is written is what is read, to the byte."""
    document, path = made(3), tmp_path / "gaia.jsonl"
    write_document(document, path)
    assert load_document(path) == document
    write_document(load_document(path), tmp_path / "again.jsonl")
    assert path.read_bytes() == (tmp_path / "again.jsonl").read_bytes()


def test_the_sample_document_is_of_the_generators_making() -> None:
    """The committed sample is small and can be made again from its own header."""
    document = load_document(SAMPLE)
    parameters = document.header.generator
    assert parameters is not None
    assert document == generate(parameters, stream(parameters.seed, "document"))
    assert SAMPLE.stat().st_size < 60_000


@pytest.mark.parametrize(
    ("lines", "place_of_error"),
    [
        ([], "line 1, line:"),
        ([_HEADER.replace("gaia-document", "csv"), _FRAGMENT, _QUESTION], "line 1, format:"),
        ([_HEADER, "{", _QUESTION], "line 2, line:"),
        ([_HEADER, "[" * 100_000, _QUESTION], "line 2, line:"),
        ([_HEADER, "7", _QUESTION], "line 2, line:"),
        ([_HEADER, _FRAGMENT.replace("text", "texd"), _QUESTION], "line 2, text:"),
        ([_HEADER, _FRAGMENT.replace('"Karsund"', "7"), _QUESTION], "line 2, title:"),
        ([_HEADER, _FRAGMENT.replace('"}', '","key":"x"}'), _QUESTION], "line 2, key:"),
        ([_HEADER, _FRAGMENT, _FRAGMENT, _QUESTION], "line 3, fragment_id:"),
        ([_HEADER, _FRAGMENT, _FRAGMENT.replace("f-1", "f-2"), _QUESTION], "line 3, title:"),
        ([_HEADER, _FRAGMENT, _QUESTION.replace('"f-1"', '"f-9"')], "line 3, fragments:"),
        ([_HEADER, _FRAGMENT, _QUESTION.replace('"f-1"', "")], "line 3, fragments:"),
        ([_HEADER, _FRAGMENT, _QUESTION.replace(":1}", ':"1"}')], "line 3, hops:"),
        ([_HEADER, _FRAGMENT, _QUESTION, _QUESTION], "line 4, question_id:"),
        ([_HEADER, _FRAGMENT], "line 1, question_count:"),
        ([_HEADER, _FRAGMENT, _FRAGMENT.replace("f-1", "f-2").replace('"Karsund"', '"K"'), _QUESTION], "line 1, fragm"),
    ],
)
def test_a_bad_document_is_reported_by_file_line_and_field(
    tmp_path: Path, lines: list[str], place_of_error: str
) -> None:
    """One clear line tells the user where to look."""
    path = tmp_path / "bad.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_document(path)
    assert str(caught.value).startswith(f"{path}, {place_of_error}")
    assert "\n" not in str(caught.value)


def test_a_document_that_is_no_text_or_no_file_is_reported(tmp_path: Path) -> None:
    """Bytes that are not UTF-8, a folder and a missing file are the user's error, not a traceback."""
    binary = tmp_path / "binary.jsonl"
    binary.write_bytes(_HEADER.encode() + b"\n\xff\xfe\x00")
    for path, problem in ((binary, "line 2"), (tmp_path, "directory"), (tmp_path / "none", "No such file")):
        with pytest.raises(ConfigError, match=problem):
            load_document(path)


def test_an_unwritable_path_is_reported(tmp_path: Path) -> None:
    """A document cannot be written over a folder."""
    with pytest.raises(ConfigError, match="expected to write"):
        write_document(made(1, 10, 5), tmp_path)
