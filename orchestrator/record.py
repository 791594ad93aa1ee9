"""The command ``record``: collects what a language model answered in a run, so that another can replay it."""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from agent.models.replay import Recorded, read_recording
from orchestrator.workload.document import write_lines
from protocols.errors import ConfigError


def add_to(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add the command to the orchestrator's command line."""
    parser = commands.add_parser("record", help="keep a model's answers for replay", allow_abbrev=False)
    parser.add_argument("run_dir", type=Path, metavar="RUN_DIR")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="FILE")
    parser.set_defaults(handler=_record)


def _record(options: argparse.Namespace, _: Mapping[str, str]) -> int:
    recorded = collect(options.run_dir)
    write_lines((one.model_dump_json() for one in recorded), options.out)
    console = Console()
    console.print(f"recorded {len(recorded)} answers in {options.out}; replay them with", soft_wrap=True)
    console.print(f"  --set llm.model.type=replay --set llm.model.recording={options.out}", soft_wrap=True)
    return 0


def collect(run_dir: Path) -> list[Recorded]:
    """What the agents of a run noted of their model, in the order of the tasks; raises ConfigError if it is nothing.

    A task may have been reasoned twice, by two agents; the one whose answer was committed counts.
    """
    files = sorted(run_dir.glob("workspaces/*/model.jsonl"))
    noted = [one for file in files for one in read_recording(file)]
    if not noted:
        raise ConfigError(f"expected a run whose llm.model.type is openai, got {run_dir} without a model's answers")
    committed = _committed(run_dir)
    noted.sort(key=lambda one: (one.task, (one.task, one.answer) not in committed))
    return list({one.task: one for one in reversed(noted)}.values())[::-1]


def _committed(run_dir: Path) -> frozenset[tuple[str, str | None]]:
    """(task, answer) of every answer in the agents' journals."""
    found = []
    for path in run_dir.glob("workspaces/*/journal.jsonl"):
        with path.open("rb") as file:
            found += [json.loads(line) for line in file if b'"ev":"answer"' in line and line.endswith(b"\n")]
    return frozenset((event["task"], event["answer"]) for event in found)
