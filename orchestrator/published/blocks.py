"""The parts of the documentation that follow from the committed examples, and the marks between which they stand."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.compare import table, words
from orchestrator.marks import filled, read
from orchestrator.published import pictures
from orchestrator.run_dir import write_atomically

README, DOCUMENT, PICTURES = Path("README.md"), Path("docs/comparison.md"), Path("docs/figures")
RUNTIMES: Mapping[str, str] = {"local": "On local processes", "docker": "In containers"}
"""Where the agents of an example lived; results of the two share no table."""


class Example(NamedTuple):
    """A committed comparison: its folder, seen from the root of the checkout, and its content."""

    folder: Path
    comparison: Mapping[str, Any]

    def drawn(self, mode: str) -> Iterator[tuple[str, str, str]]:
        """(file name, what it shows, SVG) of each picture of one detector mode."""
        for kind, shows, svg in (
            ("runs", "each run, median and 95 % interval", pictures.spreads(self.comparison, mode)),
            ("waiting", "share of runs that still waited", pictures.survivals(self.comparison, mode)),
        ):
            if svg is not None:
                yield f"{self.folder.name}-{mode}-{kind}.svg", shows, svg

    @property
    def runtime(self) -> str:
        """``local`` or ``docker``."""
        found: str = self.comparison["runtime"]
        return found


def write(examples: Sequence[Example], checkout: Path) -> list[Path]:
    """Write every block and every picture; returns the files that changed. Raises ConfigError without the marks."""
    texts = dict(rendered(examples))
    wanted = {checkout / PICTURES / name: text for name, text in _pictures(examples)}
    for document, block in ((README, "comparison"), *((DOCUMENT, f"comparison-{runtime}") for runtime in RUNTIMES)):
        path = checkout / document
        wanted[path] = filled(wanted.get(path) or read(path), block, texts[block], document)
    changed = [path for path, text in wanted.items() if not path.exists() or path.read_text("utf-8") != text]
    for path in changed:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, wanted[path])
    stale = [path for path in sorted((checkout / PICTURES).glob("*.svg")) if path not in wanted]
    for path in stale:
        path.unlink()
    return [*changed, *stale]


def rendered(examples: Sequence[Example]) -> Iterator[tuple[str, str]]:
    """(block, text) of all blocks."""
    yield "comparison", "\n\n".join(_short(runtime, examples) for runtime in RUNTIMES)
    for runtime in RUNTIMES:
        yield f"comparison-{runtime}", _long(runtime, examples)


def _of(runtime: str, examples: Sequence[Example]) -> list[Example]:
    return [example for example in examples if example.runtime == runtime]


def _none(runtime: str) -> str:
    return f"{RUNTIMES[runtime]}: no comparison is committed yet."


def _short(runtime: str, examples: Sequence[Example]) -> str:
    """The specification's tables of the newest example, a detector mode a table."""
    found = _of(runtime, examples)
    if not found:
        return _none(runtime)
    example = found[-1]
    folder, comparison = example
    parts = [f"{RUNTIMES[runtime]}, from the journals in [`{folder}`]({folder}):", *_cautions(comparison)]
    for mode in comparison["modes"]:
        parts += [f"Detector mode `{mode}`", table.specification(comparison, mode).strip()]
        seen = next(example.drawn(mode), None)
        if seen is not None:
            parts.append(f"![Detector mode {mode}: {seen[1]}](docs/figures/{seen[0]})")
    return "\n\n".join(parts)


def _long(runtime: str, examples: Sequence[Example]) -> str:
    found = _of(runtime, examples)
    return "\n\n".join(_whole(example) for example in found) if found else _none(runtime)


def _whole(example: Example) -> str:
    folder, comparison = example
    count = f"{comparison['finished']} of {comparison['planned']} planned runs"
    parts = [
        f"### {comparison['comparison_id']}",
        f"{count}; plan, journals, results and the table of all metrics: [`{folder}`](../{folder}).",
        *_cautions(comparison),
    ]
    for mode in comparison["modes"]:
        parts += [f"#### Detector mode `{mode}`", table.specification(comparison, mode).strip()]
        parts += [f"![Detector mode {mode}: {shows}](figures/{name})" for name, shows, _ in example.drawn(mode)]
        parts += [f"Against {comparison['reference']}:", "\n".join(table.tests(comparison, mode))]
    excluded = [f"- {run['name']}: {run['excluded']}" for run in comparison["runs"] if run["excluded"]]
    if excluded:
        parts += ["Runs that count for nothing:", "\n".join(excluded)]
    return "\n\n".join(parts)


def _cautions(comparison: Mapping[str, Any]) -> list[str]:
    found = words.cautions(comparison)
    return ["\n".join(f"- {caution}" for caution in found)] if found else []


def _pictures(examples: Sequence[Example]) -> Iterator[tuple[str, str]]:
    for example in examples:
        for mode in example.comparison["modes"]:
            yield from ((name, svg) for name, _, svg in example.drawn(mode))
