"""The commands ``export``, which makes a committed example, and ``figures``, which fills the documents from them."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from protocols.errors import ConfigError

EXAMPLES = Path("examples")


def add_to(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add both commands to the orchestrator's command line."""
    export = commands.add_parser("export", help="make a committed example of a comparison", allow_abbrev=False)
    export.add_argument("comparison", type=Path, metavar="FOLDER", help="such as results/compare-ID")
    export.add_argument("-o", "--out", type=Path, metavar="FOLDER", help="default: examples/compare-RUNTIME-ID")
    export.set_defaults(handler=_export)
    figures = commands.add_parser("figures", help="tables and figures of the documentation", allow_abbrev=False)
    figures.add_argument("--examples", type=Path, default=EXAMPLES, metavar="FOLDER", help=f"default: {EXAMPLES}")
    figures.add_argument("--checkout", type=Path, default=Path(), metavar="FOLDER", help="whose documents are filled")
    figures.add_argument("--recompute", action="store_true", help="take the results that this code finds")
    figures.add_argument("--scaled", action="store_true", help="runs under 120 s too, to try it out; never to commit")
    figures.set_defaults(handler=_figures)


def _export(options: argparse.Namespace, _: Mapping[str, str]) -> int:
    from orchestrator.compare import plan  # noqa: PLC0415 - drawing libraries, for these commands alone
    from orchestrator.published import example  # noqa: PLC0415

    target: Path = options.out or example.folder_of(plan.load(options.comparison), EXAMPLES)
    changed = example.export(options.comparison, target)
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    runs = sum(1 for _ in target.glob("runs/*"))
    _say(f"{target}: {runs} runs, {size / 1e6:.1f} MB")
    if changed:
        _say(f"{len(changed)} of {runs} runs had results of other code; here they are computed anew: {changed[0]} ...")
    return 0


def _figures(options: argparse.Namespace, _: Mapping[str, str]) -> int:
    from orchestrator.published import blocks, example  # noqa: PLC0415

    found = []
    for folder in sorted(path for path in options.examples.glob(f"{example.PREFIX}*") if path.is_dir()):
        _say(f"computing {folder} from its journals")
        if options.recompute:
            example.recompute(folder)
        comparison = example.check(folder)
        if comparison["scaled"] and not options.scaled:
            raise ConfigError(f"expected runs of 120 s in {folder}, got shorter ones, which are for no published table")
        found.append(blocks.Example(EXAMPLES / folder.name, comparison))
    if not found:
        _say(f"no comparison in {options.examples}; make one with: make example COMPARISON=results/compare-ID")
    for path in blocks.write(found, options.checkout):
        _say(f"written: {path}" if path.exists() else f"removed: {path}")
    return 0


def _say(line: str) -> None:
    Console().print(line, markup=False, highlight=False, soft_wrap=True)
