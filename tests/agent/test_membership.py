"""The failure detector as a pure state machine: what counts as evidence, and what is made of it."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from agent.decisions import Decision, News, Probe, Restore, Suspect, Tell
from agent.detection import Mechanism
from tests.agent.viewing import PEERS, membership, miss, picture, probed


class Detector(RuleBasedStateMachine):
    """One detector under any evidence, beside the simplest model of what may make it suspect."""

    def __init__(self) -> None:
        super().__init__()
        self.view = membership(misses=3)
        self.streak = dict.fromkeys(PEERS, 0)
        self.asked: dict[str, Mechanism] = {}
        self.looked: dict[str, None] = {}
        """Who has been asked for in this one beat."""
        self.stale: dict[str, None] = {}
        """Who has not stayed away from such a question yet."""
        self.owing: dict[str, None] = {}
        """Who has not answered the last probe."""

    peers = st.sampled_from(PEERS[:2])  # few, so that their histories get long

    @rule(peer=peers)
    def hear(self, peer: str) -> None:
        """A sign of life ends the streak; a suspect is told that it is held for dead, the others are asked, once."""
        known = picture(self.view)
        expected: list[Decision] = []
        if not self.view.is_alive(peer):
            missed = [name for name in PEERS if name != peer and (name in self.owing or not self.view.is_alive(name))]
            others = [name for name in missed if name not in self.looked]
            self.looked |= dict.fromkeys([peer, *others])
            self.stale |= dict.fromkeys([peer, *(name for name in others if not self.view.is_alive(name))])
            told = Tell(News(peer, known[peer][0], alive=False), peer)
            expected = [told, *(Probe(name, None, *known[name]) for name in others)]
        assert self.view.heard(peer, 0, 0) == expected
        self.streak[peer] = 0
        self.asked.pop(peer, None)
        self.owing.pop(peer, None)

    @rule(peer=peers)
    def miss(self, peer: str) -> None:
        """Only the last of ``misses`` routine misses in a row makes a suspicion, and it makes one."""
        was_alive = self.view.is_alive(peer)
        confirmed = self.confirmed(peer)
        decisions = miss(self.view, peer)
        self.owing[peer] = None
        self.streak[peer] += was_alive
        if not was_alive:
            assert decisions == confirmed
            return
        assert [type(decision) for decision in decisions] == ([Suspect, Tell] if self.streak[peer] >= 3 else [])

    def confirmed(self, peer: str) -> list[Decision]:
        """What the next unanswered probe of a suspect says: that it is away still, where that was in question."""
        if self.view.is_alive(peer) or peer not in self.stale:
            return []
        del self.stale[peer]
        return [Tell(News(peer, picture(self.view)[peer][0], alive=False))]

    @rule(peer=peers, mechanism=st.sampled_from(["request", "tcp", "watch"]))
    def doubt(self, peer: str, mechanism: Mechanism) -> None:
        """Evidence calls for one confirming probe, and for no second one while the first is out."""
        incarnation = picture(self.view)[peer][0]
        expected = [Probe(peer, mechanism, incarnation)] if self.view.is_alive(peer) and peer not in self.asked else []
        assert self.view.doubted(peer, mechanism) == expected
        if expected:
            self.asked[peer] = mechanism

    @rule(peer=peers, stale=st.sampled_from(["request", "tcp", "watch"]))
    def fail_confirmation(self, peer: str, stale: Mechanism) -> None:
        """A silent confirmation makes a suspicion with its evidence; not after a request, nor a sign of life."""
        mechanism = self.asked.pop(peer, None)
        was_alive, incarnation = self.view.is_alive(peer), picture(self.view)[peer][0]
        confirmed = self.confirmed(peer) if mechanism is not None else []
        decisions = miss(self.view, peer, mechanism or stale)
        if mechanism is not None:
            self.owing[peer] = None
        if mechanism is None or not was_alive:
            assert decisions == confirmed
            return
        if mechanism == "request":
            assert decisions == []
            return
        assert decisions == [Suspect(peer, incarnation, mechanism), Tell(News(peer, incarnation, alive=False))]
        self.streak[peer] += 1

    @rule(peer=peers)
    def excuse(self, peer: str) -> None:
        """A probe that told nothing neither adds to the streak nor ends it; a doubt may be raised anew."""
        assert self.view.undecided(peer) == []
        self.asked.pop(peer, None)

    @rule(peer=peers, newer=st.integers(-1, 2), alive=st.booleans())
    def tell(self, peer: str, newer: int, alive: bool) -> None:  # noqa: FBT001 - drawn, not called
        """News count when they say more than is known: a later incarnation, or the death of the known one."""
        known, was_alive = picture(self.view)[peer]
        news = News(peer, known + newer, alive)
        decisions = self.view.told([news], 0)
        if newer > 0 and alive:
            expected = [Restore(peer, known + newer, "gossip", restarted=False)] if not was_alive else []
            assert decisions == [*expected, Tell(news)]
            self.streak[peer] = 0
            for kept in (self.asked, self.looked, self.stale, self.owing):
                kept.pop(peer, None)
        elif newer >= 0 and not alive and was_alive:
            assert decisions == [Suspect(peer, known + newer, "gossip"), Tell(news)]
        elif newer > 0 and not alive:
            assert decisions == [Tell(news)]
        else:
            assert decisions == []

    @invariant()
    def everyone_is_either_alive_or_suspect(self) -> None:
        """The two lists share out the roster, in its order."""
        assert sorted((*self.view.alive, *self.view.suspects)) == sorted(PEERS)
        assert list(self.view.alive) == [peer for peer in PEERS if self.view.is_alive(peer)]


TestDetector = Detector.TestCase
TestDetector.settings = settings(max_examples=60, stateful_step_count=30)


def test_an_answer_ends_the_streak() -> None:
    """Only misses in a row count; one answer in between and the count begins anew."""
    view = membership(misses=2)
    for _ in range(5):
        assert miss(view, "b") == []
        assert view.heard("b", 0, 0) == []
    miss(view, "b")
    assert miss(view, "b")[0] == Suspect("b", 0, "probe")


def test_mode_probe_ignores_all_other_evidence() -> None:
    """Probes only: a failed request, a broken connection or a broken stream calls for nothing."""
    view = membership(mode="probe")
    assert [view.doubted("b", mechanism) for mechanism in ("request", "tcp", "watch")] == [[], [], []]
    assert miss(view, "b") == []
    assert miss(view, "b") == [Suspect("b", 0, "probe"), Tell(News("b", 0, alive=False))]


@pytest.mark.parametrize("mode", ["common", "tcp", "native"])
def test_the_other_modes_confirm_before_they_suspect(mode: str) -> None:
    """Evidence alone makes no suspicion; the confirming probe decides."""
    view = membership(mode=mode)
    assert view.doubted("b", "request") == [Probe("b", "request")]
    assert view.is_alive("b")
    assert view.heard("b", 0, 0) == []
    assert view.doubted("b", "tcp") == [Probe("b", "tcp")]
    assert miss(view, "b", "tcp")[0] == Suspect("b", 0, "tcp")


@pytest.mark.parametrize("kind", ["fixed", "phi"])
def test_a_failed_request_and_the_silence_after_it_are_one_silence(kind: str) -> None:
    """Who is slow lives: it takes a refusal, or as many unanswered routine probes as without the request."""
    view = membership(kind=kind, mode="common", misses=2)
    for _ in range(3):
        (probe,) = view.doubted("b", "request")
        assert isinstance(probe, Probe)
        assert view.missed(probe, 0, 0, refused=False) == []
    assert view.is_alive("b")
    (probe,) = view.doubted("b", "request")
    assert isinstance(probe, Probe)
    assert view.missed(probe, 0, 0, refused=True)[0] == Suspect("b", 0, "request")
    fresh = membership(mode="common", misses=2)
    fresh.doubted("b", "request")
    assert [miss(fresh, "b", "request"), miss(fresh, "b")] == [[], []]
    assert miss(fresh, "b")[0] == Suspect("b", 0, "probe")


def test_strangers_are_not_alive_and_no_evidence_counts_for_or_against_them() -> None:
    """Names that the roster does not have leave no trace."""
    view = membership()
    assert not view.is_alive("z")
    assert view.heard("z", 0, 0) == []
    assert view.doubted("z", "request") == []
    assert view.told([News("z", 3, alive=False), News("z", 4, alive=True)], 0) == []
    assert probed(view.due_probes(["z"], 0)) == []
