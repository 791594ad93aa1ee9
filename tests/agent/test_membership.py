"""The failure detector as a pure state machine: complete, accurate, and at a cost that does not grow."""

import random
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from agent.decisions import Decision, News, Probe, Restore, Suspect, Tell
from agent.detection import Mechanism, noticed_within_s
from agent.membership import Membership
from agent.settings import DetectorSettings

PEERS = ("b", "c", "d", "e", "f")
UNLUCKY = "2,,12,,1,,4,,14,2,,2,,12,,4,,01,2,,2,,12,,4,2,4,2"
"""Which of five links miss their probe, beat by beat."""


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


@settings(max_examples=300)
@given(
    link_count=st.integers(1, 12),
    fanout=st.integers(1, 6),
    misses=st.integers(1, 4),
    dead_from=st.integers(0, 20),
    data=st.data(),
)
def test_a_dead_link_is_suspected_in_time(
    link_count: int, fanout: int, misses: int, dead_from: int, data: st.DataObject
) -> None:
    """With no more than ``fanout`` links a crash is suspected after ``misses`` beats; with more, after bounded turns.

    However the other links answer: they may miss probes, be suspected and come back as they like.
    """
    links = [f"p{number}" for number in range(link_count)]
    victim = data.draw(st.sampled_from(links))
    view = membership(links, misses=misses, fanout=fanout)
    others_first = -(-misses * (link_count - 1) // fanout) + 1
    between_two = -(-(link_count - 1) // fanout) + 1
    bound = misses if link_count <= fanout else others_first + (misses - 1) * between_two
    for beat in range(dead_from + bound):
        for peer in probed(view.due_probes(links, 0)):
            answers = beat < dead_from if peer == victim else data.draw(st.booleans())
            decisions = view.heard(peer, 0, 0) if answers else miss(view, peer)
            if not answers and peer != victim and not view.is_alive(peer):
                view.told([News(peer, picture(view)[peer][0] + 1, alive=True)], 0)
            assert beat >= dead_from or Suspect(victim, 0, "probe") not in decisions
    assert not view.is_alive(victim)


@settings(max_examples=300)
@given(
    link_count=st.integers(1, 12),
    fanout=st.integers(1, 6),
    misses=st.integers(1, 4),
    dead_from=st.integers(0, 8),
    data=st.data(),
)
def test_any_number_of_crashes_at_once_is_noticed_within_the_stated_time(
    link_count: int, fanout: int, misses: int, dead_from: int, data: st.DataObject
) -> None:
    """Take-over looks back as far as this: a longer silence than stated would leave tasks without an owner."""
    links = [f"p{number}" for number in range(link_count)]
    dead = data.draw(st.lists(st.sampled_from(links), min_size=1, unique=True))
    view = membership(links, misses=misses, fanout=fanout)
    stated_s = noticed_within_s(detector(misses=misses, fanout=fanout), link_count)
    for beat in range(dead_from + int(stated_s)):  # beats come once a second
        for peer in probed(view.due_probes(links, 0)):
            if beat >= dead_from and peer in dead:
                miss(view, peer)
            else:
                view.heard(peer, 0, 0)
    assert sorted(view.suspects) == sorted(dead)


def test_no_pattern_of_missed_probes_keeps_a_dead_link_from_its_turn() -> None:
    """A pattern that kept a simple round robin away from ``p3`` for ever: the others miss a probe here and there."""
    links = [f"p{number}" for number in range(5)]
    view = membership(links, fanout=3, misses=2)
    for beat in UNLUCKY.split(","):
        for peer in probed(view.due_probes(links, 0)):
            answers = peer != "p3" and peer[1:] not in beat
            if not answers:
                miss(view, peer)
            else:
                view.heard(peer, 0, 0)
    assert "p3" in view.suspects


@given(
    link_count=st.integers(0, 60), fanout=st.integers(1, 6), suspect_count=st.integers(0, 60), beats=st.integers(1, 5)
)
def test_the_cost_of_a_beat_does_not_grow_with_the_mesh(
    link_count: int, fanout: int, suspect_count: int, beats: int
) -> None:
    """At most ``fanout`` live links and one suspect are probed per interval, nobody twice."""
    links = [f"p{number}" for number in range(link_count)]
    view = membership(links, fanout=fanout, misses=3)
    view.told((News(peer, 0, alive=False) for peer in links[:suspect_count]), 0)
    for _ in range(beats):
        chosen = probed(view.due_probes(links, 0))
        assert len(chosen) <= fanout + 1
        assert len(set(chosen)) == len(chosen)
        assert sum(view.is_alive(peer) for peer in chosen) <= fanout
        for peer in chosen[::2]:
            miss(view, peer)


@given(link_count=st.integers(1, 30), fanout=st.integers(1, 6))
def test_calm_links_take_turns(link_count: int, fanout: int) -> None:
    """While all answer, every link is probed within ceil(links / fanout) beats, again and again."""
    links = [f"p{number}" for number in range(link_count)]
    view = membership(links, fanout=fanout)
    for _ in range(3):
        turn = [probed(view.due_probes(links, 0)) for _ in range(-(-link_count // fanout))]
        assert {peer for chosen in turn for peer in chosen} == set(links)


def test_a_link_that_missed_is_asked_again_at_the_next_beat() -> None:
    """Doubt is settled before routine goes on, however many links wait for their turn."""
    view = membership(fanout=2, misses=3)
    first, calm = probed(view.due_probes(PEERS, 0))
    miss(view, first)
    view.heard(calm, 0, 0)
    assert first in probed(view.due_probes(PEERS, 0))
    miss(view, first)
    assert first in probed(view.due_probes(PEERS, 0))
    assert miss(view, first)[0] == Suspect(first, 0, "probe")


def test_suspects_are_probed_in_turn_so_that_they_can_be_found_back() -> None:
    """One suspect per beat, each in its turn, whether it is a link or not."""
    view = membership()
    view.told([News("c", 0, alive=False), News("e", 0, alive=False)], 0)
    assert [probed(view.due_probes(["b"], 0)) for _ in range(3)] == [["b", "c"], ["b", "e"], ["b", "c"]]


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
