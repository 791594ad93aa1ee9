"""What a failure detector is: when silence becomes suspicion. Who is alive, and who tells whom, is membership's.

A detector is a pure state machine of one agent: events go in with the time of their observation, verdicts come out.
It has no clock and does no I/O, and it knows nothing of incarnations: :class:`agent.membership.Membership` hands it
only what concerns the present life of a peer.
"""

import importlib
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal, cast

from agent.settings import DetectorSettings

Mechanism = Literal["probe", "request", "tcp", "watch", "gossip"]


@dataclass(frozen=True)
class Through:
    """Ask ``helper`` to probe ``peer``."""

    peer: str
    helper: str


@dataclass(frozen=True)
class Accuse:
    """``peer`` is doubted by the agent ``by``, which others are to know; it is not held for dead yet."""

    peer: str
    by: str


@dataclass(frozen=True)
class Clear:
    """``peer`` is no longer doubted."""

    peer: str


@dataclass(frozen=True)
class Declare:
    """From now on ``peer`` is held for dead."""

    peer: str
    mechanism: Mechanism


@dataclass(frozen=True)
class Excuse:
    """``peer`` was silent for too long, but this agent was not awake to hear it: the silence does not count."""

    peer: str


Verdict = Through | Accuse | Clear | Declare | Excuse


class Detector(ABC):
    """One agent's judgement of its peers' silence; what is not overridden has no meaning to the detector."""

    def __init__(self, me: str, settings: DetectorSettings, rng: Random) -> None:
        self._me = me
        self._settings = settings
        self._rng = rng

    @classmethod
    @abstractmethod
    def noticed_within_s(cls, settings: DetectorSettings, links: int, stretch: int = 1) -> float:
        """How long a crash can go unnoticed by an agent with so many links whose stretch stays within this, in s."""

    @classmethod
    def longest_stretch(cls, settings: DetectorSettings) -> int:
        """The most that ``stretch`` can become."""
        return 1

    @property
    def stretch(self) -> int:
        """How many times longer than set this agent is to wait for answers and between beats; 1 in good health."""
        return 1

    @property
    def deadline(self) -> float:
        """When :meth:`tick` has something to decide; infinite for never."""
        return math.inf

    @abstractmethod
    def due(self, links: Sequence[str], now: float) -> list[str]:
        """A beat: whom of these live links to probe; each is asked at ``now``."""

    @abstractmethod
    def heard(self, peer: str, now: float, asked_at: float) -> list[Verdict]:
        """``peer`` answered the probe that went out at ``asked_at``."""

    @abstractmethod
    def missed(self, peer: str, now: float) -> list[Verdict]:
        """A routine probe of ``peer`` was refused, or not answered in time."""

    def unconfirmed(self, peer: str, mechanism: Mechanism, now: float, *, refused: bool) -> list[Verdict]:
        """So was the one probe after other evidence against ``peer``.

        Who is slow fails a request, and does not answer the probe after it: both are one silence, and count for nothing
        but the routine probes' silence. Who is slow does not end a connection.
        """
        return [Declare(peer, mechanism)] if refused or mechanism != "request" else []

    def excused(self, peer: str) -> None:
        """A probe of ``peer`` told nothing, because this agent was not awake to hear its answer."""

    def accused(self, peer: str, by: str, now: float) -> list[Verdict]:
        """Another agent doubts ``peer``."""
        return []

    def helped(self, peer: str, helper: str, now: float, *, alive: bool) -> list[Verdict]:
        """``helper`` probed ``peer``, which answered or did not."""
        return []

    def blamed(self) -> None:
        """Others doubted this agent, or held it for dead."""

    def tick(self, now: float, *, starved: bool) -> list[Verdict]:
        """The deadline has passed; ``starved`` when this agent was not awake to hear an answer lately."""
        return []

    def forget(self, peer: str) -> list[Verdict]:
        """``peer`` begins anew: it is held for dead, or lives under a new incarnation."""
        return []


class Turns:
    """Whose turn it is: who has not answered comes first, then who has waited longest; so a beat's cost is bounded."""

    def __init__(self, fanout: int) -> None:
        self._fanout = fanout
        self._beats = 0
        self._asked: dict[str, int] = {}

    def choose(self, links: Sequence[str], silent: Sequence[str]) -> list[str]:
        """At most ``fanout`` of these links for this beat; ``silent`` are those that owe an answer."""
        order = sorted(links, key=lambda peer: (peer not in silent, self._asked.get(peer, 0)))
        self._beats += 1
        chosen = order[: self._fanout]
        self._asked |= dict.fromkeys(chosen, self._beats)
        return chosen


def load(kind: str) -> type[Detector]:
    """The detector of that name, one of ``agent.settings.DETECTORS``."""
    return cast("type[Detector]", importlib.import_module(f"agent.detectors.{kind}").DETECTOR)


def noticed_within_s(settings: DetectorSettings, links: int) -> float:
    """The documented bound: how long a crash can go unnoticed by a healthy agent with so many links, in s.

    In the worst case all of them died, right after they were probed.
    """
    return load(settings.kind).noticed_within_s(settings, links)


def surely_noticed_within_s(settings: DetectorSettings, links: int) -> float:
    """The same for an agent in the worst health that its detector knows."""
    detector = load(settings.kind)
    return detector.noticed_within_s(settings, links, detector.longest_stretch(settings))
