"""Carries out a plan, run by run, from wherever it was left; a run that was stopped half way counts for nothing."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from orchestrator.compare.plan import Plan, Slot
from orchestrator.compare.progress import Display
from orchestrator.compare.state import State, scan, set_aside
from protocols.errors import ConfigError, LabError

EXIT_CONFIG = 2
ATTEMPTS = 3
"""How often one slot is tried in one go when its runs leave no results."""


class Plays(Protocol):
    """What starts a run; see :class:`orchestrator.compare.player.Player`."""

    def play(self, slot: Slot, tick: Callable[[], None]) -> int:
        """Run it to its end, and return its exit code."""

    def last_line(self, slot: Slot) -> str:
        """The last thing it printed."""


def conduct(plan: Plan, root: Path, player: Plays, display: Display) -> State:
    """Play every slot that has no finished run, in the order of the plan, and return what there is then.

    A run with results is never played again, whatever its verdict. One without is set aside, and its slot tried again,
    at most ``ATTEMPTS`` times; then the slot stays open. Raises ConfigError when a run is refused, and LabError when
    one finishes that is none of the plan's, or none of any protocol does.
    """
    attempts: Counter[Slot] = Counter()
    begun_with = len(scan(plan, root).done)
    while True:
        state = scan(plan, root)
        if len(state.done) == begun_with and {slot.arm for slot in attempts} == set(plan.arms):
            last = next(reversed(attempts))
            raise LabError(
                f"expected results, but {attempts.total()} runs of every protocol left none, the last one, "
                f"{last.name}, with: {player.last_line(last)}; see consoles/ in {root}"
            )
        for path in state.half:
            display.say(f"{path.name} was stopped half way: set aside as {set_aside(root, path).name}")
        slot = next((slot for slot in state.open(plan) if attempts[slot] < ATTEMPTS), None)
        if slot is None:
            return state
        attempts[slot] += 1
        _play(plan, root, player, display, slot, state)


def _play(plan: Plan, root: Path, player: Plays, display: Display, slot: Slot, before: State) -> None:
    display.begin(slot, before.done)
    code = player.play(slot, lambda: display.tick(slot, before.done))
    after = scan(plan, root)
    if slot in after.done:
        display.end(slot, after.done[slot])
        return
    if code == EXIT_CONFIG:
        raise ConfigError(f"{slot.name} was refused: {player.last_line(slot)}")
    for path, reason in after.foreign[len(before.foreign) :]:
        raise LabError(f"expected {path.name} to be {slot.name}, got another: {reason}; start a new comparison")
    display.say(f"{slot.name}: no results (exit code {code}): {player.last_line(slot)}")
