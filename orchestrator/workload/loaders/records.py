"""Reads validated records out of JSON files; whatever is wrong is reported by file, line and field."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from protocols.errors import ConfigError

RecordT = TypeVar("RecordT", bound=BaseModel)


class Record(BaseModel):
    """Base of the records of published formats, which may hold more than is needed here."""

    model_config = ConfigDict(frozen=True, extra="ignore")


def problem(path: Path, line: int, field: str, what: str) -> ConfigError:
    """The error for one field in one line."""
    return ConfigError(f"{path}, line {line}, {field}: {what}; mend it or set document: generated")


def unreadable(path: Path, error: OSError) -> ConfigError:
    """The error for a file that cannot be read."""
    return ConfigError(
        f"{path}: expected a readable Gaia document, got: {error.strerror}; name another or set document: generated"
    )


def parse(path: Path, line: int, text: str | bytes, model: type[RecordT]) -> RecordT:
    """Validate one JSON record, strictly; raises ConfigError."""
    try:
        return model.model_validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "line"
        raise problem(path, line, field, f"expected a {model.__name__}, got: {first['msg']}") from error


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that are not blank, each with its number; raises ConfigError when the file cannot be read."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, line
    except OSError as error:
        raise unreadable(path, error) from error


def read_text(path: Path) -> str:
    """The whole file as UTF-8; raises ConfigError."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise unreadable(path, error) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise problem(path, line, "line", f"expected UTF-8, got: {error.reason}") from error


def json_lines(path: Path, model: type[RecordT]) -> Iterator[tuple[int, RecordT]]:
    """Yield the records of a JSON-lines file, each with its line; raises ConfigError."""
    for number, line in read_lines(path):
        yield number, parse(path, number, line, model)


def json_array(path: Path, model: type[RecordT]) -> Iterator[tuple[int, RecordT]]:
    """Yield the records of a file that is one JSON array, each with the line where it begins; raises ConfigError."""
    text = read_text(path)
    decoder = json.JSONDecoder()
    place = _after_blanks(text, 0)
    if text[place : place + 1] != "[":
        raise problem(path, 1, "line", "expected a JSON array of records")
    place = _after_blanks(text, place + 1)
    line, counted = 1, 0
    while text[place : place + 1] != "]":
        line, counted = line + text.count("\n", counted, place), place
        try:
            _, end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError) as error:
            raise problem(path, line, "line", f"expected a JSON record, got: {error}") from error
        yield line, parse(path, line, text[place:end], model)
        place = _after_blanks(text, end)
        if text[place : place + 1] == ",":
            place = _after_blanks(text, place + 1)
        elif text[place : place + 1] != "]":
            raise problem(path, line, "line", "expected a comma or the end of the array after this record")


def _after_blanks(text: str, place: int) -> int:
    while text[place : place + 1] in (" ", "\t", "\r", "\n"):
        place += 1
    return place
