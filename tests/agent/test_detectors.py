"""Every detector under random orders of events: it finds the dead in time, spares the living, and all come to agree."""

import math
import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.detection import load, noticed_within_s, surely_noticed_within_s
from agent.detectors.swim import Swim
from agent.pace import Pace
from agent.settings import DETECTORS, DetectorSettings
from tests.agent.world import World, constants

each_detector = pytest.mark.parametrize("kind", DETECTORS)
INTERVALS_S = st.sampled_from([0.25, 0.5, 1.0, 2.0])
SEEDS = st.integers(0, 10_000)


@each_detector
@settings(max_examples=40)
@given(
    interval_s=INTERVALS_S,
    seed=SEEDS,
    fanout=st.integers(1, 5),
    reach=st.integers(1, 4),
    victims=st.lists(st.integers(1, 9), min_size=1, max_size=4, unique=True),
    killed_after=st.floats(0, 12),
    loss=st.sampled_from([0.0, 0.3]),
    gossip=st.booleans(),
    adaptive=st.booleans(),
)
def test_the_dead_are_found_within_the_documented_bound(
    kind: str,
    interval_s: float,
    seed: int,
    fanout: int,
    reach: int,
    victims: list[int],
    killed_after: float,
    *,
    loss: float,
    gossip: bool,
    adaptive: bool,
) -> None:
    """By everyone who was linked to them, however many die, and if nobody tells anybody anything.

    What is lost on the way to others delays nothing either, but with a fixed timeout: there who missed a probe comes
    before who waits for its turn.
    """
    wishes = constants(kind, interval_s=interval_s, fanout=fanout, adaptive={"enabled": adaptive})
    lost = 0.0 if kind == "fixed" else loss
    world = World(wishes, 10, seed, reach, delay_s=0.4, loss=lost, storm_ends_s=math.inf, gossip=gossip)
    killed_at_s = killed_after * interval_s
    world.run_until(killed_at_s)
    dead = [world.names[number] for number in victims]
    for name in dead:
        world.kill(name)
    world.run_until(killed_at_s + surely_noticed_within_s(wishes, 2 * reach) + 0.001)
    for name, suspects in world.suspects().items():
        assert {peer for peer in dead if peer in world.links[name]} <= set(suspects)


@each_detector
@settings(max_examples=30)
@given(interval_s=INTERVALS_S, seed=SEEDS, reach=st.integers(1, 4), killed_after=st.floats(0, 12))
def test_a_healthy_agent_keeps_the_bound_of_the_healthy(
    kind: str, interval_s: float, seed: int, reach: int, killed_after: float
) -> None:
    """One death, nothing lost: nobody has reason to take itself for unwell, and the shorter bound holds."""
    wishes = constants(kind, interval_s=interval_s)
    world = World(wishes, 10, seed, reach, gossip=False)
    killed_at_s = killed_after * interval_s
    world.run_until(killed_at_s)
    world.kill("n3")
    world.run_until(killed_at_s + noticed_within_s(wishes, 2 * reach) + 0.001)
    assert world.worst_stretch == 1
    assert {name for name, suspects in world.suspects().items() if "n3" in suspects} == set(world.links["n3"])


@each_detector
@settings(max_examples=40)
@given(
    interval_s=INTERVALS_S,
    seed=SEEDS,
    fanout=st.integers(1, 5),
    reach=st.integers(1, 4),
    delay_s=st.floats(0.01, 0.49),
    adaptive=st.booleans(),
)
def test_delays_below_the_timeout_make_nobody_a_suspect(
    kind: str, interval_s: float, seed: int, fanout: int, reach: int, delay_s: float, *, adaptive: bool
) -> None:
    """Nor a doubted one, however they vary."""
    wishes = constants(kind, interval_s=interval_s, fanout=fanout, adaptive={"enabled": adaptive})
    world = World(wishes, 8, seed, reach, delay_s)
    world.run_until(40 * interval_s)
    assert (*world.suspected, *world.doubted) == ()


@each_detector
@settings(max_examples=20)
@given(
    seed=SEEDS,
    loss=st.floats(0, 0.8),
    victims=st.lists(st.integers(0, 8), max_size=3, unique=True),
    killed_at_s=st.floats(0, 20),
    fanout=st.integers(2, 5),
)
def test_when_it_is_quiet_again_all_agree_on_the_truth(
    kind: str, seed: int, loss: float, victims: list[int], killed_at_s: float, fanout: int
) -> None:
    """After twenty seconds of loss and deaths: the dead are suspected by all, and every wronged one is taken back."""
    wishes = constants(kind, fanout=fanout)
    # Three of nine may die, and a circle with links to the next four on either side stays in one piece.
    world = World(wishes, 9, seed, 4, delay_s=0.4, loss=loss, storm_ends_s=20)
    world.run_until(killed_at_s)
    for number in victims:
        world.kill(world.names[number])
    world.run_until(20 + surely_noticed_within_s(wishes, 8) + 9 * wishes.longest_interval_s * 3)
    truth = {world.names[number] for number in victims}
    assert {name: set(suspects) for name, suspects in world.suspects().items()} == dict.fromkeys(
        world.suspects(), truth
    )


@each_detector
@given(seed=SEEDS)
@settings(max_examples=15)
def test_an_agent_that_sleeps_blames_itself_and_nobody_else(kind: str, seed: int) -> None:
    """While it is not awake it suspects nobody; once it is awake a dead peer is found within the bound."""
    wishes = constants(kind)
    world = World(wishes, 6, seed)
    world.run_until(5)
    world.starved = ("n0",)
    world.kill("n1")
    world.run_until(15)
    assert not [by for _, by, doubt in world.doubted if by == doubt.by == "n0"]
    assert not [suspect for _, by, suspect in world.suspected if by == "n0" and suspect.mechanism == "probe"]
    assert [name for _, name, _ in world.excused if name == "n0"]
    world = World(wishes, 6, seed, gossip=False)
    world.starved = ("n0",)
    world.kill("n1")
    world.run_until(10)
    assert not world.views["n0"].suspects
    world.starved = ()
    world.run_until(10 + wishes.timeout_s + surely_noticed_within_s(wishes, 4) + 0.001)
    assert world.views["n0"].suspects == ("n1",)


@each_detector
@given(seed=SEEDS, cut_for=st.floats(1, 12), reach=st.integers(1, 4))
@settings(max_examples=150)
def test_who_comes_back_from_a_cut_accuses_nobody(kind: str, seed: int, cut_for: float, reach: int) -> None:
    """What it asked and said in the cut runs out and arrives after it: nobody but itself takes the living for dead."""
    world = World(constants(kind), 8, seed, reach)
    world.run_until(5)
    healed_at_s = 5 + cut_for
    world.cut_off["n0"] = healed_at_s
    world.run_until(healed_at_s + 20)
    wronged = [one for one in world.suspected if one[1] != "n0" and one[2].peer != "n0"]
    assert wronged == []
    assert set(world.suspects().values()) == {()}


@given(seed=SEEDS)
@settings(max_examples=5)
def test_of_two_that_cannot_reach_each_other_swim_alone_makes_no_dead(seed: int) -> None:
    """Their helpers reach both; the other detectors have nothing but their own eyes."""
    for kind in DETECTORS:
        world = World(constants(kind), 6, seed, deaf=[("n2", "n3")])
        world.run_until(12)
        wronged = {frozenset((by, suspect.peer)) for _, by, suspect in world.suspected if suspect.mechanism == "probe"}
        assert wronged == (set() if kind == "swim" else {frozenset(("n2", "n3"))})
        assert world.doubted == []


@given(fanout=st.integers(1, 6), link_count=st.integers(1, 15), seed=SEEDS, data=st.data())
def test_swim_asks_everyone_once_a_round_in_an_order_of_its_own(
    fanout: int, link_count: int, seed: int, data: st.DataObject
) -> None:
    """Between two turns of a link lie at most the rest of one round and the next; nobody is asked twice in a beat."""
    links = [f"p{number}" for number in range(link_count)]
    detector = Swim("me", constants("swim", fanout=fanout), random.Random(seed))
    beats = [detector.due(links, beat) for beat in range(40)]
    assert {len(set(chosen)) for chosen in beats} == {min(fanout, link_count)}
    peer = data.draw(st.sampled_from(links))
    turns = [beat for beat, chosen in enumerate(beats) if peer in chosen]
    most = 1 if link_count <= fanout else math.ceil((2 * link_count - 1) / fanout)
    assert all(later - earlier <= most for earlier, later in pairwise(turns))


@pytest.mark.parametrize(
    ("wishes", "links", "healthy_s", "worst_s"),
    [
        ({"kind": "fixed"}, 4, 2.5, 2.5),
        ({"kind": "fixed", "fanout": 2, "misses": 3}, 5, 9.5, 9.5),
        ({"kind": "fixed", "adaptive": {"enabled": True}}, 4, 4.5, 4.5),
        ({"kind": "phi"}, 4, 5.306, 5.306),
        ({"kind": "phi", "fanout": 1}, 4, 8.306, 8.306),
        ({"kind": "swim"}, 4, 5.0, 9.0),
        ({"kind": "swim", "fanout": 1, "swim": {"max_health": 0}}, 4, 11.0, 11.0),
    ],
)
def test_the_documented_bounds(wishes: dict[str, object], links: int, healthy_s: float, worst_s: float) -> None:
    """As docs/detectors.md says."""
    found = DetectorSettings.model_validate(wishes)
    assert noticed_within_s(found, links) == pytest.approx(healthy_s, abs=0.001)
    assert surely_noticed_within_s(found, links) == pytest.approx(worst_s, abs=0.001)


def test_the_interval_follows_the_network_within_its_bounds() -> None:
    """Short while answers are quick, longer when they are late or lost, and what the dead miss does not count."""
    adaptive = constants("fixed", adaptive={"enabled": True})
    pace = Pace(adaptive)
    assert pace.interval_s == 0.25
    for _ in range(50):
        pace.answered("a", 0.002)
    assert pace.interval_s == pytest.approx(0.25 + 1.75 * 0.002 / 0.5, rel=0.01)
    for _ in range(50):
        pace.missed("dead")
    assert pace.interval_s < 0.26
    for _ in range(200):
        pace.missed("a")
        pace.answered("a", 0.002)
    assert pace.interval_s == pytest.approx(0.25 + 1.75 * 0.5, rel=0.1)
    for _ in range(50):
        pace.answered("a", 0.49)
    assert 1.9 < pace.interval_s <= 2.0
    assert Pace(constants("fixed")).interval_s == 1.0


def test_every_file_in_the_folder_is_a_detector() -> None:
    """Found by its name, with a bound."""
    assert DETECTORS == ("fixed", "phi", "swim")
    assert all(load(kind).noticed_within_s(constants(kind), 4) > 0 for kind in DETECTORS)
