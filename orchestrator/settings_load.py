"""Builds a Scenario out of files and flags; every complaint names the key, where it stands, and what would do."""

import difflib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from agent.settings import KEY_VARIABLE
from orchestrator import topology_file
from orchestrator.scenario import Scenario
from orchestrator.topology_file import SUFFIXES
from protocols.errors import ConfigError

KeyPath = tuple[str, ...]
_SCENARIO_FOLDER = "scenarios"
_HIDDEN_SECTION = "llm"
"""No value from here is ever repeated in a message."""
_METRICS: KeyPath = ("expect",)
"""The one section whose keys are free."""
_SHOWN_CHARACTERS = 60


@dataclass(frozen=True)
class Layer:
    """Values from one place (a file, a flag); a later layer wins over an earlier one, key by key."""

    place: str
    values: Mapping[str, object]


def read_file(path: Path) -> Layer:
    """Read one YAML file; raises ConfigError when it cannot be read or is no mapping."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"{path}: expected a file with a scenario, got: {error.strerror}; "
            f"run from the checkout, or name the file with --config"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        # Not the error's own text: it quotes the line, which may hold a key.
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(f"{path}: expected YAML in UTF-8, got something else{where}; correct the file") from None
    if content is None:
        return Layer(str(path), {})
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected sections such as `scenario:`, got {_show(content)}; see config.yaml")
    return Layer(str(path), content)


def read_named(name: str, config: Path) -> Layer:
    """Read ``scenarios/NAME.yaml`` beside ``config``; raises ConfigError with the choices for an unknown name."""
    folder = config.parent / _SCENARIO_FOLDER
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    if name not in known:
        raise ConfigError(
            f"--scenario: expected one of {', '.join(known) or 'nothing'} (files of {folder}), got {name!r}"
            f"{_did_you_mean(name, known)}"
        )
    return read_file(folder / f"{name}.yaml")


def flag_layer(flag: str, key: str, value: object) -> Layer:
    """Make the layer of one flag that sets ``key``, a dotted path."""
    first, *rest = key.split(".")
    for part in reversed(rest):
        value = {part: value}
    return Layer(flag, {first: value})


def read_value(flag: str, text: str) -> object:
    """Read the YAML value of a flag; raises ConfigError when it is none."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"{flag}: expected a YAML value such as 8, 0.3 or auto, got something else") from None


def build(layers: Sequence[Layer], environ: Mapping[str, str] = os.environ) -> Scenario:
    """Merge ``layers`` over the defaults and validate the result; raises ConfigError with one line."""
    merged: dict[str, Any] = {}
    places: dict[KeyPath, str] = {}
    for layer in layers:
        _merge(merged, layer.values, layer.place, (), places)
    _read_topology(merged, places)
    model = _at(merged, ("llm", "model"))
    if isinstance(model, dict) and model.get("type") == "openai" and KEY_VARIABLE in environ:
        model["openai_api_key"] = environ[KEY_VARIABLE]
    try:
        # Strict: YAML has types of its own, and a quoted number or a `yes` is more likely a mistake than a wish.
        return Scenario.model_validate(merged, strict=True)
    except ValidationError as error:
        # Without the cause: pydantic's own text may hold values that are nobody's business.
        raise ConfigError(_complain(error, merged, places)) from None


def _read_topology(merged: dict[str, Any], places: dict[KeyPath, str]) -> None:
    """Put the edges in the place of a path, so that the scenario stands for itself wherever it is read."""
    storm = merged.get("scenario")
    named = storm.get("topology") if isinstance(storm, dict) else None
    if isinstance(storm, dict) and isinstance(named, str) and named.endswith(SUFFIXES):
        storm |= {"topology": "file", "edges": topology_file.read(Path(named))}
        places["scenario", "edges"] = named


def _merge(
    base: dict[str, Any], over: Mapping[Any, object], place: str, path: KeyPath, places: dict[KeyPath, str]
) -> None:
    for raw, value in over.items():
        key = str(raw)
        here = (*path, key)
        places[here] = place
        if isinstance(value, dict):
            if not isinstance(base.get(key), dict):
                base[key] = {}
            _merge(base[key], value, place, here, places)
        elif value is None and (_fields(here) or here == _METRICS):
            # A section whose keys are all commented out.
            base.setdefault(key, {})
        else:
            base[key] = value


def _complain(error: ValidationError, merged: Mapping[str, Any], places: Mapping[KeyPath, str]) -> str:
    problems = error.errors(include_url=False, include_input=False)
    first = problems[0]
    path = _key_path(first["loc"])
    place = next((places[path[:end]] for end in range(len(path), 0, -1) if path[:end] in places), "defaults")
    dotted = _dotted(path)
    # A union reports one problem per member; what counts for the user is the key.
    others = len({_key_path(problem["loc"]) for problem in problems}) - 1
    more = f" (and {others} more)" if others else ""
    if first["type"] == "extra_forbidden":
        return f"{place}: unknown key {dotted}{_nearest(path)}{more}"
    if first["loc"][-1] == "[key]":
        return f"{place}: expected the name of a metric, got {dotted!r}; write lower case, digits, _ and dots{more}"
    field = _fields(path[:-1]).get(path[-1])
    wanted = (field.description if field else None) or first["msg"].removeprefix("Input should be ")
    if _fields(path) and not _is_list(path):
        wanted = "a section with keys of its own"
    came = "a hidden value" if path[0] == _HIDDEN_SECTION and path[-1] != "type" else _show(_at(merged, path))
    return f"{place}: {dotted}: expected {wanted}, got {came}; correct it, or leave it out for the default{more}"


def _key_path(loc: Sequence[int | str]) -> KeyPath:
    """Strip what pydantic appends for members of unions and for the keys of mappings."""
    path: KeyPath = ()
    for part in map(str, loc):
        if path and path != _METRICS and not _fields(path):
            break
        path = (*path, part)
    return path


def _fields(path: KeyPath) -> dict[str, FieldInfo]:
    """The fields of the section at ``path`` by the names a user writes; none when there is no section."""
    model: type[BaseModel] = Scenario
    listed = False
    for part in path:
        if listed and part.isdecimal():
            listed = False
            continue
        annotation = _named(model)[part].annotation if part in _named(model) else None
        listed = get_origin(annotation) is tuple
        if listed:
            annotation = get_args(annotation)[0]
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return {}
        model = annotation
    return _named(model)


def _is_list(path: KeyPath) -> bool:
    """Whether the key at ``path`` holds several sections."""
    field = _fields(path[:-1]).get(path[-1])
    return field is not None and get_origin(field.annotation) is tuple


def _named(model: type[BaseModel]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _all_keys(path: KeyPath = ()) -> Iterator[KeyPath]:
    for name in _fields(path):
        yield (*path, name)
        yield from _all_keys((*path, name))


def _dotted(path: KeyPath) -> str:
    """The path as a user reads it: the first entry of a list is number 1, as in every other message."""
    return ".".join(str(int(part) + 1) if part.isdecimal() else part for part in path)


def _nearest(path: KeyPath) -> str:
    siblings = list(_fields(path[:-1]))
    near = difflib.get_close_matches(path[-1], siblings, n=1)
    if near:
        return f"; did you mean {_dotted((*path[:-1], near[0]))}?"
    # The right key in the wrong section.
    everywhere = {key[-1]: key for key in _all_keys()}
    near = difflib.get_close_matches(path[-1], list(everywhere), n=1, cutoff=0.7)
    if near:
        return f"; did you mean {'.'.join(everywhere[near[0]])}?"
    return f"; expected one of {', '.join(siblings)}"


def _did_you_mean(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _at(values: Mapping[str, Any], path: KeyPath) -> object:
    found: object = values
    for part in path:
        if isinstance(found, list) and part.isdecimal():
            found = found[int(part)]
        else:
            found = found.get(part) if isinstance(found, dict) else None
    return found


def _show(value: object) -> str:
    if isinstance(value, dict):
        return "a section"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "nothing"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
