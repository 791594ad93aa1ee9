"""Who held whom for dead, and for how long, from what the agents wrote of it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import inf

from agent.membership import RESTART_STEP
from orchestrator.events.agents import Alive, Suspect
from orchestrator.outages import Outage, death


@dataclass(frozen=True)
class Suspicion:
    """``node`` holds ``peer`` for dead over [begin, end), seconds since T0."""

    node: str
    inc: int
    peer: str
    mechanism: str
    begin: float
    end: float
    """When ``node`` took it back, its process ended, or the evidence ends."""
    retracted: bool


def suspicions_of(
    begun: Iterable[Suspect], retracted: Iterable[Alive], outages: Mapping[str, tuple[Outage, ...]], end_s: float
) -> Iterator[Suspicion]:
    """Pair each suspicion with its end; a node's suspicions end with its process, not with its silence.

    What is given is in the order of time; ``end_s`` of the evidence is seconds since T0.
    """
    # The sort is stable: at one instant a suspicion comes before its retraction.
    changes: list[Suspect | Alive] = [*begun, *retracted]
    changes.sort(key=lambda row: row.t)
    held: dict[tuple[str, int, str], Suspect] = {}

    def closed(begin: Suspect, end: float, *, taken_back: bool) -> Suspicion:
        return Suspicion(begin.node, begin.inc, begin.peer, begin.mechanism, begin.t, end, taken_back)

    for row in changes:
        view = (row.node, row.inc // RESTART_STEP, row.peer)
        if isinstance(row, Suspect):
            held.setdefault(view, row)
        elif view in held:
            yield closed(held.pop(view), row.t, taken_back=True)
    for begin in held.values():
        last = death(outages, begin.node, begin.inc // RESTART_STEP)
        died = inf if last is None else last.begin
        yield closed(begin, max(begin.t, min(died, end_s)), taken_back=False)
