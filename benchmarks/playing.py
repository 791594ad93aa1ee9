"""Plays a plan of storms for a benchmark, with the machinery of ``make compare``: resumable, no run twice."""

from pathlib import Path

from rich.console import Console

from orchestrator.compare import files
from orchestrator.compare import plan as plans
from orchestrator.compare.conduct import conduct
from orchestrator.compare.plan import Plan
from orchestrator.compare.player import Player
from orchestrator.compare.progress import Display
from orchestrator.compare.state import State, scan
from protocols.clock import MonotonicClock


def play(plan: Plan, root: Path, console: Console) -> State:
    """Run in the folder ``root`` what is missing of ``plan``; returns what there is then. Raises FailstormError."""
    root.mkdir(parents=True, exist_ok=True)
    plans.save(plan, root)
    state = scan(plan, root)
    with files.locked(root, console.print) as held, Display(plan, console, MonotonicClock()) as display:
        return conduct(plan, root, Player(plan, root, held), display) if state.open(plan) else state
