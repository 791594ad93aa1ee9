"""How a run is cut into phases, and what its plan says before it starts."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.tools import TOOLS
from orchestrator import phases, timeline
from orchestrator.phases import Wishes
from orchestrator.scenario import Scenario
from protocols.errors import ConfigError


def scenario(**storm: object) -> Scenario:
    """Make a scenario with these values of the section ``scenario``."""
    return Scenario.model_validate({"scenario": storm})


def test_full_length() -> None:
    """120 s are cut as the specification says: warm-up 25, baseline to 55, kill at 60, judged until 90."""
    windows = phases.fit(Wishes(120))
    assert windows.model_dump() == {
        "scale": 1,
        "duration_s": 120,
        "warmup_s": 25,
        "kill_at_s": 60,
        "task_deadline_s": 5,
        "rate_window_s": 30,
        "byte_window_s": 30,
        "steady_window_s": 5,
        "steady_hold_s": 10,
    }
    assert phases.baseline(windows) == (25, 55)
    assert phases.last_arrival_s(windows) == 115


def test_a_fifth_of_the_length() -> None:
    """24 s scale everything but the floors, and the warm-up gives way to the baseline."""
    windows = phases.fit(Wishes(24))
    assert (windows.scale, windows.kill_at_s, windows.rate_window_s) == (0.2, 12, 6)
    assert (windows.task_deadline_s, windows.steady_window_s, windows.steady_hold_s) == (2, 2, 3)
    assert windows.warmup_s == phases.baseline(windows)[0] == 4


@given(duration_s=st.floats(phases.SHORTEST_RUN_S, 10_000))
def test_automatic_windows_always_fit(duration_s: float) -> None:
    """Any allowed duration gives windows in their order, with the deadline within half a rate window."""
    windows = phases.fit(Wishes(duration_s))
    start_s, end_s = phases.baseline(windows)
    cuts = (0, windows.warmup_s, start_s, end_s, windows.kill_at_s)
    assert all(earlier <= later + 1e-5 for earlier, later in pairwise(cuts))
    assert windows.kill_at_s + windows.rate_window_s <= phases.last_arrival_s(windows) + 1e-5
    assert windows.task_deadline_s <= windows.rate_window_s / 2 + 1e-5
    assert duration_s < phases.SHORTEST_STORM_S or windows.task_deadline_s >= 2 - 1e-5


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        (Wishes(120, kill_at_s=50), r"\[15, 45\).*kill_at_s to 60 or more, or scenario.warmup_s to 15 or less"),
        (Wishes(120, kill_at_s=30), r"\[-5, 25\).*kill_at_s to 60 or more$"),
        (Wishes(120, kill_at_s=90), r"\[90, 120\).*kill_at_s to 85 or less"),
        (Wishes(120, kill_at_s=120), "inside the run of 120 s, got 120"),
        (Wishes(120, warmup_s=26), r"\[25, 55\).*kill_at_s to 61 or more, or scenario.warmup_s to 25 or less"),
        (Wishes(120, task_deadline_s=15.1), r"rate window, 15 s, got 15\.1; .*duration to 120\.8 or more"),
    ],
)
def test_windows_that_do_not_fit_are_refused(wishes: Wishes, message: str) -> None:
    """The complaint has the numbers, and what would work."""
    with pytest.raises(ConfigError, match=message):
        phases.fit(wishes)


@pytest.mark.parametrize(
    "wishes",
    [Wishes(120, kill_at_s=60), Wishes(120, 15, 50), Wishes(120, kill_at_s=85), Wishes(120, task_deadline_s=15)],
)
def test_what_a_complaint_proposes_works(wishes: Wishes) -> None:
    """The limits named in the complaints are themselves allowed."""
    phases.fit(wishes)


def test_roster() -> None:
    """Names, ports and tools count up from agent_1 at 9001, and the tools are dealt round robin."""
    planned = timeline.plan(scenario(agent_count=6))
    assert [agent.node_id for agent in planned.agents] == [f"agent_{number}" for number in range(1, 7)]
    assert [agent.tool for agent in planned.agents] == [*TOOLS, *TOOLS[:2]]
    assert [(agent.port, agent.admin_port) for agent in planned.agents][:2] == [(9001, 10001), (9002, 10002)]
    assert (planned.conductor_port, planned.conductor_admin_port) == (9000, 10000)
    assert len(set(planned.ports)) == 14


def test_storm() -> None:
    """30 % of 8 agents are two victims, killed together at half of the duration, and nothing heals by itself."""
    planned = timeline.plan(scenario())
    assert len(planned.victims) == 2
    assert [(order.at_s, order.victims) for order in planned.orders] == [(60, planned.victims)]
    assert not planned.is_control
    assert planned.notes == ()


def test_heal_is_planned() -> None:
    """Victims come back after the stated time, or after the automatic one."""
    assert [order.at_s for order in timeline.plan(scenario(heal=20)).orders] == [60, 80]
    assert [order.at_s for order in timeline.plan(scenario(heal="auto")).orders] == [60, 75]
    assert [order.at_s for order in timeline.plan(scenario(heal="auto", duration=24)).orders] == [12, 17]


@pytest.mark.parametrize("storm", [{"kill_fraction": 0}, {"agent_count": 1, "duration": 30}, {"kill_fraction": 0.06}])
def test_a_control_announces_itself(storm: dict[str, object]) -> None:
    """When nobody is to be killed the plan has no orders, and its first note says why."""
    planned = timeline.plan(scenario(**storm, heal=5))
    assert planned.is_control
    assert planned.orders == ()
    assert planned.notes[0].startswith("control: ")
    assert planned.windows.kill_at_s == planned.windows.duration_s / 2


def test_notes_warn_before_the_run() -> None:
    """A scaled run, a thin baseline and a replication beyond the roster are announced."""
    notes = timeline.plan(scenario(agent_count=1, duration=24, task_rate=1)).notes
    assert [note.partition(":")[0] for note in notes] == ["control", "scaled", "thin", "replication"]


@given(duration=st.floats(16, 400), warmup=st.sampled_from(["auto", 0]), kill_fraction=st.sampled_from([0.3, 0.0]))
@settings(deadline=None)
def test_phases_cover_the_run_without_gaps(duration: float, warmup: object, kill_fraction: float) -> None:
    """Each phase begins where the one before it ends, from 0 to the duration."""
    cuts = timeline.plan(scenario(duration=duration, warmup_s=warmup, kill_fraction=kill_fraction)).phases
    assert cuts[0].start_s == 0
    assert cuts[-1].end_s == pytest.approx(duration, abs=1e-5)
    assert all(before.end_s == after.start_s for before, after in pairwise(cuts))


def test_arrivals_leave_the_last_deadline_free() -> None:
    """8 tasks per second for 115 of 120 s are 920 tasks, none in the last 5 s."""
    planned = timeline.plan(scenario())
    assert len(planned.arrivals_s) == 920
    assert 0 <= min(planned.arrivals_s) <= max(planned.arrivals_s) < 115


@given(seed=st.integers(0, 1000))
@settings(deadline=None, max_examples=20)
def test_same_seed_same_plan(seed: int) -> None:
    """Everything random in the plan hangs on the seed: victims, links, arrivals."""
    assert timeline.plan(scenario(agent_count=20, seed=seed)) == timeline.plan(scenario(agent_count=20, seed=seed))


def test_another_seed_another_plan() -> None:
    """Victims, links and arrivals all change with the seed."""
    plans = [timeline.plan(scenario(agent_count=20, seed=seed)) for seed in range(8)]
    assert len({planned.victims for planned in plans}) > 4
    assert len({tuple(agent.neighbours for agent in planned.agents) for planned in plans}) == 8
    assert len({planned.arrivals_s for planned in plans}) == 8


def test_victims_do_not_hang_on_the_length_or_the_protocol() -> None:
    """Runs of one seed hit the same agents over the same links, whatever else changes: that makes them comparable."""
    long, short = timeline.plan(scenario()), timeline.plan(scenario(duration=24, task_rate=2))
    assert (long.victims, long.agents) == (short.victims, short.agents)
