"""What a change of one agent's view calls for, and the news that it passes on: values that ``heartbeat.py`` acts on."""

from dataclasses import dataclass

from agent.detection import Excuse, Mechanism, Through


@dataclass(frozen=True)
class News:
    """What one agent tells another about a third (or about itself)."""

    peer: str
    incarnation: int
    alive: bool
    doubted_by: str | None = None
    """Who has reason to hold a peer for dead that is held for alive; it may clear its name."""
    told_in: int = 0
    """The incarnation of who tells of a death or a doubt: what it told before it cleared its own name is stale."""


@dataclass(frozen=True)
class Probe:
    """Ask ``peer`` for a sign of life; ``confirm`` names the evidence that called for it, if it was not routine."""

    peer: str
    confirm: Mechanism | None = None
    incarnation: int = 0
    """Whom it asks: silence of an earlier life says nothing about a later one."""
    extra: bool = False
    """Beyond the detector's own schedule, of one that is held for alive: an answer counts, silence does not."""


@dataclass(frozen=True)
class Suspect:
    """From now on ``peer`` is held for dead."""

    peer: str
    incarnation: int
    mechanism: Mechanism


@dataclass(frozen=True)
class Restore:
    """``peer`` is held for alive again; ``restarted`` when it is a new process that knows nothing of open requests."""

    peer: str
    incarnation: int
    mechanism: Mechanism
    restarted: bool


@dataclass(frozen=True)
class Replace:
    """``peer`` is a new process, and nobody here had missed the old one: what that was doing is lost all the same."""

    peer: str
    incarnation: int
    mechanism: Mechanism


@dataclass(frozen=True)
class Tell:
    """Pass ``news`` on, to ``peer`` alone or to all links."""

    news: News
    peer: str | None = None


@dataclass(frozen=True)
class Refute:
    """Others held this agent for dead, or doubted it; it now lives under ``incarnation``."""

    incarnation: int


@dataclass(frozen=True)
class Doubt:
    """``peer`` is doubted by ``by``; it is held for alive until that has lasted too long."""

    peer: str
    incarnation: int
    by: str


@dataclass(frozen=True)
class Trust:
    """``peer`` is doubted no longer."""

    peer: str
    incarnation: int


Decision = Probe | Through | Suspect | Restore | Replace | Tell | Refute | Doubt | Trust | Excuse
