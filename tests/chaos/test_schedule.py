"""The schedule of a storm, without any time passing."""

from hypothesis import given
from hypothesis import strategies as st

from chaos import faults, schedule
from chaos.schedule import Order

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
