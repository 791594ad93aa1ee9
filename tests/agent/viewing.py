"""One agent's view of the others as a pure state machine, and the least that tests ask of it."""

import random
from collections.abc import Iterable, Sequence

from agent.decisions import Decision, Probe
from agent.detection import Mechanism
from agent.membership import Membership
from agent.settings import DetectorSettings

PEERS = ("b", "c", "d", "e", "f")


def detector(**wishes: object) -> DetectorSettings:
    """Settings with these wishes."""
    return DetectorSettings.model_validate(wishes)


def membership(peers: Sequence[str] = PEERS, **wishes: object) -> Membership:
    """The view of ``a``, which the last of its peers has answered."""
    view = Membership("a", 0, peers, detector(**wishes), random.Random(1))
    for peer in peers[-1:]:
        view.heard(peer, 0, 0)
    return view


def probed(decisions: Iterable[Decision]) -> list[str]:
    """Whom these decisions probe."""
    return [decision.peer for decision in decisions if isinstance(decision, Probe)]


def miss(view: Membership, peer: str, confirm: Mechanism | None = None) -> list[Decision]:
    """A probe of what ``view`` holds for the present life of ``peer`` goes unanswered."""
    return view.missed(Probe(peer, confirm, picture(view)[peer][0]), 0, 0, refused=False)


def picture(view: Membership) -> dict[str, tuple[int, bool]]:
    """All that a membership believes of its peers: incarnation and life."""
    return {peer: (record.incarnation, record.alive) for peer, record in view._records.items()}
