"""The schedule of a storm, without any time passing."""

from hypothesis import given
from hypothesis import strategies as st

from chaos import faults, schedule
from chaos.schedule import Order, Strike

VICTIMS = st.lists(st.text("abc", min_size=1), min_size=1, unique=True).map(tuple)
SECONDS = st.floats(0.1, 1000)


def test_no_victims_no_orders() -> None:
    """A control calls no fault, not even its healing."""
    assert schedule.plan((), kill_at_s=60, heal_after_s=15) == ()


def test_victims_stay_dead_without_heal() -> None:
    """The default is one order: the kill."""
    assert schedule.plan(("a", "b"), kill_at_s=60, heal_after_s=None) == (Order(60, "kill", "inject", ("a", "b")),)


@given(victims=VICTIMS, kill_at_s=SECONDS, heal_after_s=SECONDS)
def test_heal_follows_the_kill(victims: tuple[str, ...], kill_at_s: float, heal_after_s: float) -> None:
    """The same victims are healed that long after their kill, and orders come in the order of their time."""
    kill, heal = schedule.plan(victims, kill_at_s=kill_at_s, heal_after_s=heal_after_s)
    assert (kill.action, heal.action) == ("inject", "heal")
    assert kill.victims == heal.victims == victims
    assert heal.at_s == kill_at_s + heal_after_s > kill.at_s


def test_every_planned_fault_exists() -> None:
    """What the schedule orders by name can be found by that name."""
    orders = schedule.plan(("a",), kill_at_s=1, heal_after_s=1)
    assert [faults.load(order.fault).name for order in orders] == [order.fault for order in orders]


def told(*strikes: Strike) -> list[tuple[float, str, str, str]]:
    """The orders of ``strikes``: when, what, upon whom."""
    return [(order.at_s, order.action, order.fault, "".join(order.victims)) for order in schedule.timed(strikes)]


def test_rolling_and_cyclic_strikes() -> None:
    """With a gap victims come one after the other; with a period the same ones again; each is healed in its turn."""
    assert told(Strike("restart", 10, ("a", "b"), for_s=1, gap_s=3)) == [
        (10, "inject", "restart", "a"),
        (11, "heal", "restart", "a"),
        (13, "inject", "restart", "b"),
        (14, "heal", "restart", "b"),
    ]
    assert told(Strike("cut", 10, ("a", "b"), for_s=2, every_s=5, rounds=2)) == [
        (10, "inject", "cut", "ab"),
        (12, "heal", "cut", "ab"),
        (15, "inject", "cut", "ab"),
        (17, "heal", "cut", "ab"),
    ]


def test_strikes_share_one_timeline_and_count_their_waves() -> None:
    """What comes at one instant is one wave; a heal belongs to its own; healing comes before a blow at one instant."""
    orders = schedule.timed(
        [Strike("pause", 10, ("a",), for_s=2), Strike("kill", 10, ("b",)), Strike("cut", 12, ("c",))]
    )
    assert [(order.fault, order.action, order.wave) for order in orders] == [
        ("pause", "inject", 0),
        ("kill", "inject", 0),
        ("pause", "heal", 0),
        ("cut", "inject", 1),
    ]
    assert told(Strike("kill", 1, ())) == []


def test_a_victim_is_healed_before_it_is_hit_again() -> None:
    """Blows that overlap upon one victim are named; one after the other they are well."""
    twice = schedule.timed([Strike("pause", 10, ("a",), for_s=3), Strike("cut", 12, ("a",))])
    assert schedule.overlap(twice) == "a is hit by cut at 12 s, while pause is not healed"
    assert schedule.overlap(schedule.timed([Strike("pause", 10, ("a",), for_s=2), Strike("cut", 12, ("a",))])) is None


def test_the_longest_stretch_of_a_fault() -> None:
    """From each blow to its own healing; what nobody heals lasts until the end; another fault does not count."""
    strikes = [Strike("cut", 10, ("a",), for_s=2, every_s=5, rounds=2), Strike("pause", 10, ("b",), for_s=9)]
    assert schedule.longest_s(schedule.timed(strikes), "cut", 60) == 2
    assert schedule.longest_s(schedule.timed([*strikes, Strike("cut", 40, ("c",))]), "cut", 60) == 20
    assert schedule.longest_s(schedule.timed(strikes), "kill", 60) == 0
    again = [Strike("cut", 10, ("a",), for_s=2), Strike("cut", 20, ("a",), for_s=5)]
    assert schedule.longest_s(schedule.timed(again), "cut", 60) == 5
