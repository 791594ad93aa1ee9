"""The detector with helpers: it asks them before it doubts, hears others before it declares, and doubts itself too."""

import math
import random

import pytest

from agent.detection import Accuse, Clear, Declare, Excuse, Through
from agent.detectors.swim import Swim
from tests.agent.world import constants


def swim(**wishes: object) -> Swim:
    """A detector with five links, which it has asked once."""
    detector = Swim("me", constants("swim", swim=wishes), random.Random(1))
    detector.due(["a", "b", "c", "d", "e"], 0.0)
    return detector


def test_swim_doubts_when_no_helper_reached_the_peer() -> None:
    """At once when all of them say so, else when the time is up; one that did reach it settles the matter."""
    detector = swim(helpers=2)
    first, second = detector.missed("a", 1.0)
    assert isinstance(first, Through)
    assert isinstance(second, Through)
    assert detector.helped("a", first.helper, 1.2, alive=False) == []
    assert detector.helped("a", second.helper, 1.3, alive=False) == [Accuse("a", "me")]
    assert detector.stretch == 1
    assert detector.heard("a", 1.4, 1.35) == [Clear("a")]
    (helper, _) = detector.missed("a", 2.0)
    assert isinstance(helper, Through)
    assert detector.helped("a", helper.helper, 2.1, alive=True) == []
    assert detector.deadline == math.inf
    detector.missed("a", 3.0)
    assert detector.deadline == 3.5
    assert detector.tick(3.5, starved=False) == [Accuse("a", "me")]


@pytest.mark.parametrize(("confirmed", "intervals"), [(0, 3.0), (1, 3 - 2 * math.log(2) / math.log(3)), (2, 1.0)])
def test_independent_doubts_shorten_the_suspicion(confirmed: int, intervals: float) -> None:
    """With the logarithm of their number, as Lifeguard has it; the same voice twice is one, and late ones are none."""
    detector = swim()
    assert detector.accused("a", "x0", 10.0) == [Accuse("a", "x0")]
    for number in range(1, confirmed + 1):
        assert detector.accused("a", f"x{number}", 10.0) == [Accuse("a", f"x{number}")]
        assert detector.accused("a", f"x{number}", 10.0) == []
    assert detector.deadline == pytest.approx(10 + intervals)
    if confirmed == 2:
        assert detector.accused("a", "x3", 10.0) == []
    assert detector.tick(detector.deadline, starved=False) == [Declare("a", "gossip")]
    assert detector.deadline == math.inf


def test_swim_without_helpers_has_its_own_word() -> None:
    """And a refused confirmation needs no helpers."""
    detector = swim(helpers=0, confirmations=0)
    assert detector.missed("a", 1.0) == [Accuse("a", "me")]
    assert detector.deadline == 2.0
    assert detector.unconfirmed("b", "request", 1.0, refused=True) == [Declare("b", "request")]
    assert detector.unconfirmed("c", "request", 1.0, refused=False) == [Accuse("c", "me")]


def test_an_agent_that_hears_too_little_grows_patient() -> None:
    """Silent helpers, excused probes and reproaches lengthen its waiting up to the limit; answers shorten it again."""
    detector = swim(helpers=2, max_health=3)
    detector.missed("a", 1.0)
    detector.tick(1.5, starved=False)
    assert detector.stretch == 3
    detector.blamed()
    detector.excused("b")
    assert detector.stretch == 4 == Swim.longest_stretch(constants("swim", swim={"max_health": 3}))
    for _ in range(5):
        detector.heard("b", 2.0, 1.9)
    assert detector.stretch == 1
    detector.missed("c", 3.0)
    assert detector.tick(4.0, starved=True) == [Excuse("c")]
    assert detector.stretch == 2
