"""A comparison as it is committed: plan, compressed journals, results; whoever has it can compute all of it again."""

import json
import lzma
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import yaml

from orchestrator import journal, report
from orchestrator.compare import files, plan, result
from orchestrator.compare.plan import Plan
from orchestrator.compare.state import ASIDE, RUNS, scan
from orchestrator.run_dir import SCENARIO_FILE, write_atomically
from orchestrator.scenario import Output
from protocols.errors import ConfigError, LabError

PREFIX = "compare-"
_JOURNAL = f"{journal.MERGED_FILE}.xz"
_NOT_OF_THE_JOURNAL = ("prometheus", "checks")
"""What a Prometheus added to the results of a run; an example goes without."""
_FEW = 4
_SECRETS = (b"PRIVATE KEY", b"Authorization:", b"api_key")


def folder_of(planned: Plan, examples: Path) -> Path:
    """Where the example of a comparison belongs; its name tells local processes from containers."""
    return examples / f"{PREFIX}{planned.runtime}-{planned.comparison_id}"


def export(root: Path, target: Path) -> list[str]:
    """Make an example in ``target`` of the comparison in ``root``, finished or not, whole or not at all.

    It has the plan, the merged journal of each run, and what this checkout computes from them; no workspace, no key, no
    page. Returns the names of the runs whose stored results were computed by other code. Raises ConfigError when
    ``target`` is there already, LabError when nothing has finished or a journal holds what must not be published.
    """
    if target.exists():
        raise ConfigError(f"--out: expected a new folder, got {target}; remove it, or name another")
    planned = plan.load(root)
    state = scan(planned, root)
    fresh = target.with_name(f".{target.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        (fresh / RUNS).mkdir(parents=True)
        plan.save(planned.model_copy(update={"base": _anywhere(planned.base)}), fresh)
        runs = list(state.done.values())
        contents = _each(_keep, [(run.path, fresh / RUNS / run.path.name) for run in runs])
        _keep_aside(root, fresh)
        files.write_numbers(_computed(fresh), fresh)
        fresh.rename(target)
    except OSError as error:
        raise LabError(f"expected to write {target}, got: {error.strerror}; make room or fix its rights") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return [
        run.path.name
        for run, content in zip(runs, contents, strict=True)
        if differences(_comparable(run.content), _comparable(content))
    ]


def _keep(paths: tuple[Path, Path]) -> Mapping[str, Any]:
    """Copy one run as far as it is published; returns its results."""
    source, target = paths
    target.mkdir()
    merged = journal.kept(source) or journal.merge(source)
    with lzma.open(target / _JOURNAL, "wb", preset=9) as file:
        for line in _publishable(merged):
            file.write(line + b"\n")
    content = report.recompute(target).content
    write_atomically(target / report.METRICS_FILE, report.to_json(content))
    return content


def _keep_aside(root: Path, fresh: Path) -> None:
    """That a run was stopped and made again is told by the scenario it left, and needs no more."""
    for path in sorted((root / ASIDE).glob(f"*/{SCENARIO_FILE}")):
        folder = fresh / ASIDE / path.parent.name
        folder.mkdir(parents=True)
        scenario = _anywhere(yaml.safe_load(path.read_text("utf-8")))
        write_atomically(folder / SCENARIO_FILE, yaml.safe_dump(scenario, sort_keys=False, allow_unicode=True))


def _publishable(merged: Path) -> Iterator[bytes]:
    """The lines of a journal without the paths of this machine; raises LabError for what may be a secret."""
    here = os.fsencode(Path.cwd())
    for line in journal.load(merged).lines():
        text = line.text
        if any(secret in text for secret in _SECRETS):
            raise LabError(f"expected no secret in {merged}, got one in a line {line.event['ev']}; do not publish it")
        if line.event["ev"] == "run_start":
            event = {**line.event, "scenario": _anywhere(line.event["scenario"])}
            text = json.dumps(event, separators=(",", ":")).encode()
        yield text.replace(here + b"/", b"")


def _anywhere(scenario: Any) -> dict[str, Any]:
    """A scenario without where its files went; no part of what was measured."""
    return {**scenario, "output": Output().model_dump(mode="json")}


def check(example: Path) -> Mapping[str, Any]:
    """Compute everything in an example again from its journals and return the comparison.

    Raises LabError when a stored result, or the stored comparison, is not what comes out.
    """
    paths = sorted(path for path in (example / RUNS).iterdir() if path.is_dir())
    for path, content in zip(paths, _each(_content, paths), strict=True):
        _same(json.loads((path / report.METRICS_FILE).read_bytes()), content, path)
    comparison = _computed(example)
    _same(stored(example), comparison, example)
    return comparison


def stored(example: Path) -> Mapping[str, Any]:
    """The comparison as it is written in an example; raises LabError."""
    try:
        found: Mapping[str, Any] = json.loads((example / files.RESULT_FILE).read_bytes())
    except (OSError, ValueError) as error:
        raise LabError(
            f"expected {files.RESULT_FILE} in {example}, got: {error}; export the comparison again"
        ) from error
    return found


def recompute(example: Path) -> None:
    """Write the results of an example anew, from its journals by this checkout's code."""
    paths = sorted(path for path in (example / RUNS).iterdir() if path.is_dir())
    for path, content in zip(paths, _each(_content, paths), strict=True):
        write_atomically(path / report.METRICS_FILE, report.to_json(content))
    files.write_numbers(_computed(example), example)


def _content(run_dir: Path) -> Mapping[str, Any]:
    return report.recompute(run_dir).content


def _computed(example: Path) -> dict[str, Any]:
    planned = plan.load(example)
    return result.build(planned, example, scan(planned, example))


def _each(work: Any, tasks: Sequence[Any]) -> list[Mapping[str, Any]]:
    """In as many processes as there are processors, where it pays: a journal takes seconds."""
    if len(tasks) <= _FEW:
        return [work(task) for task in tasks]
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        return list(pool.map(work, tasks))


def _same(kept: Any, computed: Any, place: Path) -> None:
    # Through JSON, where a tuple is a list.
    wrong = differences(kept, json.loads(json.dumps(computed)))
    if wrong:
        shown = ", ".join(wrong[:3]) + (f" and {len(wrong) - 3} more" if len(wrong) > 3 else "")  # noqa: PLR2004
        raise LabError(
            f"expected the stored results in {place} to follow from the journals, got others in {shown}; "
            f"if the metrics were changed on purpose: make figures ARGS=--recompute"
        )


def differences(one: Any, other: Any, place: str = "") -> list[str]:
    """The dotted keys in which two JSON values differ."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        keys = sorted(one.keys() | other.keys())
        return [
            name
            for key in keys
            for name in differences(one.get(key), other.get(key), f"{place}.{key}" if place else str(key))
        ]
    return [] if one == other else [place]


def _comparable(content: Mapping[str, Any]) -> Any:
    """Results without what does not come from the journal, and without where the files went."""
    kept = {key: value for key, value in content.items() if key not in _NOT_OF_THE_JOURNAL}
    return json.loads(json.dumps({**kept, "scenario": _anywhere(kept["scenario"])}))
