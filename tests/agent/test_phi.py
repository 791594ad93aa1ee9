"""The detector that learns a peer's rhythm: silence counts against it only as far as it is unlike that peer."""

import math
import random

import pytest

from agent.detection import Declare, Excuse, noticed_within_s
from agent.detectors.phi import PhiAccrual
from tests.agent.world import constants


def test_phi_learns_how_regular_a_peer_is() -> None:
    """The same silence speaks against a regular peer, and not against one whose answers vary."""
    until = {}
    for name, delays_s in (("even", [0.1] * 40), ("uneven", [0.01, 0.45] * 20)):
        detector = PhiAccrual("me", constants("phi"), random.Random(1))
        for beat, delay_s in enumerate(delays_s):
            assert detector.due([name], beat) == [name]
            detector.heard(name, beat + delay_s, beat)
        assert detector.deadline == math.inf
        detector.due([name], 40)
        until[name] = detector.deadline - 40
    # z(1e-8) = 5.612; the deviation of the even one is the least that is assumed.
    assert until["even"] == pytest.approx(0.1 + 1.0 + 5.612 * 0.1, abs=0.001)
    assert until["uneven"] == pytest.approx(0.45 + 1.0 + 5.612 * 0.44, abs=0.02)
    assert max(until.values()) <= noticed_within_s(constants("phi"), 1) - 1.0


def test_phi_takes_no_pause_of_its_own_for_the_peers_silence() -> None:
    """Three seconds in which nobody asked are no silence; neither is a question to one that is no link any more."""
    detector = PhiAccrual("me", constants("phi"), random.Random(1))
    for at in (0.0, 1.0, 2.0, 3.0, 4.0, 7.0):
        detector.due(["a"], at)
        assert detector.tick(at, starved=False) == []
        detector.heard("a", at + 0.1, at)
    detector.due(["a"], 8.0)
    assert detector.deadline == pytest.approx(8 + 0.1 + 1.0 + 0.561, abs=0.001)
    detector.due([], 9.0)
    assert detector.deadline == math.inf


def test_phi_begins_the_silence_anew_when_this_agent_slept() -> None:
    """It was not awake to hear: that is no suspicion, and the peer has its full time once more."""
    detector = PhiAccrual("me", constants("phi"), random.Random(1))
    detector.due(["a"], 0.0)
    patience_s = detector.deadline
    assert detector.tick(3.0, starved=True) == [Excuse("a")]
    assert detector.deadline == 3.0 + patience_s
    assert detector.tick(detector.deadline, starved=False) == [Declare("a", "probe")]
    assert detector.deadline == math.inf
