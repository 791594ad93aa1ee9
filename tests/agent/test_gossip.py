"""Gossip between memberships: all survivors come to one view, whatever the order, and the living clear their names."""

import random
from collections import deque
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.decisions import Decision, Doubt, News, Probe, Refute, Replace, Restore, Suspect, Tell, Trust
from agent.membership import RESTART_STEP, Membership
from agent.settings import DetectorSettings

PEERS = ("b", "c", "d", "e", "f")


def membership(**wishes: object) -> Membership:
    """The view of ``a``."""
    return Membership("a", 0, PEERS, DetectorSettings.model_validate(wishes), random.Random(1))


def picture(view: Membership) -> dict[str, tuple[int, bool]]:
    """All that a membership believes of its peers: incarnation and life."""
    return {peer: (record.incarnation, record.alive) for peer, record in view._records.items()}


NEWS = st.lists(
    st.builds(
        News,
        peer=st.sampled_from(PEERS),
        incarnation=st.sampled_from([0, 1, 2, RESTART_STEP, RESTART_STEP + 1]),
        alive=st.booleans(),
    ),
    max_size=12,
)


@given(items=NEWS, data=st.data())
def test_any_order_and_duplication_of_news_ends_in_the_same_view(items: list[News], data: st.DataObject) -> None:
    """What a membership believes depends on what it was told, not on when or how often."""
    first, second = membership(), membership()
    first.told(items, 0)
    again = data.draw(st.lists(st.sampled_from(items), max_size=5)) if items else []
    for news in data.draw(st.permutations([*items, *again])):
        second.told([news], 0)
    assert picture(first) == picture(second)


@given(items=NEWS, more=NEWS)
def test_what_is_believed_is_passed_on_and_nothing_else(items: list[News], more: list[News]) -> None:
    """Who hears only what this agent passes on ends in this agent's view; old news is not passed on at all."""
    first, second = membership(), membership()
    for news in (*items, *more):
        passed_on = [decision.news for decision in first.told([news], 0) if isinstance(decision, Tell)]
        assert passed_on in ([], [news])
        second.told(passed_on, 0)
    assert picture(first) == picture(second)
    assert not first.told([*items, *more], 0)


@given(items=NEWS)
def test_a_view_tells_a_newcomer_everything(items: list[News]) -> None:
    """A newcomer who is told the view believes what its teller believes; one that is cut off itself accuses nobody."""
    teller, newcomer = membership(), Membership("z", 0, ("a", *PEERS), DetectorSettings(), random.Random(1))
    teller.told(items, 0)
    newcomer.told(teller.view(), 0)
    if 2 * len(teller.suspects) > len(PEERS):
        assert newcomer.suspects == ()
        return
    assert {peer: known for peer, known in picture(newcomer).items() if peer != "a"} == picture(teller)
    assert newcomer.is_alive("a")


class Village:
    """N memberships whose Tells travel in any order, some of them twice."""

    def __init__(self, size: int, order: random.Random) -> None:
        self.names = [f"n{number}" for number in range(size)]
        self.views = {
            name: Membership(name, 0, [other for other in self.names if other != name], DetectorSettings(), order)
            for name in self.names
        }
        for name, view in self.views.items():
            view.heard(next(other for other in self.names if other != name), 0, 0)
        self.dead: list[str] = []
        self.beats = 0
        self._post: deque[tuple[str, str, News]] = deque()
        self._order = order

    def links(self, who: str) -> list[str]:
        """A ring with one chord is the mesh."""
        size, place = len(self.names), self.names.index(who)
        return [self.names[(place + step) % size] for step in (1, -1, size // 2)]

    def carry_out(self, who: str, decisions: Iterable[Decision]) -> None:
        """Send what ``who`` wants told, and ask whom it wants asked."""
        for decision in decisions:
            if isinstance(decision, Tell):
                to = [decision.peer] if decision.peer else self.links(who)
                self._post.extend((who, peer, decision.news) for peer in to)
            elif isinstance(decision, Probe) and decision.peer in self.dead:
                self.carry_out(who, self.views[who].missed(decision, self.beats, self.beats, refused=False))
            elif isinstance(decision, Probe):
                self.carry_out(who, self.views[who].heard(decision.peer, self.beats, self.beats))

    def settle(self) -> None:
        """Deliver until nobody has anything left to say."""
        while self._post:
            self._post.rotate(self._order.randrange(len(self._post)))
            sender, peer, news = self._post.popleft()
            if peer not in self.dead:
                for _ in range(self._order.choice((1, 1, 2))):
                    self.carry_out(peer, self.views[peer].told([news], 0, sender))

    def beat(self) -> None:
        """Each living agent asks its links, and looks for one that it misses."""
        self.beats += 1
        for name in self.names:
            if name not in self.dead:
                self.carry_out(name, self.views[name].due_probes(self.links(name), self.beats))
        self.settle()

    def survivors_views(self) -> list[dict[str, bool]]:
        """Who is alive, as each survivor sees it."""
        living = [name for name in self.names if name not in self.dead]
        return [{name: name == me or self.views[me].is_alive(name) for name in self.names} for me in living]


@given(size=st.integers(4, 9), seed=st.integers(0, 10_000), accusations=st.integers(0, 8), data=st.data())
def test_survivors_agree_and_refutation_wins_over_accusation(
    size: int, seed: int, accusations: int, data: st.DataObject
) -> None:
    """Once the gossip is quiet, all survivors agree, the dead are suspected, and no accusation of the living stands."""
    village = Village(size, random.Random(seed))
    village.dead = [data.draw(st.sampled_from(village.names))] if data.draw(st.booleans()) else []
    living = [name for name in village.names if name not in village.dead]
    for _ in range(accusations):
        accuser, accused = data.draw(st.sampled_from(living)), data.draw(st.sampled_from(living))
        if accuser != accused:
            village.views[accuser].doubted(accused, "tcp")
            known, _ = picture(village.views[accuser])[accused]
            village.carry_out(accuser, village.views[accuser].missed(Probe(accused, "tcp", known), 0, 0, refused=False))
        if data.draw(st.booleans()):
            village.settle()
    for victim in village.dead:
        witness = living[0]
        village.views[witness].doubted(victim, "tcp")
        known, _ = picture(village.views[witness])[victim]
        village.carry_out(witness, village.views[witness].missed(Probe(victim, "tcp", known), 0, 0, refused=False))
    village.settle()
    for _ in village.names:
        village.beat()
    truth = {name: name not in village.dead for name in village.names}
    assert village.survivors_views() == [truth] * len(living)


def test_an_accused_agent_refutes_once_and_tells_everybody() -> None:
    """The accused lives on under the next incarnation; the same accusation again is answered, not refuted again."""
    view = membership()
    assert view.told([News("a", 0, alive=False)], 0) == [Refute(1), Tell(News("a", 1, alive=True))]
    assert view.told([News("a", 0, alive=False)], 0) == []
    assert view.told([News("a", 1, alive=False)], 0) == [Refute(2), Tell(News("a", 2, alive=True))]
    assert view.told([News("a", 7, alive=True)], 0) == []
    assert view.told([News("a", 7, alive=False)], 0) == [Refute(8), Tell(News("a", 8, alive=True))]


def test_a_refutation_goes_to_the_accuser_as_well() -> None:
    """After a healed cut the accuser is no link any more, and learns it from nobody else."""
    refutation = News("a", 1, alive=True)
    said = membership().told([News("a", 0, alive=False)], 0, "c")
    assert said == [Refute(1), Tell(refutation), Tell(refutation, "c")]


def test_an_old_accusation_is_answered_to_the_accuser_alone() -> None:
    """If the refutation got lost on its way, the accuser hears it when it accuses again."""
    view = membership()
    view.told([News("a", 0, alive=False)], 0, "b")
    assert view.told([News("a", 0, alive=False)], 0, "c") == [Tell(News("a", 1, alive=True), "c")]


def test_a_suspect_that_lives_can_only_refute_by_itself() -> None:
    """A sign of life does not clear a suspect: it is told, and comes back under its next incarnation."""
    view = membership()
    view.told([News("b", 0, alive=False)], 0)
    assert view.heard("b", 0, 0) == [Tell(News("b", 0, alive=False), "b")]
    assert not view.is_alive("b")
    assert view.told([News("b", 1, alive=True)], 0) == [
        Restore("b", 1, "gossip", restarted=False),
        Tell(News("b", 1, alive=True)),
    ]


def test_a_restarted_suspect_is_restored_and_reported_as_restarted() -> None:
    """The next life of a suspect is told from a refutation by its incarnation."""
    view = membership()
    view.told([News("b", 2, alive=False)], 0)
    assert view.told([News("b", RESTART_STEP, alive=True)], 0)[0] == Restore(
        "b", RESTART_STEP, "gossip", restarted=True
    )


def test_a_restart_that_nobody_noticed_is_told_on_and_suspects_nobody() -> None:
    """The old life is lost, which its peers must know; but who is alive was never held for dead."""
    view = membership()
    assert view.told([News("b", RESTART_STEP, alive=True)], 0) == [
        Replace("b", RESTART_STEP, "gossip"),
        Tell(News("b", RESTART_STEP, alive=True)),
    ]
    assert view.is_alive("b")


@given(items=NEWS, own_life=st.sampled_from([0, RESTART_STEP]))
def test_nobody_is_suspected_for_an_earlier_life_than_is_known(items: list[News], own_life: int) -> None:
    """In whatever order news come, to the old and to the restarted: a later life is not accused of an earlier death."""
    view = Membership("a", own_life, PEERS, DetectorSettings(), random.Random(1))
    known = dict.fromkeys(PEERS, 0)
    for news in items:
        decisions = view.told([news], 0)
        known[news.peer] = max(known[news.peer], news.incarnation)
        for decision in decisions:
            if isinstance(decision, Suspect):
                assert not news.alive
                assert decision.incarnation == known[decision.peer]


def test_a_restart_begins_with_a_clean_slate() -> None:
    """Misses of the old life do not count against the new one."""
    view = membership(misses=2)
    view.missed(Probe("b"), 0, 0, refused=False)
    view.told([News("b", RESTART_STEP, alive=True)], 0)
    assert view.missed(Probe("b", incarnation=RESTART_STEP), 0, 0, refused=False) == []
    assert view.is_alive("b")


def test_a_confirmation_asked_of_the_old_life_does_not_condemn_the_new_one() -> None:
    """A confirming probe that was out when the peer came back says nothing about its new incarnation."""
    view = membership()
    view.doubted("b", "request")
    view.told([News("b", RESTART_STEP, alive=True)], 0)
    assert view.missed(Probe("b", "request"), 0, 0, refused=False) == []
    assert view.is_alive("b")


def test_an_introduction_under_the_known_incarnation_is_no_news() -> None:
    """At the start everybody says hello to everybody; nothing is told on."""
    view = membership()
    assert view.told([News("b", 0, alive=True)], 0) == []
    assert view.told([News("stranger", 5, alive=True)], 0) == []


@pytest.mark.parametrize("incarnation", [1, RESTART_STEP])
def test_silence_of_an_earlier_incarnation_says_nothing_about_a_later_one(incarnation: int) -> None:
    """A probe that was out when the peer refuted or came back does not count, routine or not."""
    view = membership(misses=1)
    (routine, *_), (confirming,) = view.due_probes(["b"], 0), view.doubted("b", "request")
    assert isinstance(routine, Probe)
    assert isinstance(confirming, Probe)
    view.told([News("b", incarnation, alive=True)], 0)
    view.doubted("b", "request")
    assert view.missed(routine, 0, 0, refused=False) == view.missed(confirming, 0, 0, refused=False) == []
    assert view.is_alive("b")


def test_a_doubted_peer_that_answers_is_told_of_the_doubt() -> None:
    """Here it is cleared at once; elsewhere only its own refutation does that, so it has to know."""
    view = membership(kind="swim")
    doubt = News("b", 0, alive=True, doubted_by="c")
    assert view.told([doubt], 0, "c") == [Doubt("b", 0, "c"), Tell(doubt)]
    assert view.told([doubt], 0, "d") == []
    assert view.heard("b", 1.0, 0.9) == [Trust("b", 0), Tell(News("b", 0, alive=True, doubted_by="a"), "b")]
    assert view.heard("b", 2.0, 1.9) == []


def test_a_doubt_counts_only_for_the_life_that_is_known() -> None:
    """An earlier life's is old; a later one's tells of the return first; the dead cannot be doubted."""
    view = membership(kind="swim")
    view.told([News("b", 2, alive=True)], 0)
    assert view.told([News("b", 1, alive=True, doubted_by="c")], 0) == []
    later = News("b", 3, alive=True, doubted_by="c")
    assert view.told([later], 0) == [Tell(News("b", 3, alive=True)), Doubt("b", 3, "c"), Tell(later)]
    view.told([News("b", 3, alive=False)], 0)
    assert view.told([News("b", 3, alive=True, doubted_by="d")], 0) == []
    assert membership().told([News("c", 0, alive=True, doubted_by="d")], 0) == []


def test_the_doubted_refutes_as_the_accused_does() -> None:
    """Under its next incarnation, before anybody holds it for dead."""
    view = membership(kind="swim")
    assert view.told([News("a", 0, alive=True, doubted_by="c")], 0, "c") == [
        Refute(1),
        Tell(News("a", 1, alive=True)),
        Tell(News("a", 1, alive=True), "c"),
    ]
    assert view.told([News("a", 0, alive=True, doubted_by="d")], 0, "d") == [Tell(News("a", 1, alive=True), "d")]
