"""When each agent was struck, by whatever fault, from what chaos recorded."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from orchestrator.events.conductor import AgentLost, FaultCall, HealCall, HealDone, KillCall


@dataclass(frozen=True)
class Outage:
    """When an agent was struck, in seconds since T0: dead, or alive without a word.

    Between ``healing`` and ``end`` it is being restarted or healed, and holding it for dead or alive is right either
    way. Of a fault that only weakens its victim this holds from the ``begin`` on.
    """

    begin: float
    healing: float = inf
    end: float = inf
    fatal: bool = True
    """Its process ended; otherwise it went on from where it stood."""
    since: float = 0.0
    """First call of the wave of blows that it belongs to; what is noticed or repaired is counted from here."""

    @property
    def weak(self) -> bool:
        """Its victim was there all the time, only worse."""
        return self.healing == self.begin


def outages_of(
    kills: Iterable[KillCall],
    faults: Iterable[FaultCall],
    healings: Sequence[HealCall],
    healed: Sequence[HealDone],
    lost: Iterable[AgentLost],
) -> dict[str, tuple[Outage, ...]]:
    """Outages by agent, each in the order of time; of rows with rebased times, in that order."""
    calls: list[KillCall | FaultCall] = sorted([*kills, *faults], key=lambda row: row.t)
    waves: dict[int, float] = {}
    for call in calls:
        waves.setdefault(call.wave, call.t)
    outages: dict[str, list[Outage]] = {}
    for call in calls:
        own = outages.setdefault(call.victim, [])
        if own and call.t < own[-1].end:
            continue  # struck already
        effect = call.effect if isinstance(call, FaultCall) else "ends"
        end = _first(healed, call)
        healing = call.t if effect == "weakens" else min(_first(healings, call), end)
        own.append(Outage(call.t, healing, end, effect == "ends", waves[call.wave]))
    for loss in lost:
        own = outages.setdefault(loss.victim, [])
        if not own or own[-1].end <= loss.t:
            own.append(Outage(loss.t))
    return {node: tuple(found) for node, found in outages.items()}


def death(outages: Mapping[str, Sequence[Outage]], node: str, life: int) -> Outage | None:
    """The outage that ended this life of the process, the first being 0; None when it lived to the end."""
    fatal = [outage for outage in outages.get(node, ()) if outage.fatal]
    return fatal[life] if life < len(fatal) else None


def _first(rows: Iterable[HealCall | HealDone], call: KillCall | FaultCall) -> float:
    """The time of the first of ``rows`` about the victim of ``call`` after it; infinite when there is none."""
    return next((row.t for row in rows if row.victim == call.victim and row.t >= call.t), inf)
