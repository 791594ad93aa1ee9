"""The section ``chaos`` of a scenario: which faults come when, upon whom, how strong, and when they are called off."""

import re
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from chaos import faults, victims
from chaos.parameters import Parameters
from orchestrator.section import Section

_KILL = "kill"
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*%")
_AT = re.compile(r"kill(?:\s*\+\s*(?P<later>\d.*))?")
_DIGITS = 6
RESTART_AFTER_S = 0.5
"""How long an agent stays down in a restart that says nothing else."""


def _known_fault(name: str) -> str:
    if name not in faults.names():
        raise PydanticCustomError("fault", "one of {known}", {"known": ", ".join(faults.names())})
    return name


def _known_policy(name: str) -> str:
    if name not in victims.POLICIES:
        raise PydanticCustomError("policy", "one of {known}", {"known": ", ".join(victims.POLICIES)})
    return name


def _span(value: float | str) -> float | str:
    if isinstance(value, str) and not _PERCENT.fullmatch(value):
        raise PydanticCustomError("span", "seconds, or a share of the duration such as 10%")
    return value


def _at(value: str) -> str:
    match = _AT.fullmatch(value)
    later = match["later"] if match else None
    if match is None or (later is not None and not re.fullmatch(r"\d+(?:\.\d+)?\s*%?", later)):
        raise PydanticCustomError("at", "kill, kill+SECONDS, or kill+PERCENT% of the duration")
    return value


Span = Annotated[Annotated[float, Field(gt=0)] | str, AfterValidator(_span)]


def seconds(span: float | str, duration_s: float) -> float:
    """What a span means in a run of this length, in seconds; a percentage is a share of it."""
    if not isinstance(span, str):
        return span
    match = _PERCENT.fullmatch(span)
    share = Decimal(match[1] if match else span) / (100 if match else 1)
    return round(float(share) * (duration_s if match else 1), _DIGITS)


class VictimChoice(Section):
    """Who is hit by one entry; without a number it is ``scenario.kill_fraction`` of the agents."""

    policy: Annotated[str, AfterValidator(_known_policy)] = Field(
        default="random", description=f"one of {', '.join(victims.POLICIES)}"
    )
    fraction: float | None = Field(default=None, gt=0, lt=1, description="a share of the agents above 0 and below 1")
    count: int | None = Field(default=None, ge=1, description="a whole number of agents, 1 or more")
    tool: str | None = Field(default=None, description="the tool of the victims, for the policy tool")
    same_as: int | None = Field(
        default=None, ge=1, description="the number of an earlier entry, from 1 on, whose victims are hit again"
    )


class Entry(Section):
    """One entry of the list: one fault, once or again and again."""

    fault: Annotated[str, AfterValidator(_known_fault)] = Field(
        default=_KILL, description=f"one of {', '.join(faults.names())}"
    )
    at: Annotated[str, AfterValidator(_at)] = Field(
        default=_KILL, description="kill, kill+SECONDS, or kill+PERCENT% of the duration"
    )
    at_s: float | None = Field(default=None, gt=0, description="seconds after the start, above 0; wins over at")
    for_s: Span | None = Field(
        default=None, description="seconds until it is healed, a share of the duration such as 20%, or null for the end"
    )
    gap_s: Span | None = Field(default=None, description="seconds, or a share such as 5%, from one victim to the next")
    every_s: Span | None = Field(default=None, description="seconds, or a share such as 10%, from round to round")
    rounds: int = Field(default=1, ge=1, le=1000, description="a whole number of rounds, 1 or more")
    victims: VictimChoice = Field(default_factory=VictimChoice)
    parameters: Parameters = Field(default_factory=Parameters)

    def begin_s(self, kill_at_s: float, duration_s: float) -> float:
        """When it first comes, seconds after t0."""
        if self.at_s is not None:
            return self.at_s
        match = _AT.fullmatch(self.at)
        later = match["later"] if match else None
        return round(kill_at_s + (seconds(later, duration_s) if later else 0.0), _DIGITS)

    def healed_after_s(self, duration_s: float) -> float | None:
        """Seconds until it is healed; None for never before the end. A restart is short if nothing is said."""
        if self.for_s is not None:
            return seconds(self.for_s, duration_s)
        return RESTART_AFTER_S if self.fault == "restart" else None


class Abort(Section):
    """When the storm is called off: every fault is healed at once, and what was still to come does not come."""

    success_below: float | None = Field(
        default=None, gt=0, le=1, description="a share: the success of the last steady-state window falls below it"
    )
    alive_below: int | None = Field(
        default=None, ge=1, description="a whole number: fewer agents than that are up and not struck"
    )

    @property
    def is_set(self) -> bool:
        """Whether there is any condition."""
        return self.success_below is not None or self.alive_below is not None
