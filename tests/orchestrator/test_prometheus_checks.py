"""Journal and Prometheus are compared number by number; what one scrape interval cannot explain is flagged."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.evidence import Evidence
from orchestrator.telemetry.checks import Check, Scraped, as_content, compare
from orchestrator.telemetry.tally import Curve, Tally
from tests.orchestrator.fake_prometheus import miscounting, scraped_of

Event = dict[str, Any]
Build = Callable[..., list[Event]]
KILLED_AT_S = 1003.0 + 12


@pytest.fixture
def events(storm_events: Build) -> list[Event]:
    """A storm of 24 s in which agent_3 and agent_6 die after 12."""
    return storm_events(duration_s=24.0)


@pytest.fixture
def run(events: list[Event]) -> tuple[Tally, Evidence, Scraped]:
    """The storm as the journal and as a flawless Prometheus have it."""
    tally, evidence = Tally(events), Evidence.from_events(events)
    return tally, evidence, scraped_of(tally, evidence)


def _flagged(checks: list[Check]) -> set[str]:
    return {check.name for check in checks if not check.ok}


def _by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def test_a_curve_counts_up_to_and_including_an_instant() -> None:
    """Steps in any order; nothing before the first."""
    curve = Curve([(2.0, 5.0), (1.0, 3.0), (2.0, 1.0)])
    assert [curve.value(at) for at in (0.9, 1.0, 1.9, 2.0, 9.0)] == [0, 3, 3, 9, 9]


def test_a_flawless_prometheus_agrees_in_everything(run: tuple[Tally, Evidence, Scraped]) -> None:
    """Bytes by class, tasks by outcome, grades, kills, silence, counts, and the last scrapes; not one is left out."""
    checks = compare(*run)
    assert _flagged(checks) == set()
    assert as_content(checks)["status"] == "ok"
    names = {re.sub(r"agent_\d", "AGENT", check.name) for check in checks}
    assert names == {
        *(f"bytes/{name}" for name in ("task", "heartbeat", "handshake")),
        *(f"tasks/{name}" for name in ("started", "taken_over", "answered")),
        *(f"graded/{name}" for name in ("correct", "wrong", "expired")),
        "kill/AGENT", "down/AGENT", "scraped_until/AGENT",
        *(f"{what}/{name}" for what in ("alive", "up") for name in ("start", "before_kill", "after_kill", "end")),
    }  # fmt: skip
    found = _by_name(checks)
    assert (found["alive/before_kill"].journal, found["alive/after_kill"].journal) == (8, 6)
    assert found["kill/agent_3"].journal == found["kill/agent_3"].prometheus == KILLED_AT_S + 1_000_000


def test_bytes_of_victims_count_until_their_last_scrape(
    run: tuple[Tally, Evidence, Scraped], events: list[Event]
) -> None:
    """The journal's value is the sum, over all agents, of what each had written when it was scraped last."""
    checks = _by_name(compare(*run))
    rows = [(event["t"], row) for event in events if event["ev"] == "bytes" for row in event["rows"]]
    assert checks["bytes/task"].journal == sum(row[3] + row[4] for _, row in rows if row[2] == "task")
    # 1600 bytes at each half second: once in the last interval of 6 survivors, twice in that of 2 victims.
    assert checks["bytes/task"].bound == 6 * 1600 + 2 * 3200


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9, 1.1, 2.0])
def test_a_counter_that_loses_or_invents_bytes_is_flagged(run: tuple[Tally, Evidence, Scraped], share: float) -> None:
    """Over a run even a tenth is more than one interval's worth."""
    tally, evidence, scraped = run
    flagged = _flagged(compare(tally, evidence, miscounting(scraped, share)))
    assert {"bytes/task", "bytes/heartbeat"} <= flagged
    assert all(name.startswith("bytes/") for name in flagged)


def test_a_class_that_only_prometheus_knows_is_flagged(run: tuple[Tally, Evidence, Scraped]) -> None:
    """Bytes that nobody journaled are no evidence."""
    tally, evidence, scraped = run
    more = replace(scraped, bytes={**scraped.bytes, ("agent_1", "0", "resume"): 7.0})
    assert _flagged(compare(tally, evidence, more)) == {"bytes/resume"}


def test_one_interval_of_difference_is_allowed_and_no_more(run: tuple[Tally, Evidence, Scraped]) -> None:
    """A scrape that comes an interval late or early is what the bound is for; two are flagged."""
    tally, evidence, scraped = run
    for seconds, flagged in ((1.0, False), (2.5, True)):
        late = {life: at - seconds for life, at in scraped.last_scrape.items()}
        found = _flagged(compare(tally, evidence, replace(scraped, last_scrape=late)))
        assert ("bytes/task" in found) == flagged
        assert ("scraped_until/agent_1" in found) == flagged


def test_wrong_kill_times_and_a_victim_that_goes_on_answering_are_flagged(run: tuple[Tally, Evidence, Scraped]) -> None:
    """A time off by more than an interval, a time that is missing, and a target that never turns 0."""
    tally, evidence, scraped = run
    off = {"agent_3": scraped.killed["agent_3"] + 1.5, "agent_6": 0.0}
    living = [(at, 1.0) for at, _ in scraped.up["agent_6"]]
    found = compare(tally, evidence, replace(scraped, killed=off, up={**scraped.up, "agent_6": living}))
    assert _flagged(found) == {"kill/agent_3", "kill/agent_6", "down/agent_6", "up/after_kill", "up/end"}
    assert _by_name(found)["down/agent_6"].prometheus is None


@pytest.mark.parametrize(("failed", "flagged"), [(1, set()), (2, {"up/end"})])
def test_one_failed_scrape_is_no_death_and_two_in_a_row_are(
    run: tuple[Tally, Evidence, Scraped], failed: int, flagged: set[str]
) -> None:
    """The scrape under way when an agent is stopped fails, and is stamped with its begin: before the end."""
    tally, evidence, scraped = run
    samples = list(scraped.up["agent_1"])
    end = evidence.storm_at + evidence.end_s + scraped.unix_offset_s
    by_then = [i for i, (at, _) in enumerate(samples) if at <= end]
    for i in by_then[-failed:]:
        samples[i] = (samples[i][0], 0.0)
    assert _flagged(compare(tally, evidence, replace(scraped, up={**scraped.up, "agent_1": samples}))) == flagged


def test_wrong_tasks_grades_and_counts_of_the_living_are_flagged(run: tuple[Tally, Evidence, Scraped]) -> None:
    """Each kind of number on its own."""
    tally, evidence, scraped = run
    half_more = {key: value * 1.5 for key, value in scraped.tasks.items()}
    assert "tasks/answered" in _flagged(compare(tally, evidence, replace(scraped, tasks=half_more)))
    graded = {**scraped.graded, "correct": scraped.graded["correct"] - 20}
    assert _flagged(compare(tally, evidence, replace(scraped, graded=graded))) == {"graded/correct"}
    deaf = [(at, 8.0) for at, _ in scraped.alive]
    assert _flagged(compare(tally, evidence, replace(scraped, alive=deaf))) == {"alive/after_kill", "alive/end"}


def test_an_agent_that_was_not_scraped_until_its_end_is_flagged(run: tuple[Tally, Evidence, Scraped]) -> None:
    """What it counted afterwards nobody saw; a node that was never scraped, too."""
    tally, evidence, scraped = run
    early = {life: at - 5 * (life[0] == "agent_2") for life, at in scraped.last_scrape.items()}
    assert "scraped_until/agent_2" in _flagged(compare(tally, evidence, replace(scraped, last_scrape=early)))
    without = {life: at for life, at in scraped.last_scrape.items() if life[0] != "agent_2"}
    assert "scraped_until/agent_2" in _flagged(compare(tally, evidence, replace(scraped, last_scrape=without)))


def test_nothing_scraped_is_flagged_not_passed_over(run: tuple[Tally, Evidence, Scraped]) -> None:
    """An empty Prometheus agrees with nothing."""
    tally, evidence, scraped = run
    nothing = replace(scraped, last_scrape={}, bytes={}, tasks={}, graded={}, killed={}, up={}, alive=[])
    checks = compare(tally, evidence, nothing)
    assert _flagged(checks) == {check.name for check in checks}
    assert all(check.prometheus is None for check in checks)


def test_a_restarted_agent_is_compared_life_by_life(events: list[Event]) -> None:
    """Its second life counts from 0 in the journal's curves as in Prometheus, and it counts as alive again."""
    at = KILLED_AT_S + 6
    more = [{"t": at, "node": "orchestrator", "inc": 0, "ev": "heal_call", "victim": "agent_3"},
            {"t": at + 0.4, "node": "agent_3", "inc": 1000, "ev": "agent_start", "tool": "triple"},
            {"t": at + 0.5, "node": "orchestrator", "inc": 0, "ev": "heal_done", "victim": "agent_3"},
            {"t": at + 1.0, "node": "agent_3", "inc": 1000, "ev": "bytes",
             "rows": [["client", "agent_1", "task", 40, 2]]}]  # fmt: skip
    events = sorted([*events, *more], key=lambda event: event["t"])
    tally, evidence = Tally(events), Evidence.from_events(events)
    scraped = scraped_of(tally, evidence)
    first = scraped.last_scrape["agent_3", "0"]
    assert tally.curves["bytes", "task"]["agent_3", "1"].value(at + 2) == 42
    assert [tally.is_up("agent_3", at + seconds) for seconds in (-6.1, -5.9, 0.4, 0.6)] == [True, False, False, True]
    end = evidence.storm_at + evidence.end_s + 1_000_000
    both = {**scraped.last_scrape, ("agent_3", "0"): first, ("agent_3", "1"): end}
    seen = {**scraped.bytes, ("agent_3", "1", "task"): 42.0}
    checks = compare(tally, evidence, replace(scraped, last_scrape=both, bytes=seen))
    assert _flagged(checks) == set()
    assert _by_name(checks)["alive/end"].journal == 7
    lost = {**scraped.bytes, ("agent_3", "1", "task"): 42.0 + 8 * 3200}
    assert "bytes/task" in _flagged(compare(tally, evidence, replace(scraped, last_scrape=both, bytes=lost)))
