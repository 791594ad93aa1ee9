"""Whom a beat probes: everybody in turn, the doubtful first, at a cost that does not grow with the mesh."""

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.decisions import News, Suspect
from agent.detection import noticed_within_s
from tests.agent.viewing import PEERS, detector, membership, miss, picture, probed

SIZES = {"link_count": st.integers(1, 12), "fanout": st.integers(1, 6), "misses": st.integers(1, 4)}
UNLUCKY = "2,,12,,1,,4,,14,2,,2,,12,,4,,01,2,,2,,12,,4,2,4,2"
"""Which of five links miss their probe, beat by beat."""


@settings(max_examples=300)
@given(**SIZES, dead_from=st.integers(0, 20), data=st.data())
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
@given(**SIZES, dead_from=st.integers(0, 8), data=st.data())
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
